"""What was due, arrived, was in time and is missing, by day and device: numbers, and a file that keeps them.

The file is this box's own memory for `headgate status`; what the platform has is the account that counts.
Losing it costs numbers on a page.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from headgate.env import Files
from headgate.model import GapReason

log = logging.getLogger(__name__)

#: The day of what nobody can date.
UNDATED = "?"
KEPT_DAYS = 9
MIDNIGHT = timedelta()
_VERSION = 1
_SHANGHAI = "Asia/Shanghai"
#: Gaps of these reasons are of looks that did arrive here and were lost, or given up, afterwards.
AFTERWARDS = frozenset(
    {GapReason.QUOTA, GapReason.CORRUPT, GapReason.REFUSED, GapReason.NOT_COMMITTED}
)


class Missing(msgspec.Struct, array_like=True):
    """The gaps of one reason. Looks and readings as far as they were counted."""

    gaps: int = 0
    looks: int = 0
    readings: int = 0


class Tally(msgspec.Struct, array_like=True):
    """One device on one day, in looks; `due` is None for a device that talks by itself."""

    due: int | None = None
    arrived: int = 0
    bad: int = 0
    in_time: int = 0
    missing: dict[GapReason, Missing] = {}

    @property
    def in_gaps(self) -> int:
        """Looks that were due and are told as a gap."""
        return sum(gap.looks for why, gap in self.missing.items() if why not in AFTERWARDS)

    @property
    def open(self) -> int:
        """Looks that are under way, or part of a gap that is not told yet."""
        return 0 if self.due is None else max(0, self.due - self.arrived - self.in_gaps)

    def add(self, other: Tally) -> None:
        """Take another tally's numbers."""
        if other.due is not None:
            self.due = (self.due or 0) + other.due
        self.arrived += other.arrived
        self.bad += other.bad
        self.in_time += other.in_time
        for why, gap in other.missing.items():
            self.miss(why, gap)

    def miss(self, why: GapReason, gap: Missing) -> None:
        """Count gaps."""
        mine = self.missing.setdefault(why, Missing())
        mine.gaps += gap.gaps
        mine.looks += gap.looks
        mine.readings += gap.readings


class Course(msgspec.Struct, array_like=True):
    """How the plan of a device went on when it was saved: boottime of its next look."""

    device: int
    next_us: int
    interval_us: int
    #: Seconds from midnight to the beginning of its day.
    starts_s: int = 0


class Saved(msgspec.Struct, array_like=True):
    """The file."""

    version: int
    boot: bytes
    at_us: int
    wall_us: int | None
    days: dict[str, dict[int, Tally]]
    courses: list[Course]


class Days:
    """Tallies by day and device number, the last `KEPT_DAYS` of them."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.days: dict[str, dict[int, Tally]] = {}

    def of(self, day: str, device: int) -> Tally:
        """One tally, made when it is new."""
        devices = self.days.get(day)
        if devices is None:
            devices = self.days[day] = {}
            while len(self.days) > KEPT_DAYS:
                del self.days[min(self.days)]
        tally = devices.get(device)
        if tally is None:
            tally = devices[device] = Tally()
        return tally

    def span(self, wall_us: int, starts: timedelta = MIDNIGHT) -> tuple[str, int, int]:
        """The day of a wall time, and the wall times of its first instant and of the next day's.

        `starts`: what the clock shows when a day begins. The day bears the date of its beginning.
        """
        # Clock arithmetic throughout: a day has 23 or 25 hours where a zone changes its clocks.
        at = datetime.fromtimestamp(wall_us / 1e6, UTC).astimezone(self._zone)
        begin = (at - starts).replace(hour=0, minute=0, second=0, microsecond=0)
        end = begin + timedelta(days=1)
        return begin.date().isoformat(), _us(begin + starts), _us(end + starts)

    def spread(
        self, first_us: int, last_us: int, interval_us: int, starts: timedelta = MIDNIGHT
    ) -> Iterator[tuple[str, int]]:
        """How many looks, one each interval from `first_us` on and before `last_us`, lie in which day."""
        while first_us < last_us:
            day, _, end_us = self.span(first_us, starts)
            count = slots_before(min(end_us, last_us), first_us, interval_us)
            yield day, count
            first_us += max(1, count) * interval_us


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def slots_before(end_us: int, first_us: int, interval_us: int) -> int:
    """How many of first, first + interval, ... lie before `end_us`."""
    return max(0, -((first_us - end_us) // interval_us))


def zone_of(name: str) -> tzinfo:
    """A time zone by name; China's also where the box has no zone data."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return timezone(timedelta(hours=8), _SHANGHAI)


class TallyFile:
    """The file beside the spool. Written from the writer's thread, whole and atomically."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path

    def load(self) -> Saved | None:
        """What an earlier run saved; None where there is nothing that can be read."""
        try:
            data = self._files.read(self._path)
            if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
                return None
            saved = msgspec.msgpack.decode(data[4:], type=Saved)
        except (OSError, msgspec.MsgspecError):
            return None
        return saved if saved.version == _VERSION else None

    def writing(self, saved: Saved) -> Callable[[], None]:
        """The saving, to be done where a disk may be waited for. What is saved stands from now on."""
        body = msgspec.msgpack.encode(saved)

        def write() -> None:
            try:
                data = zlib.crc32(body).to_bytes(4, "big") + body
                self._files.replace(self._path, data, 0o640)
            except OSError as error:
                log.warning("tallies not written", extra={"error": str(error)})

        return write


def saved_now(
    boot: bytes, at_us: int, wall_us: int | None, days: Days, courses: list[Course]
) -> Saved:
    """What is to be saved."""
    return Saved(_VERSION, boot, at_us, wall_us, days.days, courses)
