"""The box's own account: what was due is what arrived, what is in gaps, and what is still open."""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from virtual import BOOT_US, FakeChannel, FakeDriver, ListSink, check_account, run, virtual_env

from headgate.env import SystemFiles
from headgate.errors import ChannelTimeout
from headgate.model import Block, ClockFix, Gap, GapReason, Plan
from headgate.runtime.daybook import Daybook
from headgate.runtime.ending import LastSign
from headgate.runtime.losses import Losses
from headgate.runtime.poller import Poller
from headgate.runtime.tallies import KEPT_DAYS, UNDATED, Saved, TallyFile
from headgate.sdk import Device
from headgate.spool import Account, ClearIndex, Loss, SealedRecord
from headgate.testing import make_device

S = 1_000_000
ZONE = timezone(timedelta(hours=8))
#: 2026-07-01 23:59:00 at the site.
WALL = 1_782_921_540 * S
DAY, NEXT = "2026-07-01", "2026-07-02"


class Clock:
    """Wall time, unless nobody knows it."""

    def __init__(self) -> None:
        self.offset_us: int | None = WALL - BOOT_US

    def wall(self, at_us: int) -> int | None:
        return None if self.offset_us is None else at_us + self.offset_us


def book(sink: ListSink | None = None) -> tuple[Daybook, Clock, ListSink]:
    clock, sink = Clock(), sink or ListSink()
    return Daybook(virtual_env(), sink, ZONE, clock.wall), clock, sink


def look(slot: int, late_s: float = 0.0, *, bad: bool = False, number: int = 1) -> Block:
    at_us = BOOT_US + slot * S + round(late_s * S)
    return Block(number, b"t" * 32, at_us, slot, None if bad else (b"\0\1",))


DEVICE = make_device(name="gauge-1")
NAMES = {"gauge-1": 1}


def plan(start_s: int, interval_s: int = 1, slot: int = 0) -> Plan:
    return Plan(1, b"t" * 32, BOOT_US + start_s * S, interval_s * S, 1, slot)


def days(daybook: Daybook) -> dict[str, Any]:
    return {day.pop("day"): day for day in daybook.report(NAMES)["days"]}


def test_looks_are_counted_on_the_day_they_were_due() -> None:
    async def main() -> None:
        daybook, _, sink = book()
        daybook.put_item(plan(0))
        for slot in range(70):
            daybook.put(look(slot, 0.3, bad=slot == 5), DEVICE)
        daybook.put(look(70, 7.0), DEVICE)
        daybook.put_item(plan(71, 0, 71))
        said = days(daybook)
        assert (said[DAY]["due"], said[DAY]["arrived"], said[DAY]["in_time"]) == (60, 60, 60)
        assert said[DAY]["bad"] == 1
        assert (said[NEXT]["due"], said[NEXT]["arrived"], said[NEXT]["in_time"]) == (11, 11, 10)
        assert len(sink.blocks) == 71

    run(main)


HYDROLOGICAL = make_device(name="gauge-1", quirks={"day_starts": "08:00"})


def test_a_hydrological_day_begins_at_eight_and_bears_the_date_of_that_morning() -> None:
    async def main() -> None:
        daybook, clock, _ = book()
        clock.offset_us = WALL + 8 * 3600 * S - BOOT_US  # 07:59 of the 2nd
        daybook.days_start([HYDROLOGICAL])
        daybook.put_item(plan(0))
        for slot in range(70):
            daybook.put(look(slot), DEVICE)
        daybook.put_item(
            Gap(1, GapReason.DEVICE_SILENT, BOOT_US + 70 * S, BOOT_US + 80 * S, 10, 10)
        )
        daybook.put_item(plan(80, 0, 80))
        said = days(daybook)
        assert (said[DAY]["due"], said[DAY]["arrived"], said[DAY]["in_gaps"]) == (60, 60, 0)
        assert (said[NEXT]["due"], said[NEXT]["arrived"], said[NEXT]["in_gaps"]) == (20, 10, 10)

    run(main)


def test_today_is_each_devices_own_day() -> None:
    async def main() -> None:
        daybook, clock, _ = book()
        clock.offset_us = WALL + 60 * S - BOOT_US  # midnight has just passed
        daybook.days_start([HYDROLOGICAL])
        for device in (HYDROLOGICAL, make_device(name="meter", number=2)):
            daybook.put(Block(device.number, b"t" * 32, BOOT_US, None, (b"\0\1",)), device)
        report = daybook.report({"gauge-1": 1, "meter": 2})
        assert report["day"] == NEXT
        assert [day["day"] for day in report["days"]] == [DAY, NEXT]
        assert {name: tally["arrived"] for name, tally in report["today"].items()} == {
            "gauge-1": 1, "meter": 1,
        }  # fmt: skip

    run(main)


