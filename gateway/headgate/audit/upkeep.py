"""What the log does for itself, in its own thread: look for what is gone, make room, measure, check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from headgate.audit.check import Checker, Report
from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder, on_disk
from headgate.audit.keeping import (
    DAY_US,
    DAYS,
    FirstLines,
    Keeping,
    Reserve,
    Since,
    dropped,
    measure,
)
from headgate.audit.line import Field
from headgate.audit.pen import Instant, Pen

#: How often the whole log is gone over.
CHECK_EVERY_US: Final = DAY_US


class Upkeep:
    """Works on the files of a pen. Every call is short but `check`, which yields after each file."""

    def __init__(
        self,
        folder: LogFolder,
        pen: Pen,
        sm3: Callable[[bytes], bytes],
        instant: Callable[[], Instant],
        reserve: Reserve,
        quota: int,
    ) -> None:
        self._folder = folder
        self._pen = pen
        self._sm3 = sm3
        self._instant = instant
        self.quota = quota
        self._first = FirstLines(folder)
        self._began_us = instant().at
        self._reserve = reserve

    def missing(self) -> list[Entry]:
        """Files that were there and are gone, or have another length: told once."""
        found = []
        for number, size in list(self._pen.known.items()):
            if number == self._pen.place.file:
                continue  # the next write sees it, and begins anew
            try:
                have = self._folder.size(number)
            except OSError:
                continue
            if have == size:
                continue
            if have is None:
                what = f"file {number} is gone"
                del self._pen.known[number]
                self._first.forget(number)
            else:
                what = f"file {number} has another length"
                self._pen.known[number] = have
            found.append(damaged(what, file=number, bytes=have, bytes_written=size))
        return found

    def measure(self) -> Keeping:
        """How the log stands against its quota and its disk."""
        self._reserve.make()
        try:
            free = self._folder.files.free(self._folder.folder)
        except OSError:
            free = 0
        now = self._instant()
        since = Since(self._pen.written, now.at - self._began_us)
        return measure(self._pen.known, self._first, now.wall, self.quota, free, since)

    def make_room(self) -> list[int]:
        """Put on record which files go for room; `remove` them once that is signed. Raises OSError."""
        going: list[int] = []
        total = self.measure().bytes
        for number, after in pairwise(sorted(self._pen.known)):
            next_line = self._first.of(after)
            # What is left must be shown to hang on what goes.
            if total <= self.quota or next_line is None or number == self._pen.place.file:
                break
            entry = dropped(number, self._first.of(number), next_line)
            self._pen.write([(entry, self._instant())])
            going.append(number)
            total -= on_disk(self._pen.known[number])
        return going

    def remove(self, going: Sequence[int]) -> bool:
        """Remove what is on record as given up; whether any of it was younger than it may be."""
        young = False
        now_us = self._instant().wall
        for number in going:
            line = self._first.of(number)
            young |= line is None or now_us - line.wall < DAYS * DAY_US
            self._folder.files.remove(self._folder.path(number))
            self._pen.known.pop(number, None)
            self._first.forget(number)
        return young

    def check(self) -> Iterator[Report | None]:
        """Go over everything that is there, one file at a time; last, what was found."""
        checker = Checker(self._sm3)
        number = 0
        while (number := self._after(number)) != 0:
            place = self._pen.place
            try:
                data = self._folder.read(number)
            except OSError as error:
                if self._folder.size(number) is not None:  # of those that are gone `missing` tells
                    checker.unreadable(number, str(error.strerror))
            else:
                checker.feed(number, data[: place.end] if number == place.file else data)
            yield None
        yield checker.finish()

    def _after(self, number: int) -> int:
        return min((each for each in self._pen.known if each > number), default=0)


def damaged(what: str, **fields: Field) -> Entry:
    """The entry of something that is not as it was written."""
    return Entry(kind="log-damaged", who="gateway", what=what, result="failed", fields={**fields})
