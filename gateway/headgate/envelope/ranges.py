"""Sets of whole numbers as ranges: what a platform has of an epoch, what a gateway may forget."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

from headgate.envelope.wire import Counter, decode
from headgate.errors import EnvelopeError

_Ranges = tuple[tuple[Counter, Counter], ...]
_decoder = msgspec.msgpack.Decoder(_Ranges)


class RangeSet:
    """A set of numbers from 0 up, held as disjoint inclusive ranges that never touch.

    Adding the next number costs a comparison; anything else a binary search.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int | None = None) -> None:
        """Take one number, or all from `first` to `last`."""
        last = first if last is None else last
        if not 0 <= first <= last:
            raise ValueError(f"{first} to {last} is no range")
        firsts, lasts = self._firsts, self._lasts
        if not lasts or first > lasts[-1] + 1:
            firsts.append(first)
            lasts.append(last)
            return
        if first == lasts[-1] + 1:
            lasts[-1] = last
            return
        # Every range from `low` up to `high` touches the new one and melts into it.
        low = bisect_left(lasts, first - 1)
        high = bisect_right(firsts, last + 1)
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def union(self, other: RangeSet) -> None:
        """Take every number of another set."""
        for first, last in other.ranges():
            self.add(first, last)

    def discard(self, first: int, last: int) -> None:
        """Take all from `first` to `last` out; nothing when there is none."""
        if last < first:
            return
        firsts, lasts = self._firsts, self._lasts
        low = bisect_left(lasts, first)
        high = bisect_right(firsts, last)
        if low >= high:
            return
        # What sticks out at either end stays.
        kept = [(firsts[low], first - 1)] if firsts[low] < first else []
        if lasts[high - 1] > last:
            kept.append((last + 1, lasts[high - 1]))
        firsts[low:high] = [one for one, _ in kept]
        lasts[low:high] = [one for _, one in kept]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of `first` to `last` that are not in the set, rising."""
        found: list[tuple[int, int]] = []
        for at in range(bisect_left(self._lasts, first), bisect_right(self._firsts, last)):
            if first < self._firsts[at]:
                found.append((first, self._firsts[at] - 1))
            first = self._lasts[at] + 1
        if first <= last:
            found.append((first, last))
        return found

    def within(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of `first` to `last` that are in the set, rising."""
        return [
            (max(first, self._firsts[at]), min(last, self._lasts[at]))
            for at in range(bisect_left(self._lasts, first), bisect_right(self._firsts, last))
        ]

    def copy(self) -> RangeSet:
        """Another set of the same numbers."""
        made = RangeSet()
        made._firsts, made._lasts = self._firsts.copy(), self._lasts.copy()
        return made

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._lasts, number)
        return at < len(self._firsts) and self._firsts[at] <= number

    def around(self, number: int) -> tuple[int, int] | None:
        """The range that holds a number."""
        at = bisect_left(self._lasts, number)
        if at < len(self._firsts) and self._firsts[at] <= number:
            return self._firsts[at], self._lasts[at]
        return None

    @property
    def floor(self) -> int:
        """The smallest number that is not in the set: all below it are."""
        return self._lasts[0] + 1 if self._firsts and self._firsts[0] == 0 else 0

    @property
    def last(self) -> int | None:
        """The greatest number of the set."""
        return self._lasts[-1] if self._lasts else None

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """All ranges, rising."""
        return tuple(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many numbers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self.ranges() == other.ranges()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        shown = ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in self.ranges()[:8])
        return f"RangeSet({shown}{', ...' if len(self._firsts) > 8 else ''})"

    def encode(self) -> bytes:
        """The set as msgpack, for a store."""
        return msgspec.msgpack.encode(self.ranges())

    @classmethod
    def decode(cls, data: bytes) -> RangeSet:
        """A set from `encode`. Raises EnvelopeError."""
        ranges: tuple[tuple[int, int], ...] = decode(_decoder, data, "ranges")
        try:
            return cls(ranges)
        except ValueError as error:
            raise EnvelopeError(f"ranges: {error}") from None