def test_what_the_writer_did_not_take_did_not_arrive() -> None:
    async def main() -> None:
        daybook, _, sink = book()
        daybook.put_item(plan(0))
        sink.fill()
        assert not daybook.put(look(0), DEVICE)
        sink.empty()
        assert daybook.put(look(1), DEVICE)
        daybook.put_item(Gap(1, GapReason.DISK_SLOW, BOOT_US, BOOT_US, 1, 4, 0, 0))
        daybook.put_item(plan(2, 0, 2))
        (day,) = days(daybook).values()
        assert (day["due"], day["arrived"], day["in_gaps"], day["open"]) == (2, 1, 1, 0)
        assert day["gaps"] == {"disk-slow": {"gaps": 1, "looks": 1, "readings": 4}}

    run(main)


def test_several_blocks_of_one_look_are_one_look() -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put_item(plan(0))
        for _ in range(3):
            daybook.put(look(0), DEVICE)
        assert days(daybook)[DAY]["arrived"] == 1

    run(main)


def test_a_look_of_the_plan_before_is_measured_by_that_plan() -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put_item(plan(0, 20))
        daybook.put_item(plan(30, 20, 1))
        daybook.put(look(0, 1.0), DEVICE)
        assert days(daybook)[DAY]["in_time"] == 1

    run(main)


