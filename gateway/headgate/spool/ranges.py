"""A set of integers kept as ranges: settled records come in long runs, with holes that close later."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Integers as sorted, disjoint, inclusive ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add first..last; nothing when last < first."""
        if last < first:
            return
        left = bisect_right(self._last, first - 2)
        right = left
        while right < len(self._first) and self._first[right] <= last + 1:
            first = min(first, self._first[right])
            last = max(last, self._last[right])
            right += 1
        self._first[left:right] = [first]
        self._last[left:right] = [last]

    def discard(self, first: int, last: int) -> None:
        """Take first..last out."""
        if last < first:
            return
        kept: list[tuple[int, int]] = []
        left = bisect_right(self._last, first - 1)
        right = left
        while right < len(self._first) and self._first[right] <= last:
            if self._first[right] < first:
                kept.append((self._first[right], first - 1))
            if self._last[right] > last:
                kept.append((last + 1, self._last[right]))
            right += 1
        self._first[left:right] = [a for a, _ in kept]
        self._last[left:right] = [b for _, b in kept]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of first..last that are not in the set."""
        found: list[tuple[int, int]] = []
        at = bisect_right(self._last, first - 1)
        while first <= last:
            if at == len(self._first) or self._first[at] > last:
                found.append((first, last))
                break
            if self._first[at] > first:
                found.append((first, self._first[at] - 1))
            first = self._last[at] + 1
            at += 1
        return found

    def __contains__(self, n: int) -> bool:
        at = bisect_right(self._first, n)
        return at > 0 and self._last[at - 1] >= n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._first, self._last, strict=True)))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
