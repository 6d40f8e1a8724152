"""One uplink's cursor in the spool: what waits, what is in flight, what is settled, and what comes next.

A byte per record; no task, no clock, no disk. `outbox.py` puts it behind the SDK's `Outbox`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from heapq import heappop, heappush

import msgspec

from headgate.envelope.ranges import RangeSet
from headgate.spool import ALARMS, DATA, Position, Rows

#: ASKED: settled once, and wanted again: only what is sent after that can settle it again.
WAITING, IN_FLIGHT, SETTLED, ASKED = 0, 1, 2, 3
Key = tuple[str, int]


class Turn(IntEnum):
    """Whose turn a record has: alarms before live before history."""

    ALARM = 0
    LIVE = 1
    HISTORY = 2


class Depth(msgspec.Struct, frozen=True):
    """How much is not settled, in flight included."""

    records: int = 0
    bytes: int = 0
    readings: int = 0


class _Segment:
    """An uplink's view of one segment: a mark for each row it knows, and how much is left."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.marks = bytearray()
        self.records = self.bytes = self.readings = 0

    def count(self, row: int, sign: int) -> None:
        self.records += sign
        self.bytes += sign * self.rows.sizes[row]
        self.readings += sign * self.rows.readings[row]


class Cursor:
    """What one uplink has still to deliver.

    Args:
        settled: n by epoch, as remembered.
        epoch: the epoch being written; records of an earlier start are history whatever their age.
        passed: called with (log, segment) when nothing in it waits any more.
    """

    def __init__(
        self,
        settled: Mapping[bytes, RangeSet],
        epoch: bytes,
        passed: Callable[[str, int], None] = lambda log, number: None,
    ) -> None:
        self.settled: dict[bytes, RangeSet] = dict(settled)
        self.changed: set[bytes] = set()
        self._asked: dict[bytes, RangeSet] = {}
        self._epoch = epoch
        #: The highest n of this start that is on disk.
        self._made = -1
        self._passed = passed
        self._segments: dict[Key, _Segment] = {}
        self._order: dict[str, list[int]] = {ALARMS: [], DATA: []}
        self._epochs: dict[bytes, list[Key]] = {}
        self._next: dict[Turn, tuple[int, int]] = dict.fromkeys(Turn, (0, 0))
        self._returned: dict[Turn, list[tuple[int, int]]] = {turn: [] for turn in Turn}

    # ------------------------------------------------------------ what is there

    def load(self, segments: Iterable[Rows]) -> None:
        """Know what an earlier run left. All of it is history, alarms excepted."""
        for rows in segments:
            self.extend(rows)
        last = max(self._order[DATA], default=0)
        self._next[Turn.LIVE] = (last + 1, 0)

    def extend(self, rows: Rows) -> None:
        """Know the rows that a commit added to a segment."""
        key = (rows.log, rows.number)
        segment = self._segments.get(key)
        if segment is None:
            segment = self._segments[key] = _Segment(rows)
            insort(self._order[rows.log], rows.number)
        known = len(segment.marks)
        if known == 0 and len(rows):
            self._epochs.setdefault(rows.epoch(0), []).append(key)
        for row in range(known, len(rows)):
            epoch, n = rows.epoch(row), rows.ns[row]
            if epoch == self._epoch:
                self._made = max(self._made, n)
            done = n in self._settled_of(epoch) or row in rows.dead
            segment.marks.append(SETTLED if done else WAITING)
            if not done:
                segment.count(row, +1)
        if segment.records == 0:
            self._passed(*key)

    def forget(self, log: str, number: int) -> None:
        """A segment is gone."""
        if self._segments.pop((log, number), None) is not None:
            self._order[log].remove(number)
            for epoch, keys in list(self._epochs.items()):
                if (log, number) in keys:
                    keys.remove((log, number))
                    if not keys:
                        del self._epochs[epoch]
                        self._asked.pop(epoch, None)

    def known(self) -> Sequence[Key]:
        """Every segment that this cursor looks at."""
        return list(self._segments)

    def needs(self, rows: Rows, row: int) -> bool:
        """Whether this row is not settled. From any thread; a row not seen yet is needed."""
        segment = self._segments.get((rows.log, rows.number))
        if segment is None or row >= len(segment.marks):
            return True
        return segment.marks[row] != SETTLED

    def done(self, rows: Rows) -> bool:
        """Whether nothing of a segment waits any more, as far as it is written; no row is looked at."""
        segment = self._segments.get((rows.log, rows.number))
        return segment is not None and not segment.records and len(segment.marks) == len(rows)

    def has(self, epoch: bytes) -> bool:
        """Whether records of this epoch are here, or it is the one being written."""
        return epoch == self._epoch or epoch in self._epochs

    def knows(self, epoch: bytes) -> bool:
        """Whether this epoch ever was ours: of a clone's, nothing must be kept for ever."""
        return epoch in self.settled or self.has(epoch)

    def holds(self, epoch: bytes, n: int) -> bool:
        """Whether the record of this name is here, settled or not."""
        for settled in (False, True):
            for position in self._rows_of(epoch, n, n, settled=settled):
                if position.row not in self._segments[position.log, position.segment].rows.dead:
                    return True
        return False

    def find(self, epoch: bytes, n: int) -> Position | None:
        """Where the record of this name lies."""
        return next(self._rows_of(epoch, n, n), None)

    # ------------------------------------------------------------ what comes next

    def take(self, turn: Turn, old: Callable[[Rows, int], bool]) -> Position | None:
        """The next record of a turn, now in flight; None when there is none.

        Args:
            old: whether a live record has become history by its age.
        """
        position = self._first_returned(turn) or self._advance(turn, old)
        if position is not None:
            segment = self._segments[position.log, position.segment]
            if segment.marks[position.row] == ASKED:
                self._answered(segment, position.row)
            segment.marks[position.row] = IN_FLIGHT
        return position

    def _first_returned(self, turn: Turn) -> Position | None:
        log = ALARMS if turn is Turn.ALARM else DATA
        heap = self._returned[turn]
        while heap:
            number, row = heappop(heap)
            segment = self._segments.get((log, number))
            if segment is not None and segment.marks[row] in (WAITING, ASKED):
                return Position(log, number, row)
        return None

    def _answered(self, segment: _Segment, row: int) -> None:
        """A record that was asked for again is no longer only asked for."""
        epoch, n = segment.rows.epoch(row), segment.rows.ns[row]
        asked = self._asked.get(epoch)
        if asked is not None:
            asked.discard(n, n)
            if not asked:
                del self._asked[epoch]

    def _advance(self, turn: Turn, old: Callable[[Rows, int], bool]) -> Position | None:
        log = ALARMS if turn is Turn.ALARM else DATA
        if turn is Turn.HISTORY:
            self._age(old)
        end = self._next[Turn.LIVE] if turn is Turn.HISTORY else None
        for position in self._from(log, self._next[turn]):
            place = (position.segment, position.row)
            if end is not None and place >= end:
                self._next[turn] = end
                return None
            segment = self._segments[log, position.segment]
            skip = segment.marks[position.row] != WAITING
            if turn is Turn.LIVE and not skip:
                skip = old(segment.rows, position.row)
            self._next[turn] = (position.segment, position.row + 1)
            if not skip:
                return position
        return None

    def _age(self, old: Callable[[Rows, int], bool]) -> None:
        """Move the border between history and live past what has become old."""
        for position in self._from(DATA, self._next[Turn.LIVE]):
            segment = self._segments[DATA, position.segment]
            if segment.marks[position.row] == WAITING and not old(segment.rows, position.row):
                return
            self._next[Turn.LIVE] = (position.segment, position.row + 1)

    def _from(self, log: str, place: tuple[int, int]) -> Iterator[Position]:
        order = self._order[log]
        number, row = place
        for at in range(bisect_left(order, number), len(order)):
            segment = self._segments[log, order[at]]
            first = row if order[at] == number else 0
            for here in range(first, len(segment.marks)):
                yield Position(log, order[at], here)

    # ------------------------------------------------------------ what became of it

    def give_back(self, position: Position, turn: Turn) -> None:
        """Not delivered: it comes again, before anything newer of its turn."""
        segment = self._segments.get((position.log, position.segment))
        if segment is not None and segment.marks[position.row] == IN_FLIGHT:
            segment.marks[position.row] = WAITING
            heappush(self._returned[turn], (position.segment, position.row))

    def settle(self, epoch: bytes, first: int, last: int) -> list[Position]:
        """Every n of first..last is settled for good; the records among them that were not yet.

        What a platform asked for again and was not sent again yet stays: who says that it is stored is
        another platform behind the same uplink, or spoke before it asked. What this start has not made yet
        stays, too: a receipt beyond it, signed or not, would let go of readings that nobody has.
        """
        if epoch == self._epoch:
            last = min(last, self._made)
        done = self._settled_of(epoch)
        asked = self._asked.get(epoch)
        fresh: list[Position] = []
        for low, high in done.missing(first, last):
            for part in [(low, high)] if asked is None else asked.missing(low, high):
                fresh += self._rows_of(epoch, *part)
        if last >= first:
            kept = asked.within(first, last) if asked is not None else ()
            done.add(first, last)
            for part in kept:
                done.discard(*part)
            self.changed.add(epoch)
        for position in fresh:
            segment = self._segments[position.log, position.segment]
            segment.marks[position.row] = SETTLED
            segment.count(position.row, -1)
            if segment.records == 0:
                self._passed(position.log, position.segment)
        return fresh

    def unsettle(self, epoch: bytes, first: int, last: int) -> list[Position]:
        """The platform wants these again: what is still here waits as history; where it lies."""
        found: list[Position] = []
        for position in list(self._rows_of(epoch, first, last, settled=True)):
            segment = self._segments[position.log, position.segment]
            if position.row in segment.rows.dead:
                continue
            n = segment.rows.ns[position.row]
            self._settled_of(epoch).discard(n, n)
            self._asked.setdefault(epoch, RangeSet()).add(n)
            segment.marks[position.row] = ASKED
            segment.count(position.row, +1)
            turn = Turn.ALARM if position.log == ALARMS else Turn.HISTORY
            heappush(self._returned[turn], (position.segment, position.row))
            found.append(position)
        if found:
            self.changed.add(epoch)
        return found

    def lose(self, position: Position) -> None:
        """The record cannot be read: nothing waits for it any more."""
        segment = self._segments.get((position.log, position.segment))
        if segment is not None and segment.marks[position.row] != SETTLED:
            self._answered(segment, position.row)
            segment.marks[position.row] = SETTLED
            segment.count(position.row, -1)
            if segment.records == 0:
                self._passed(position.log, position.segment)

    # ------------------------------------------------------------ numbers

    def depth(self, old: Callable[[Rows, int], bool]) -> Mapping[Turn, Depth]:
        """What is not settled, by turn. A segment counts as history when its newest record does."""
        sums = {turn: [0, 0, 0] for turn in Turn}
        for (log, _), segment in self._segments.items():
            if not segment.records:
                continue
            turn = Turn.ALARM
            if log == DATA:
                turn = Turn.HISTORY if old(segment.rows, len(segment.marks) - 1) else Turn.LIVE
            for i, value in enumerate((segment.records, segment.bytes, segment.readings)):
                sums[turn][i] += value
        return {turn: Depth(*values) for turn, values in sums.items()}

    def oldest(self) -> tuple[Rows, int] | None:
        """The oldest record of the data log that is not settled."""
        for number in self._order[DATA]:
            segment = self._segments[DATA, number]
            if segment.records:
                return segment.rows, next(
                    r for r, mark in enumerate(segment.marks) if mark != SETTLED
                )
        return None

    def of_earlier_start(self, rows: Rows, row: int) -> bool:
        """Whether a record was committed by an earlier start of the gateway."""
        return rows.epoch(row) != self._epoch

    def keys_needed(self) -> list[bytes]:
        """Key ids of unsettled records, oldest first."""
        keys: dict[bytes, None] = {}
        numbers = sorted(self._segments, key=lambda key: key[1])
        for key in numbers:
            segment = self._segments[key]
            if not segment.records:
                continue
            last = -1
            for row, mark in enumerate(segment.marks):
                if mark != SETTLED and segment.rows.keys[row] != last:
                    last = segment.rows.keys[row]
                    keys[segment.rows.key_id(row)] = None
        return list(keys)

    def _settled_of(self, epoch: bytes) -> RangeSet:
        found = self.settled.get(epoch)
        if found is None:
            found = self.settled[epoch] = RangeSet()
        return found

    def _rows_of(
        self, epoch: bytes, first: int, last: int, *, settled: bool = False
    ) -> Iterator[Position]:
        # A segment holds one start's records only, with n rising, because every start opens its own.
        for key in self._epochs.get(epoch, ()):
            segment = self._segments[key]
            ns = segment.rows.ns
            known = len(segment.marks)
            low = bisect_left(ns, first, 0, known)
            for row in range(low, bisect_right(ns, last, low, known)):
                if (segment.marks[row] == SETTLED) is settled:
                    yield Position(key[0], key[1], row)
