"""An uplink's window into the spool: order, pacing, receipts, and when a segment may go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.env import Env, SystemFiles, SystemNet, SystemRandom
from headgate.errors import SignatureInvalid
from headgate.model import Gap, GapReason, Item, Lane
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.terms import Pace
from headgate.sdk import StoredRecord
from headgate.spool import ClearIndex, Rows, SealedRecord, Spool, State
from headgate.spool.remembered import Grant

BOOT = b"b" * 16
ALARM, LIVE = Lane.ALARM, Lane.LIVE


class Verdict(msgspec.Struct):
    n: int
    code: int
    detail: str | bytes = ""


class Receipt(msgspec.Struct):
    epoch: bytes
    serial: int = 1
    floor: int = 0
    stored: Sequence[tuple[int, int]] = ()
    verdicts: Sequence[Verdict] = ()
    resend: Sequence[tuple[int, int]] = ()
    retire: tuple[bytes, ...] = ()


class StillClock:
    """A clock that stands until the test moves it."""

    def __init__(self) -> None:
        self.now_us = 1_000_000_000

    def boot_id(self) -> bytes:
        return BOOT

    def boottime_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return self.now_us

    def wall_state(self) -> tuple[Any, int | None]:
        return "synced", 0


class Box:
    """A gateway's storage side: spool, state, and uplinks, which can be stopped and started."""

    def __init__(self, folder: Path, **spool: int) -> None:
        self.clock = StillClock()
        self.env = Env(self.clock, SystemRandom(), SystemFiles(), SystemNet(), lambda name: None)  # type: ignore[arg-type, return-value]
        self.folder = folder
        self.sizes = {"segment_bytes": 4096, "quota_bytes": 1 << 20, "ballast_bytes": 4096, **spool}
        self.starts = 0
        self.receipts: dict[bytes, Receipt] = {}
        self.said: list[Item] = []
        self.tables_wanted: list[bytes] = []
        self.retired: list[Sequence[bytes]] = []
        self.start()

    def start(self, *uplinks: str, pace: Pace | None = None) -> None:
        self.starts += 1
        self.epoch = f"epoch{self.starts:03}".encode()
        self.n = 0
        self.state = State(self.env, self.folder / "state.db")
        self.state.open()
        self.spool = Spool(self.env, self.folder / "spool", **self.sizes)
        found = self.spool.open(self.state.noted())
        self.link = self.state.begin_epoch(self.epoch, (found.epoch, found.last_n))
        self.boxes = Outboxes(self.spool, self.state, self.epoch)
        self.uplinks = {name: self.uplink(name, pace) for name in uplinks or ("city",)}

    def uplink(self, name: str, pace: Pace | None = None) -> SpoolOutbox:
        box = SpoolOutbox(
            self.env, self.spool, self.state, name, self.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=self.verify, say=self.said.append, need_table=self.tables_wanted.append,
            retire=self.retired.append, passed=self.boxes.passed, pace=pace,
        )  # fmt: skip
        self.boxes.add(box)
        return box

    @property
    def city(self) -> SpoolOutbox:
        return self.uplinks["city"]

    def verify(self, message: bytes) -> Receipt:
        if message not in self.receipts:
            raise SignatureInvalid("not signed")
        return self.receipts[message]

    def receipt(self, **fields: Any) -> bytes:
        message = f"receipt {len(self.receipts)}".encode()
        self.receipts[message] = Receipt(fields.pop("epoch", self.epoch), **fields)
        return message

    def commit(self, *lanes: Lane, size: int = 100) -> None:
        records = []
        for lane in lanes:
            at = self.clock.now_us
            index = ClearIndex(4, at, at, BOOT, ((1, 3), (2, 1)))
            records.append(
                SealedRecord(
                    self.epoch,
                    self.n,
                    b"key" + self.epoch[-5:],
                    lane,
                    self.body(self.n, size),
                    index,
                )
            )
            self.n += 1
        self.boxes.on_commit(self.spool.commit(records))

    def body(self, n: int, size: int = 100) -> bytes:
        return f"{self.epoch.decode()}/{n}".encode().ljust(size, b".")

    def stop(self) -> None:
        self.boxes.note()
        self.state.close()
        self.spool.close()

    def crash(self) -> None:
        """End without a word: what was not flushed is gone."""
        self.state._disconnect()
        for log in self.spool._logs.values():
            log.end_segment()
        assert self.spool._lock is not None
        self.env.files.unlock(self.spool._lock)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    if box.spool._lock is not None:
        box.stop()


