"""How long the log is kept: its quota, what goes when that is full, and when 180 days are at risk.

In the log's thread. What is given up is always the oldest whole file, and it is on record, under a
signature, before it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder, on_disk
from headgate.audit.line import Line, decode

DAY_US: Final = 86_400 * 1_000_000
#: What the rules ask for: GB/T 22239-2019, 8.1.5.4; Cybersecurity Law of China, article 21 (six months).
DAYS: Final = 180
#: The alarm comes while there is still time to do something about it.
MARGIN: Final = 1.25
#: The rate is measured over the files of so many days, and over one at least.
_RATE_DAYS: Final = 30
#: Kept back for the time when the disk is full: some hundred entries.
RESERVE: Final = 256 * 1024


class Keeping(msgspec.Struct, frozen=True):
    """How much there is and how long it will do. `days`: at the present rate; None before there is one."""

    bytes: int
    files: int
    per_day: int
    days: int | None
    oldest_us: int | None

    @property
    def at_risk(self) -> bool:
        """Whether 180 days will not fit."""
        return self.days is not None and self.days < DAYS * MARGIN


class FirstLines:
    """The first line of each file, read once."""

    def __init__(self, folder: LogFolder) -> None:
        self._folder = folder
        self._seen: dict[int, Line | None] = {}

    def of(self, number: int) -> Line | None:
        """What the first line says; None where it cannot be read."""
        if number not in self._seen:
            try:
                head = self._folder.files.read(self._folder.path(number), 0, 4096)
            except OSError:
                return None
            self._seen[number] = decode(head.split(b"\n", 1)[0])
        return self._seen[number]

    def forget(self, number: int) -> None:
        """A file is gone."""
        self._seen.pop(number, None)


class Since(msgspec.Struct, frozen=True):
    """What was written since the start, in how long: the rate of a box that never knew the time."""

    bytes: int
    us: int


def measure(
    known: Mapping[int, int],
    first: FirstLines,
    wall_us: int,
    quota: int,
    free: int,
    start: Since,
) -> Keeping:
    """How the log stands against its quota and the disk."""
    total = sum(map(on_disk, known.values())) + RESERVE
    recent, since, oldest = 0, None, None
    for number in sorted(known, reverse=True):
        line = first.of(number)
        if line is not None and line.clock != "unsynced":
            oldest = line.wall
        if since is None or wall_us - since < _RATE_DAYS * DAY_US:
            recent += on_disk(known[number])
            since = oldest
    if since is None:
        per_day = start.bytes * DAY_US // max(DAY_US, start.us)
    else:
        per_day = recent * DAY_US // max(DAY_US, wall_us - since)
    room = min(quota, total + free) - RESERVE
    days = max(0, room) // per_day if per_day else None
    return Keeping(total, len(known), per_day, days, oldest)


def dropped(number: int, first: Line | None, after: Line) -> Entry:
    """The record of one file that goes.

    Args:
        after: the first line of the next file: what is left hangs on it.
    """
    return Entry(
        kind="log-dropped", who="gateway", what=f"file {number}", result="ok",
        fields={
            "file": number, "from_seq": first.seq if first else None, "to_seq": after.seq - 1,
            "sm3": after.previous, "first_wall": first.wall if first else None,
        },
    )  # fmt: skip


class Reserve:
    """Room kept back on the disk, for entries that must be written when it is full."""

    def __init__(self, folder: LogFolder, token: bytes) -> None:
        self._folder = folder
        self._path = folder.folder / "reserve"
        self._token = token
        self._kept = False

    def make(self) -> None:
        """Take the room where there is plenty."""
        files = self._folder.files
        if self._kept:
            return
        with suppress(OSError):
            if files.size(self._path) != RESERVE:
                if files.free(self._folder.folder) < 4 * RESERVE:
                    return
                files.replace(self._path, self._token * (RESERVE // len(self._token)), 0o640)
            self._kept = True

    def drop(self) -> bool:
        """Give it away; False when there was none."""
        if not self._kept:
            return False
        self._kept = False
        with suppress(OSError):
            self._folder.files.remove(self._path)
        return True