def test_the_account_of_a_poller_is_complete_under_faults() -> None:
    """Silent, quarantined, line down, overrun: due = arrived + in gaps, by the same rule as upstream."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sink = ListSink()
        daybook, _, _ = book(sink)
        poller = Poller(virtual_env(), daybook)

        async def answer(device: Device) -> Block:
            now = loop.time()
            if device.number == 2 and 20 < now < 200:
                await asyncio.sleep(1.0)
                raise ChannelTimeout("no answer")
            if device.number == 3:
                await asyncio.sleep(1.4)
            return Block(
                device.number, device.table_hash, BOOT_US + round(loop.time() * S), None, (b"\0\1",)
            )

        channels = {name: FakeChannel(name) for name in ("c1", "c2")}
        for channel in channels.values():
            poller.add_channel(channel)
        for number, channel in ((1, "c1"), (2, "c1"), (3, "c2")):
            device = make_device(name=f"gauge-{number}", number=number, channel=channel)
            poller.add(device, FakeDriver(answer), None, lambda block: block)
        from headgate.channels import ChannelState

        await asyncio.sleep(300)
        channels["c1"].set(ChannelState.DOWN)
        await asyncio.sleep(100)
        channels["c1"].set(ChannelState.UP)
        await asyncio.sleep(100)
        await poller.stop()
        names = {f"gauge-{number}": number for number in (1, 2, 3)}
        whole = daybook.report(names)
        sums: dict[int, int] = {}
        for devices in daybook._days.days.values():
            for number, tally in devices.items():
                sums[number] = sums.get(number, 0) + (tally.due or 0)
        for number in (1, 2, 3):
            due = check_account(sink, number)
            assert sums[number] == len(due)
        assert sum(day["open"] for day in whole["days"]) <= 3  # a gap over midnight is of one day
        reasons = {why for day in whole["days"] for why in day["gaps"]}
        assert {"device-quarantined", "line-down", "overrun"} <= reasons

    run(main)


def test_a_device_that_talks_owes_nothing_and_its_silence_is_counted() -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put(Block(1, b"t" * 32, BOOT_US, None, (b"\0\1",)), DEVICE)
        daybook.put_item(Gap(1, GapReason.DEVICE_SILENT, BOOT_US, BOOT_US + 9 * S, 3, 6))
        day = daybook.report(NAMES)["today"]["gauge-1"]
        assert (day["due"], day["arrived"], day["in_gaps"], day["open"]) == (None, 1, 3, 0)

    run(main)


def test_without_a_clock_the_day_is_unknown_until_it_is_known() -> None:
    async def main() -> None:
        daybook, clock, sink = book()
        offset, clock.offset_us = clock.offset_us, None
        daybook.put_item(plan(0))
        daybook.put(look(0), DEVICE)
        clock.offset_us = offset
        daybook.put_item(ClockFix(bytes(16), BOOT_US, WALL, 0, "synced"))
        daybook.put(look(1), DEVICE)
        daybook.put_item(plan(2, 0, 2))
        said = days(daybook)
        assert (said[UNDATED]["arrived"], said[DAY]["arrived"]) == (1, 1)
        assert sum(day["due"] or 0 for day in said.values()) == 2
        assert sum(isinstance(item, ClockFix) for item in sink.items) == 1

    run(main)


def saved(daybook: Daybook, tmp_path: Path) -> Saved:
    file = TallyFile(SystemFiles(), tmp_path / "tallies")
    file.writing(daybook.saving())()
    read = file.load()
    assert read is not None
    return read


def test_a_gateway_that_was_killed_counts_what_was_due_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put_item(plan(0))
        await asyncio.sleep(10)
        for slot in range(10):
            daybook.put(look(slot), DEVICE)
        kept = saved(daybook, tmp_path)
        sign = LastSign(bytes(16), BOOT_US + 10 * S)
        await asyncio.sleep(100)
        again, clock, _ = book()
        again.resume(kept, sign)
        said = days(again)
        assert sum(day["arrived"] for day in said.values()) == 10
        assert sum(day["due"] for day in said.values()) == 110
        assert sum(day["gaps"]["gateway-off"]["looks"] for day in said.values()) == 100
        assert sum(day["open"] for day in said.values()) == 0
        # In another boot the wall clock says how long it was off: once it is trusted.
        later, clock, _ = book()
        offset, clock.offset_us = clock.offset_us, None
        kept.boot = b"another boot...."
        later.resume(kept, LastSign(kept.boot, BOOT_US + 10 * S))
        assert days(later)[DAY]["due"] == 10
        clock.offset_us = offset
        later.put_item(ClockFix(bytes(16), BOOT_US, WALL, 0, "synced"))
        assert sum(day["due"] for day in days(later).values()) == 110

    run(main)


def test_what_was_due_to_a_hydrological_day_while_nobody_was_there(tmp_path: Path) -> None:
    async def main() -> None:
        daybook, clock, _ = book()
        clock.offset_us = WALL + 60 * S - BOOT_US  # midnight
        daybook.days_start([HYDROLOGICAL])
        daybook.put_item(plan(0))
        kept = saved(daybook, tmp_path)
        await asyncio.sleep(100)
        again, after, _ = book()
        after.offset_us = clock.offset_us
        again.resume(kept, LastSign(bytes(16), BOOT_US))
        assert days(again)[DAY]["gaps"]["gateway-off"]["looks"] == 100

    run(main)


def test_after_a_clean_stop_nothing_was_due(tmp_path: Path) -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put_item(plan(0))
        daybook.put(look(0), DEVICE)
        daybook.put_item(plan(1, 0, 1))
        kept = saved(daybook, tmp_path)
        assert kept.courses == []
        again, _, _ = book()
        await asyncio.sleep(500)
        again.resume(kept, LastSign(bytes(16), BOOT_US + S))
        assert days(again)[DAY]["due"] == 1

    run(main)


def test_what_is_kept_is_bounded_and_a_damaged_file_is_no_matter(tmp_path: Path) -> None:
    async def main() -> None:
        daybook, _, _ = book()
        daybook.put_item(plan(0, 3600))
        await asyncio.sleep(40 * 86_400)
        daybook.count()
        assert len(days(daybook)) == KEPT_DAYS
        path = tmp_path / "tallies"
        saved(daybook, tmp_path)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert TallyFile(SystemFiles(), path).load() is None
        assert TallyFile(SystemFiles(), tmp_path / "none").load() is None

    run(main)


class Store:
    """A spool that has lost something."""

    def __init__(self, *losses: Loss) -> None:
        self.pending = list(losses)

    def losses(self) -> list[Loss]:
        return list(self.pending)

    def commit(self, records: Any) -> list[Any]:
        told = {account for record in records for account in record.index.accounts}
        self.pending = [loss for loss in self.pending if loss.account not in told]
        return []


def test_a_loss_is_counted_when_its_gap_is_durable() -> None:
    async def main() -> None:
        boot = bytes(16)
        account = Account("data", 3, 5)
        loss = Loss(GapReason.QUOTA, account, 2, 12, ((1, 12),), BOOT_US, BOOT_US + S, boot)
        losses = Losses(Store(loss))
        daybook, _, _ = book()
        assert losses.losses() == [loss]
        for accounts in ((), (account,)):
            assert losses.told(BOOT_US, boot) == []
            index = ClearIndex(0, BOOT_US, BOOT_US, boot, accounts=accounts)
            record: Any = SealedRecord(b"epoch..1", 0, b"key", 1, b"", index)  # type: ignore[arg-type]
            losses.commit([record])
        for gap in losses.told(BOOT_US, boot):
            daybook.missed(gap)
        assert losses.told(BOOT_US, boot) == []
        (day,) = days(daybook).values()
        # It had arrived: it is missing now, and was not in a gap of looks.
        assert day["gaps"] == {"quota": {"gaps": 1, "looks": 0, "readings": 12}}
        assert day["in_gaps"] == 0

    run(main)
