"""Backups, clones and wiped sides: what comes back, and what is said of it. No broker: bytes and receipts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import Pki
from kit.storage import Station, carry

from headgate.envelope.receipt import Receipt, Verdict, VerdictCode
from headgate.model import Lane
from headgate_receiver.resend import Missing

Made = Callable[[str], Station]
Platform = Any
ALARMS = "SELECT code FROM alarms WHERE source = 'receiver' ORDER BY rowid"
NAMES = "SELECT epoch, n FROM records ORDER BY epoch, n"


@pytest.fixture
def stations(pki: Pki, gauge: Gauge, tmp_path: Path) -> Iterator[Made]:
    made: list[Station] = []

    def make(name: str) -> Station:
        made.append(Station(pki, gauge, tmp_path / name))
        return made[-1]

    yield make
    for each in made:
        if each.up:
            each.stop()


def wipe(platform: Platform) -> None:
    platform.sink.close()
    for suffix in ("", "-wal", "-shm"):
        platform.path.with_name(platform.path.name + suffix).unlink(missing_ok=True)
    platform.start()


async def ask(station: Station, platform: Platform, missing: Missing, now_s: int) -> int:
    """What the platform misses after so many seconds is asked for; how many asks there were."""
    platform.core.begin()
    wishes = list(missing.wishes(platform.core, now_s * 1_000_000))
    for serial, wish in enumerate(wishes):
        station.hear(
            Receipt(wish.gateway, wish.epoch, 1000 * now_s + serial, 0, resend=wish.ranges)
        )
    return len(wishes)


def meet(platform: Platform, missing: Missing, station: Station) -> None:
    for epoch in {each.epoch for each in station.state.epochs()}:
        if platform.core.stored(station.gateway.id, epoch).last is not None:
            missing.met(station.gateway.id, epoch)
    for told in platform.core.told:
        missing.met(*told)


async def test_of_two_platforms_on_one_uplink_a_wiped_one_gets_all_of_it_again(
    stations: Made, platforms: Callable[[str], Platform]
) -> None:
    """What the other has must not settle what was asked for and has not been sent again."""
    station, city, water = stations("box"), platforms("city"), platforms("water")
    station.start()
    for _ in range(120):
        station.commit(looks=1)
    await carry(station, city.deliver, water.deliver)
    wipe(water)
    station.commit(looks=1)
    await carry(station, city.deliver, water.deliver)
    missing = Missing()
    for now_s in range(0, 30, 5):
        meet(water, missing, station)
        await ask(station, water, missing, now_s)
        await carry(station, city.deliver, water.deliver)
    assert water.rows("SELECT count(*) FROM reading") == city.rows("SELECT count(*) FROM reading")
    assert water.rows(NAMES) == city.rows(NAMES)


async def test_what_was_asked_for_again_is_settled_once_it_was_sent(stations: Made) -> None:
    station = stations("box")
    station.start()
    for _ in range(4):
        station.commit(looks=1)
    await station.ready()
    gateway, epoch = station.gateway.id, station.epoch
    station.hear(Receipt(gateway, epoch, 1, 5))
    station.hear(Receipt(gateway, epoch, 2, 0, resend=((1, 3),)))
    station.hear(Receipt(gateway, epoch, 3, 5))
    assert [n for _, n, _ in await station.ready()] == [1, 2, 3]
    assert not station.outbox.cursor.settled[epoch].missing(0, 0)
    assert station.outbox.cursor.settled[epoch].missing(1, 4) == [(1, 3)]
    station.hear(Receipt(gateway, epoch, 4, 5))
    assert await station.ready() == []
    assert station.outbox.status().live.records + station.outbox.status().history.records == 0


async def test_a_chain_whose_link_is_gone_goes_on_where_the_gateway_still_knows_it(
    stations: Made, platforms: Callable[[str], Platform]
) -> None:
    station, city = stations("box"), platforms("city")
    started = []
    for _ in range(4):
        station.start()
        started.append(station.epoch)
        station.commit(lane=Lane.ALARM, looks=1)  # alarms lie in a log of their own
        station.commit(looks=1)
        await carry(station, city.deliver)
        station.stop()
    # The middle two lose their data log to rot: their links are gone, their alarms are not.
    station.start()
    started.append(station.epoch)
    for rows in station.spool.segments():
        if rows.log == "data" and rows.epoch(0) in started[1:3]:
            for row in rows.alive():
                rows.dead.add(row)
    wipe(city)
    await carry(station, city.deliver)
    missing = Missing()
    for now_s in range(0, 200, 5):
        meet(city, missing, station)
        await ask(station, city, missing, now_s)
        if station.said:
            station.commit()
        await carry(station, city.deliver)
    # Each epoch's alarm is n = 1, and the first of all has its link.
    alarms = [(epoch, 1) for epoch in started[:4]]
    assert set(alarms) <= set(city.rows(NAMES))
    assert (started[0], 0) in city.rows(NAMES)


async def test_a_gateway_restored_from_yesterday_writes_nothing_over_and_is_told(
    stations: Made, platforms: Callable[[str], Platform], tmp_path: Path
) -> None:
    station, city = stations("box"), platforms("city")
    station.start()
    for _ in range(5):
        station.commit(looks=1)
    await carry(station, city.deliver)
    station.stop()
    backup = station.copy(tmp_path / "yesterday")
    station.start()  # today: an epoch that the backup knows nothing of
    for _ in range(5):
        station.commit(looks=1)
    await carry(station, city.deliver)
    before = city.rows("SELECT epoch, n, received_us FROM records ORDER BY epoch, n")
    station.stop()
    station.restore(backup)
    station.start()
    for _ in range(5):
        station.commit(looks=1)
    await carry(station, city.deliver)
    after = city.rows("SELECT epoch, n, received_us FROM records ORDER BY epoch, n")
    assert set(before) <= set(after)
    assert len(after) == 6 + 6 + 6
    assert city.rows(ALARMS) == [("epoch-fork",)]
    city.restart()
    station.commit(looks=1)
    await carry(station, city.deliver)
    assert city.rows(ALARMS) == [("epoch-fork",)]


async def test_a_backup_restored_within_the_start_it_was_made_in_is_told(
    stations: Made, platforms: Callable[[str], Platform], tmp_path: Path
) -> None:
    """No two starts follow the same one here: only the numbers show it."""
    station, city = stations("box"), platforms("city")
    station.start()
    station.commit(looks=1)
    station.keep_house()
    backup = station.copy(tmp_path / "noon")
    for _ in range(5):
        station.commit(looks=1)
    await carry(station, city.deliver)
    station.stop()
    station.restore(backup)
    station.start()
    await carry(station, city.deliver)
    assert city.rows(ALARMS) == [("epoch-beyond",)]
    assert len(city.rows(NAMES)) == 7 + 1


async def test_a_clone_of_a_box_that_runs_on_is_told_and_both_are_kept(
    stations: Made, platforms: Callable[[str], Platform], tmp_path: Path
) -> None:
    first, second, city = stations("box"), stations("clone"), platforms("city")
    first.start()
    first.commit(looks=1)
    first.keep_house()
    first.copy(second.folder)
    second.start()
    for _ in range(6):
        first.commit(looks=1)
        second.commit(looks=1)
        await carry(second, city.deliver)
        await carry(first, city.deliver)
    assert city.rows(ALARMS) == [("epoch-beyond",)]
    # The first box's two, its six after the copy, and the clone's seven.
    assert len(city.rows(NAMES)) == 2 + 6 + 7
    first.stop()
    first.start()
    await carry(first, city.deliver)
    assert city.rows(ALARMS) == [("epoch-beyond",), ("epoch-fork",)]


async def test_a_box_whose_state_is_gone_begins_anew_and_is_told(
    stations: Made, platforms: Callable[[str], Platform]
) -> None:
    station, city = stations("box"), platforms("city")
    for _ in range(2):
        station.start()
        station.commit(looks=1)
        await carry(station, city.deliver)
        station.stop()
        shutil.rmtree(station.folder)
    assert city.rows(ALARMS) == [("epoch-anew",)]
    assert city.rows("SELECT count(*) FROM reading WHERE value IS NOT NULL") == [(4,)]


async def test_no_start_of_many_is_taken_for_a_fork(
    stations: Made, platforms: Callable[[str], Platform]
) -> None:
    station, city = stations("box"), platforms("city")
    for _ in range(6):
        station.start()
        for _ in range(3):
            station.commit(looks=1)
        await carry(station, city.deliver)
        station.stop()
    wipe(city)
    station.start()
    await carry(station, city.deliver)
    assert city.rows(ALARMS) == []


async def test_a_platform_restored_from_yesterday_gets_what_the_box_still_has(
    stations: Made, platforms: Callable[[str], Platform], tmp_path: Path
) -> None:
    station, city = stations("box"), platforms("city")
    station.start()
    for _ in range(20):
        station.commit(looks=1)
    await carry(station, city.deliver)
    city.sink.close()
    shutil.copy(city.path, tmp_path / "yesterday.db")
    city.start()
    for _ in range(2):
        for _ in range(20):
            station.commit(looks=1)
        await carry(station, city.deliver)
        station.stop()
        station.start()
    whole = len(city.rows(NAMES))
    city.sink.close()
    for suffix in ("-wal", "-shm"):
        city.path.with_name(city.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(tmp_path / "yesterday.db", city.path)
    city.start()
    await carry(station, city.deliver)
    missing = Missing()
    for now_s in range(0, 60, 5):
        meet(city, missing, station)
        await ask(station, city, missing, now_s)
        await carry(station, city.deliver)
    assert len(city.rows(NAMES)) == whole + 1  # and the link of the start since
    assert city.rows(ALARMS) == []


@pytest.mark.parametrize("side", ["gateway", "platform", "both"])
async def test_grants_and_tables_are_asked_for_and_given_across_restarts(
    stations: Made, platforms: Callable[[str], Platform], side: str
) -> None:
    station, city = stations("box"), platforms("city")
    station.start()
    for _ in range(3):
        station.commit(looks=1)
    # Records before their grant: the platform holds them, asks, and somebody restarts.
    (first, *rest) = [data for _, _, data in await station.ready()]
    asked = await city.deliver(*rest)
    assert {v.code for r in asked for v in r.verdicts} == {VerdictCode.NEED_GRANT}
    key_id = station.gateway.key.key_id
    if side in ("gateway", "both"):
        station.stop()
        station.start()
    if side in ("platform", "both"):
        city.restart()
    # The gateway that asks is known by its key id, also in a later start.
    grant = station.outbox.grant(key_id)
    assert grant is not None
    (receipt,) = await city.deliver(grant)
    assert receipt.stored or receipt.verdicts
    await city.deliver(first)
    await carry(station, city.deliver)
    assert city.rows("SELECT count(*) FROM reading WHERE value IS NOT NULL") == [(6,)]
    assert city.rows("SELECT count(*) FROM held") == [(0,)]


async def test_a_refusal_stays_a_dead_letter_across_restarts_of_both(
    stations: Made, platforms: Callable[[str], Platform]
) -> None:
    station, city = stations("box"), platforms("city")
    station.start()
    station.commit(looks=1)
    gateway, epoch = station.gateway.id, station.epoch
    await station.ready()
    station.hear(Receipt(gateway, epoch, 1, 1, verdicts=(Verdict(1, VerdictCode.REFUSED, "no"),)))
    (gap,) = station.said
    assert (gap.reason, gap.readings, gap.device) == ("refused", 2, 1)  # type: ignore[union-attr]
    station.commit()
    station.commit()
    station.stop()
    station.start()
    assert (epoch, 1) not in [(e, n) for e, n, _ in await station.ready(100)]
    (letter,) = station.state.dead_letters("city")
    assert (letter.epoch, letter.n, letter.reason) == (epoch, 1, "no")
    await carry(station, city.deliver)


async def test_other_bytes_never_travel_under_a_name_that_was_used(
    stations: Made, tmp_path: Path
) -> None:
    """Restored thirty times from the same image, no (epoch, n) and no (key, n) comes twice."""
    station = stations("box")
    station.start()
    station.commit(looks=1)
    station.stop()
    image = station.copy(tmp_path / "image")
    seen: dict[tuple[bytes, int], bytes] = {}
    keys: dict[tuple[bytes, int], bytes] = {}
    for _ in range(30):
        station.restore(image)
        station.start()
        for epoch, n, data in await station.ready(100):
            assert seen.setdefault((epoch, n), data) == data
            assert keys.setdefault((data[8:16], n), data) == data
        station.stop()


async def test_a_copied_identity_is_no_reason_to_take_anothers_records(
    platforms: Callable[[str], Platform], pki: Pki, gauge: Gauge
) -> None:
    """Two boxes with one certificate: each epoch is its own, whoever sends it."""
    city = platforms("city")
    boxes = [Gateway(pki, epoch=b"epoch--%d" % i, key_id=b"key-id-%d" % i) for i in (1, 2)]
    for box in boxes:
        await city.deliver(
            box.grant(), box.link(), box.record(gauge.block(9), announce=[gauge.body])
        )
    assert city.rows("SELECT count(DISTINCT epoch) FROM records") == [(2,)]
    assert city.rows(ALARMS) == [("epoch-anew",)]


def test_the_alarms_say_what_was_seen() -> None:
    from headgate_receiver.forks import text
    from headgate_receiver.store import Fork

    words: list[Any] = [
        text(Fork("g", b"12345678", (b"a" * 8, b"b" * 8))),
        text(Fork("g", None, (b"a" * 8,), "epoch-anew")),
        text(Fork("g", b"12345678", (), "epoch-beyond")),
    ]
    assert len(set(words)) == 3
