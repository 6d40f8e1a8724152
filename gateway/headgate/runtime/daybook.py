"""The box's own account: per device and day, what was due, arrived, was in time, and which gaps were told.

It stands between the field and the writer and sees all that passes: plans say what is due, blocks arrive,
gaps say what does not. Whoever has the plans and gaps upstream can count the same (uplink.md, section 6);
this is for the person at the box. `due` = `arrived` + `in gaps` + what is still open.

A look is in time when it was taken at most `LATE_US` after it was due. After a power cut the tally lacks
what came since it was saved last (`SAVE_EVERY_US`), and the time until the next start is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta, tzinfo
from typing import Any

from headgate.env import Env
from headgate.model import Alarm, Block, ClockFix, Event, Gap, GapReason, Item, Plan
from headgate.runtime.ending import IN_HAND_US, LastSign
from headgate.runtime.sink import Sink
from headgate.runtime.tallies import (
    MIDNIGHT,
    UNDATED,
    Course,
    Days,
    Missing,
    Saved,
    Tally,
    saved_now,
    slots_before,
)
from headgate.sdk import Device, day_starts

LATE_US = 5_000_000
SAVE_EVERY_US = 300 * 1_000_000
_EVER = 1 << 62


class _Course:
    """One device: its plan, the next look that is not counted as due, and where its numbers go."""

    __slots__ = ("first_slot", "from_us", "interval_us", "last_slot", "next_us", "old", "start_us",
                 "starts", "tally", "until_us")  # fmt: skip

    def __init__(self) -> None:
        self.start_us = self.first_slot = self.interval_us = self.next_us = 0
        self.old = (0, 0, 0)
        self.last_slot = -1
        #: What the site's clock shows when a day of this device begins.
        self.starts = MIDNIGHT
        # No instant is in this day: the first look finds its own.
        self.from_us, self.until_us = _EVER, -_EVER
        self.tally = Tally()

    def begin(self, plan: Plan) -> None:
        """Another plan from here on."""
        self.old = self.start_us, self.interval_us, self.first_slot
        self.start_us, self.interval_us = plan.start_us, plan.interval_us
        self.first_slot, self.next_us = plan.first_slot, plan.start_us

    def due_us(self, slot: int) -> int:
        """When a slot was due."""
        if slot >= self.first_slot:
            return self.start_us + (slot - self.first_slot) * self.interval_us
        start_us, interval_us, first_slot = self.old
        return start_us + (slot - first_slot) * interval_us


class Daybook:
    """A `Sink` that counts what passes to the next.

    Args:
        wall: wall time of a boottime, None while the clock is not trusted.
    """

    def __init__(
        self, env: Env, sink: Sink, zone: tzinfo, wall: Callable[[int], int | None]
    ) -> None:
        self._env = env
        self._sink = sink
        self._wall = wall
        self._days = Days(zone)
        self._courses: dict[int, _Course] = {}
        self._put = sink.put
        #: An earlier run that was killed, its last sign of life, and when this one began.
        self._off: tuple[Saved, LastSign, int] | None = None

    # ------------------------------------------------------------ what passes

    def put(self, block: Block, device: Device) -> bool:
        """Pass a block on, and count it when it was taken."""
        if not self._put(block, device):
            return False
        course = self._courses.get(block.device)
        if course is None:
            course = self._courses[block.device] = _Course()
        slot, at_us = block.slot, block.at_us
        if slot is None:
            due_us = at_us
        elif slot == course.last_slot:
            return True  # a stage made several blocks of one look
        else:
            course.last_slot = slot
            due_us = course.due_us(slot)
        if not course.from_us <= due_us < course.until_us:
            self._turn(block.device, course, due_us)
        tally = course.tally
        tally.arrived += 1
        if block.columns is None:
            tally.bad += 1
        if at_us - due_us <= LATE_US:
            tally.in_time += 1
        return True

    def put_item(self, item: Gap | Event | Plan | Alarm | ClockFix | Item) -> None:
        """Pass an item on; plans and gaps are counted."""
        self._sink.put_item(item)  # type: ignore[arg-type]
        if type(item) is Gap:
            self.missed(item)
        elif type(item) is Plan:
            course = self._courses.setdefault(item.device, _Course())
            self._count(item.device, course, item.start_us)
            course.begin(item)
        elif type(item) is ClockFix:
            # Midnight may be elsewhere now.
            for course in self._courses.values():
                course.from_us, course.until_us = _EVER, -_EVER
            if self._off is not None:
                self._count_off()

    async def durable(self) -> None:
        """As the sink behind."""
        await self._sink.durable()

    async def room(self) -> None:
        """As the sink behind."""
        await self._sink.room()

    # ------------------------------------------------------------ counting

    def days_start(self, devices: Iterable[Device]) -> None:
        """Take over when each device's day begins; before anything of it passes."""
        for device in devices:
            starts = day_starts(device)
            if starts != self._starts(device.number):
                course = self._courses.setdefault(device.number, _Course())
                course.starts = starts
                course.from_us, course.until_us = _EVER, -_EVER

    def _starts(self, device: int) -> timedelta:
        course = self._courses.get(device)
        return MIDNIGHT if course is None else course.starts

    def missed(self, gap: Gap) -> None:
        """Count a gap: its looks on the days they were due; one of an earlier boot, today."""
        at_us = self._env.clock.boottime_us() if gap.boot is not None else gap.first_us
        wall_us = self._wall(at_us)
        looks, readings = gap.looks or 0, gap.readings or 0
        if wall_us is None:
            parts = [(UNDATED, looks)]
        else:
            starts = self._starts(gap.device)
            day, _, end_us = self._days.span(wall_us, starts)
            parts = [(day, looks)]
            length_us = 0 if gap.boot is not None else gap.last_us - gap.first_us
            if looks > 1 and wall_us + length_us >= end_us:
                each_us = max(1, length_us // (looks - 1))
                parts = list(self._days.spread(wall_us, wall_us + looks * each_us, each_us, starts))
        for at, (day, part) in enumerate(parts):
            share = readings if len(parts) == 1 else readings * part // looks
            self._days.of(day, gap.device).miss(gap.reason, Missing(int(at == 0), part, share))

    def _turn(self, device: int, course: _Course, due_us: int) -> None:
        """The numbers go to another day from here on."""
        wall_us = self._wall(due_us)
        if wall_us is None:
            day, course.from_us, course.until_us = UNDATED, -_EVER, _EVER
        else:
            day, begin_us, end_us = self._days.span(wall_us, course.starts)
            course.from_us = due_us - (wall_us - begin_us)
            course.until_us = due_us + (end_us - wall_us)
        course.tally = self._days.of(day, device)

    def _count(self, device: int, course: _Course, until_us: int) -> None:
        """Count as due what lies before an instant."""
        if not course.interval_us:
            return
        while course.next_us < until_us:
            if not course.from_us <= course.next_us < course.until_us:
                self._turn(device, course, course.next_us)
            end_us = min(until_us, course.until_us)
            count = slots_before(end_us, course.next_us, course.interval_us)
            course.tally.due = (course.tally.due or 0) + count
            course.next_us += count * course.interval_us

    def count(self) -> None:
        """Count as due all that is due by now."""
        now_us = self._env.clock.boottime_us()
        for device, course in self._courses.items():
            # Not the instant itself: what is due now is asked for now.
            self._count(device, course, now_us)

    # ------------------------------------------------------------ over the end of a process

    def saving(self) -> Saved:
        """What outlives the process."""
        self.count()
        clock = self._env.clock
        now_us = clock.boottime_us()
        courses = [
            Course(device, course.next_us, course.interval_us, round(course.starts.total_seconds()))
            for device, course in self._courses.items()
            if course.interval_us
        ]
        return saved_now(clock.boot_id(), now_us, self._wall(now_us), self._days, courses)

    def resume(self, saved: Saved, sign: LastSign | None) -> None:
        """Go on where an earlier run ended; where it was killed, its plans ran on until now."""
        for day, devices in sorted(saved.days.items()):
            for device, tally in devices.items():
                self._days.of(day, device).add(tally)
        if sign is not None and sign.boot == saved.boot and saved.courses:
            self._off = saved, sign, self._env.clock.boottime_us()
            self._count_off()

    def _count_off(self) -> None:
        """What was due while nobody was there, once the clock says how long that was."""
        assert self._off is not None
        saved, sign, now_us = self._off
        off_us = max(saved.at_us, sign.at_us - IN_HAND_US)
        now_wall, first_wall = self._wall(now_us), None
        if saved.boot == self._env.clock.boot_id():
            first_wall = self._wall(off_us)
        elif saved.wall_us is not None:
            first_wall = saved.wall_us + off_us - saved.at_us
        if now_wall is None or first_wall is None:
            return
        self._off = None
        for course in saved.courses:
            next_us = course.next_us
            next_us += slots_before(off_us, next_us, course.interval_us) * course.interval_us
            begin = first_wall + next_us - off_us
            starts = timedelta(seconds=course.starts_s)
            for day, looks in self._days.spread(begin, now_wall, course.interval_us, starts):
                tally = self._days.of(day, course.device)
                tally.due = (tally.due or 0) + looks
                # The gap itself is of the whole gateway, and counted there.
                tally.miss(GapReason.GATEWAY_OFF, Missing(0, looks))

    # ------------------------------------------------------------ what it tells

    def report(self, names: Mapping[str, int]) -> dict[str, Any]:
        """`today` by device id, and `days`: the sums of each day, newest last. `names`: number by id."""
        self.count()
        wall_us = self._wall(self._env.clock.boottime_us())
        days = self._days

        def today(number: int) -> str:
            return UNDATED if wall_us is None else days.span(wall_us, self._starts(number))[0]

        here = {name: days.days.get(today(at), {}).get(at) for name, at in names.items()}
        return {
            "late_s": LATE_US / 1e6,
            "day": UNDATED if wall_us is None else days.span(wall_us)[0],
            "today": {name: _plain(tally) for name, tally in here.items() if tally is not None},
            "days": [
                {"day": day, **_plain(_sum(devices.values()))}
                for day, devices in sorted(self._days.days.items())
            ],
        }


def _sum(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def _plain(tally: Tally) -> dict[str, Any]:
    return {
        "due": tally.due,
        "arrived": tally.arrived,
        "bad": tally.bad,
        "in_time": tally.in_time,
        "in_gaps": tally.in_gaps,
        "open": tally.open,
        "gaps": {
            why.value: {"gaps": gap.gaps, "looks": gap.looks, "readings": gap.readings}
            for why, gap in sorted(tally.missing.items())
        },
    }