async def take(outbox: SpoolOutbox, limit: int = 100) -> list[StoredRecord]:
    """What is ready now; nothing when `take` would wait."""
    task = asyncio.ensure_future(outbox.take(limit))
    await asyncio.sleep(0)
    if task.done():
        return list(task.result())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return []


def ns(records: Sequence[StoredRecord]) -> list[int]:
    return [record.n for record in records]


async def test_alarms_come_before_live_and_each_lane_keeps_its_order(box: Box) -> None:
    box.commit(LIVE, LIVE, ALARM)
    box.commit(LIVE, ALARM)
    records = await take(box.city)
    assert ns(records) == [2, 4, 0, 1, 3]
    assert [record.data for record in records] == [box.body(n) for n in (2, 4, 0, 1, 3)]
    assert records[0].readings == 4
    assert await take(box.city) == []


async def test_take_waits_for_the_next_commit(box: Box) -> None:
    waiting = asyncio.ensure_future(box.city.take(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    box.commit(LIVE)
    assert ns(await waiting) == [0]


async def test_live_goes_before_a_backlog_and_the_backlog_from_its_oldest(box: Box) -> None:
    for _ in range(6):
        box.commit(LIVE)
    box.clock.now_us += 3600 * 1_000_000
    box.commit(LIVE)
    records = await take(box.city, 4)
    assert ns(records) == [6, 0, 1], "live first; history in half of the window"
    assert await take(box.city, 1) == [], "the other half stays free for live"
    box.commit(LIVE)
    assert ns(await take(box.city, 1)) == [7]
    box.city.sent(records)
    assert ns(await take(box.city, 4)) == [2, 3]


@pytest.mark.parametrize(("share", "at_once"), [(0.0, 1), (0.25, 2), (1.0, 8)])
async def test_history_takes_the_share_of_the_window_that_it_is_given(
    tmp_path: Path, share: float, at_once: int
) -> None:
    box = Box(tmp_path)
    for _ in range(12):
        box.commit(LIVE)
    box.stop()
    box.start(pace=Pace(history_share=share))
    assert len(await take(box.city, 8)) == at_once
    box.stop()


async def test_history_keeps_to_its_bytes_per_second(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.stop()
    box.start(pace=Pace(history_bytes_s=100.0))
    for _ in range(5):
        box.commit(LIVE, size=200)
    box.clock.now_us += 3600 * 1_000_000
    assert ns(await take(box.city)) == [0]
    assert await take(box.city) == []
    box.clock.now_us += 1_000_000
    assert await take(box.city) == [], "one record of two seconds' worth leaves a debt"
    box.clock.now_us += 1_500_000
    assert ns(await take(box.city)) == [1]
    box.stop()


async def test_what_was_given_back_comes_again_before_anything_newer(box: Box) -> None:
    box.commit(*[LIVE] * 4)
    first = await take(box.city, 3)
    box.city.give_back(first)
    assert ns(await take(box.city, 4)) == [0, 1, 2, 3]


async def test_only_a_verified_receipt_frees(box: Box) -> None:
    box.commit(*[LIVE] * 6)
    records = await take(box.city)
    with pytest.raises(SignatureInvalid):
        box.city.receipt(b"forged")
    assert box.city.status().live.records == 6
    done = box.city.receipt(box.receipt(floor=2, stored=[(4, 4)]))
    assert done.settled == 3
    assert box.city.status().live.records == 3
    again = box.city.receipt(box.receipt(floor=2))
    assert again.settled == 0, "an old receipt does no harm"
    box.city.give_back(records)
    assert ns(await take(box.city)) == [3 - 1, 3, 5]


@pytest.mark.parametrize(
    "beyond", [{"floor": 2**63 - 1}, {"stored": [(0, 2**63 - 1)]}, {"floor": 2, "stored": [(2, 9)]}]
)
async def test_a_receipt_lets_go_of_nothing_that_is_not_made_yet(
    box: Box, beyond: dict[str, Any]
) -> None:
    """However well it is signed: a platform that counted wrong once would get no reading any more."""
    box.commit(LIVE, LIVE)
    await take(box.city)
    assert box.city.receipt(box.receipt(**beyond)).settled == 2
    box.commit(LIVE, ALARM)
    assert sorted(ns(await take(box.city))) == [2, 3]


async def test_a_receipt_for_an_epoch_we_never_had_changes_nothing(box: Box) -> None:
    box.commit(LIVE)
    assert box.city.receipt(box.receipt(epoch=b"foreign!", floor=10**9)).settled == 0
    assert b"foreign!" not in box.city.cursor.settled
    assert ns(await take(box.city)) == [0]


async def test_a_record_without_receipt_is_offered_again_ever_later(box: Box) -> None:
    box.commit(LIVE)
    assert ns(await take(box.city)) == [0]
    for seconds in (60, 120, 240):
        box.clock.now_us += (seconds - 1) * 1_000_000
        assert await take(box.city) == []
        box.clock.now_us += 1_000_000
        assert ns(await take(box.city)) == [0]


async def test_a_mute_platform_is_not_flooded(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.stop()
    box.start(pace=Pace(ahead=3))
    box.commit(*[LIVE] * 5)
    assert ns(await take(box.city)) == [0, 1, 2]
    assert await take(box.city) == []
    box.city.receipt(box.receipt(floor=1))
    assert ns(await take(box.city)) == [3]
    box.stop()


async def test_a_refused_record_is_a_dead_letter_and_a_gap_and_blocks_nothing(box: Box) -> None:
    box.commit(LIVE, LIVE)
    await take(box.city)
    verdicts = [
        Verdict(0, 1, "seal broken"),
        Verdict(1, 2, b"key00001"),
        Verdict(1, 3, b"digest"),
        Verdict(1, 99),
    ]
    told = box.city.receipt(box.receipt(verdicts=verdicts))
    assert told.refused == ((box.epoch, 0, "seal broken"),)
    assert told.need_grants == (b"key00001",)
    assert box.tables_wanted == [b"digest"]
    gaps = [gap for gap in box.said if isinstance(gap, Gap)]
    assert [(gap.device, gap.readings, gap.reason) for gap in gaps] == [
        (1, 3, GapReason.REFUSED), (2, 1, GapReason.REFUSED),
    ]  # fmt: skip
    assert all("seal broken" in gap.text for gap in gaps)
    box.state.flush()
    (letter,) = box.state.dead_letters("city")
    assert (letter.n, letter.data) == (0, box.body(0))
    assert box.city.status().live.records == 1
    assert box.city.receipt(box.receipt(verdicts=verdicts[:1])).refused == ()


async def test_a_refusal_is_forgotten_by_a_crash_before_its_gap_is_durable_and_so_said_again(
    box: Box,
) -> None:
    box.commit(LIVE, LIVE)
    box.city.refuse((await take(box.city))[0], "no")
    box.boxes.note()
    box.state.flush()
    epoch = box.epoch
    box.crash()
    box.start()
    assert [(r.epoch, r.n) for r in await take(box.city)] == [(epoch, 0), (epoch, 1)]
    box.city.refuse(StoredRecord(epoch, 0, b"", LIVE, b"", 0), "no")
    for _ in range(3):
        box.commit(LIVE)
        box.boxes.note()
    box.state.flush()
    box.crash()
    box.start()
    assert (epoch, 0) not in [(r.epoch, r.n) for r in await take(box.city)]


async def test_a_platform_restored_from_a_backup_gets_what_is_still_here(box: Box) -> None:
    box.commit(*[LIVE] * 5)
    await take(box.city)
    box.city.receipt(box.receipt(floor=5))
    assert await take(box.city) == []
    told = box.city.receipt(box.receipt(resend=[(1, 2), (90, 99)]))
    assert told.resend == ((box.epoch, 1), (box.epoch, 2))
    assert ns(await take(box.city)) == [1, 2]


async def test_a_repeated_ask_is_followed_once(box: Box) -> None:
    box.commit(*[LIVE] * 3)
    await take(box.city)
    box.city.receipt(box.receipt(floor=3))
    for serial, sent in ((7, [0, 1]), (7, []), (8, [0, 1])):
        box.city.receipt(box.receipt(serial=serial, resend=[(0, 1)]))
        assert ns(await take(box.city)) == sent
        box.city.receipt(box.receipt(floor=3))


async def test_what_is_asked_for_again_survives_a_restart(box: Box) -> None:
    box.commit(*[LIVE] * 3)
    await take(box.city)
    box.city.receipt(box.receipt(floor=3))
    box.city.receipt(box.receipt(resend=[(0, 2**63 - 1)]))
    box.boxes.note()
    box.stop()
    box.start()
    assert ns(await take(box.city)) == [0, 1, 2]


async def test_an_ask_for_what_is_gone_or_never_was_changes_nothing(box: Box) -> None:
    box.commit(*[LIVE] * 3)
    await take(box.city)
    box.city.receipt(box.receipt(floor=3))
    box.city.receipt(box.receipt(resend=[(3, 999)]))
    box.city.receipt(box.receipt(epoch=b"nobody's", resend=[(0, 9)]))
    assert await take(box.city) == []
    assert set(box.city.cursor.settled) == {box.epoch}


async def test_a_restart_in_the_middle_of_an_outage_loses_nothing_and_repeats_only_what_was_not_noted(
    box: Box,
) -> None:
    first = box.epoch
    box.commit(*[LIVE] * 4, ALARM)
    await take(box.city)
    box.city.receipt(box.receipt(floor=2))
    box.boxes.note()
    box.state.flush()
    box.city.receipt(box.receipt(stored=[(2, 2)]))
    box.crash()
    box.start()
    assert box.link == (first, 4)
    box.commit(LIVE)
    records = await take(box.city)
    assert [(r.epoch, r.n) for r in records] == [(first, 4), (box.epoch, 0), (first, 2), (first, 3)]


async def test_a_lost_database_costs_resends_and_no_record(box: Box) -> None:
    box.commit(*[LIVE] * 3)
    box.city.receipt(box.receipt(floor=3))
    box.stop()
    (box.folder / "state.db").write_bytes(b"\xff" * 9000)
    epoch = box.epoch
    box.start()
    assert box.state.rebuilt
    assert box.link == (epoch, 2)
    assert ns(await take(box.city)) == [0, 1, 2]


async def test_one_uplink_down_for_long_holds_the_segments_and_not_the_other_uplink(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path, quota_bytes=40_000)
    box.stop()
    box.start("city", "json")
    for _ in range(20):
        box.commit(*[LIVE] * 5, size=150)
        box.city.settle(await take(box.city))
    assert box.city.status().live.records == 0
    assert box.uplinks["json"].status().live.records == 100
    assert not box.spool.losses()
    for _ in range(60):
        box.commit(*[LIVE] * 5, size=150)
        box.city.settle(await take(box.city))
    lost = sum(loss.records for loss in box.spool.losses())
    box.boxes.note()
    left = box.uplinks["json"].status()
    assert lost > 0
    assert left.live.records + left.history.records == 400 - lost
    box.stop()


async def test_settled_segments_go_first_and_without_a_loss(tmp_path: Path) -> None:
    box = Box(tmp_path, quota_bytes=40_000)
    for _ in range(100):
        box.commit(*[LIVE] * 5, size=150)
        box.city.settle(await take(box.city))
        assert box.spool.losses() == ()
    assert box.spool.status().bytes <= 40_000
    box.stop()


async def test_what_is_in_flight_is_not_given_up_as_settled(tmp_path: Path) -> None:
    box = Box(tmp_path, quota_bytes=40_000)
    for _ in range(100):
        box.commit(*[LIVE] * 5, size=150)
        await take(box.city)
    told = sum(loss.records for loss in box.spool.losses())
    kept = sum(len(rows) for rows in box.spool.segments())
    assert told > 0
    assert told + kept == 500
    box.stop()


async def test_a_record_that_rots_is_skipped_and_its_loss_said_once(box: Box) -> None:
    box.commit(LIVE, LIVE)
    (path,) = (box.folder / "spool" / "data").glob("*.seg")
    data = path.read_bytes()
    path.write_bytes(data.replace(box.body(0), b"?" * 100))
    assert ns(await take(box.city)) == [1]
    (loss,) = box.spool.losses()
    assert (loss.reason, loss.records, loss.readings) == (GapReason.CORRUPT, 1, 4)
    assert loss.devices == ((1, 3), (2, 1))
    assert box.spool.losses() == (loss,)
    assert box.city.status().corrupt == 1


async def test_grants_are_those_that_unsettled_records_need(box: Box) -> None:
    for _ in range(2):
        key = b"key" + box.epoch[-5:]
        box.state.keep_grant(Grant(key, box.epoch, b"core", None, b"grant " + key, 0))
        box.commit(LIVE)
        if box.starts == 1:
            box.stop()
            box.start()
    assert [message for _, message in box.city.grants()] == [b"grant keych001", b"grant keych002"]
    box.city.settle(await take(box.city))
    assert box.city.grants() == []
    assert box.city.grant(b"keych001") == b"grant keych001"


async def test_a_backlog_of_a_hundred_thousand_records_stays_small_and_quick(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path, segment_bytes=1 << 20, quota_bytes=1 << 28)
    for _ in range(100):
        box.commit(*[LIVE] * 1000, size=10)
    rows = box.spool.segments()
    assert sum(len(segment) for segment in rows) == 100_000
    size = sum(
        len(c) * c.itemsize for s in rows for c in vars(s).values() if hasattr(c, "itemsize")
    )
    assert size < 5_000_000
    box.clock.now_us += 3600 * 1_000_000
    assert len(await take(box.city, 1000)) == 500
    assert box.city.receipt(box.receipt(floor=100_000)).settled == 100_000
    box.stop()


async def test_a_receipt_costs_the_same_however_many_records_lie_settled_beside_its_own(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path, segment_bytes=1 << 20, quota_bytes=1 << 28)
    looks = 0
    needs = box.city.cursor.needs

    def counted(rows: Rows, row: int) -> bool:
        nonlocal looks
        looks += 1
        return needs(rows, row)

    box.city.cursor.needs = counted  # type: ignore[method-assign]
    for n in range(300):  # as a box lives whose platform answers at once
        box.commit(LIVE)
        await take(box.city)
        assert box.city.receipt(box.receipt(stored=[(n, n)])).settled == 1
    assert looks < 300
    assert await take(box.city) == []
    box.stop()


async def test_keys_that_a_platform_retires_are_handed_on_and_settle_nothing(box: Box) -> None:
    box.commit(Lane.LIVE)
    await box.city.take(1)
    told = box.city.receipt(box.receipt(retire=(b"key-id-1", b"key-id-2")))
    assert told.settled == 0
    assert box.retired == [(b"key-id-1", b"key-id-2")]
    box.city.receipt(box.receipt(floor=1))
    assert len(box.retired) == 1, "a receipt without the ask asks for nothing"


# ------------------------------------------------------------ looking back


class Times:
    """An insight that knows when things were: boottime is wall time, of boots that it knows."""

    def __init__(self, *boots: bytes) -> None:
        self.boots = boots

    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        return at_us if boot in self.boots else None


def looking_back(box: Box, *boots: bytes) -> SpoolOutbox:
    box.city._insight = Times(*boots or (BOOT,))  # type: ignore[assignment]
    return box.city


async def test_what_was_settled_can_be_looked_back_on_newest_first(box: Box) -> None:
    box.commit(LIVE, LIVE, ALARM)
    box.commit(LIVE, LIVE)
    city = looking_back(box)
    records = await take(city)
    city.settle([record for record in records if record.n != 1])
    found = list(city.earlier(0))
    assert ns(found) == [4, 3, 0, 2]
    assert [record.data for record in found] == [box.body(n) for n in (4, 3, 0, 2)]
    box.stop()
    box.start()
    assert ns(list(looking_back(box).earlier(0))) == [4, 3, 0, 2], "and by the next start"


async def test_looking_back_ends_where_it_is_wanted_and_takes_nothing_settled_meanwhile(
    box: Box,
) -> None:
    for _ in range(200):
        box.clock.now_us += 1_000_000
        box.commit(LIVE)
    city = looking_back(box)
    records = []
    while got := await take(city):
        city.sent(got)
        records += got
    city.settle([record for record in records if record.n != 199])
    since_us = box.clock.now_us - 50 * 1_000_000
    found = city.earlier(since_us)
    city.settle([record for record in records if record.n == 199])
    assert ns(list(found)) == [*range(198, 148, -1)]
    assert ns(list(city.earlier(since_us))) == [*range(199, 148, -1)]
    assert len(list(looking_back(box, b"another boot").earlier(since_us))) == 200, "no time known"


async def test_what_cannot_be_read_when_looking_back_is_left_out_and_is_no_loss(box: Box) -> None:
    box.commit(LIVE, LIVE, LIVE)
    city = looking_back(box)
    city.settle(await take(city))
    (file,) = (box.folder / "spool" / "data").glob("*.seg")
    data = bytearray(file.read_bytes())
    data[data.index(box.body(1))] ^= 1
    file.write_bytes(data)
    assert ns(list(city.earlier(0))) == [2, 0]
    assert not box.spool.losses()
