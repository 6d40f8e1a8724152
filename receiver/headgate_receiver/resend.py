"""What a store that was wiped or restored should ask for again.

A store that meets an epoch in its middle has holes below what it gets. Most holes fill by themselves
(records overtake each other while a backlog drains) and some never will (a number is spent also when
its record was never stored), so a hole is asked for after a while, a few times, and then let be.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import MAX_RANGES

#: After a first look, a hole must stay this long before it is asked for; then ever longer.
PATIENCE_US: Final = (10_000_000, 60_000_000, 600_000_000)
_REMEMBERED: Final = 10_000


class _Epoch(msgspec.Struct):
    holes: RangeSet
    since_us: int
    asked: int = 0


class Missing:
    """Remembers which holes were seen when."""

    def __init__(self) -> None:
        self._epochs: OrderedDict[tuple[str, bytes], _Epoch] = OrderedDict()

    def wish(
        self, gateway: str, epoch: bytes, stored: RangeSet, now_us: int
    ) -> Sequence[tuple[int, int]]:
        """Ranges to ask for now; mostly none. `now_us` is boottime."""
        key = (gateway, epoch)
        holes = _holes(stored)
        if not holes:
            self._epochs.pop(key, None)
            return ()
        known = self._epochs.get(key)
        if known is None:
            known = self._epochs[key] = _Epoch(RangeSet(holes), now_us)
            if len(self._epochs) > _REMEMBERED:
                self._epochs.popitem(last=False)
        if known.asked >= len(PATIENCE_US) or now_us - known.since_us < PATIENCE_US[known.asked]:
            return ()
        # Of the holes seen back then, those that are still there; newer ones get their own time.
        old = [hole for hole in holes if hole[0] in known.holes or hole[1] in known.holes]
        known.asked += 1
        known.since_us = now_us
        known.holes = RangeSet(holes)
        return tuple(old[:MAX_RANGES])


def _holes(stored: RangeSet) -> list[tuple[int, int]]:
    holes = []
    start = 0
    for first, last in stored.ranges():
        if first > start:
            holes.append((start, first - 1))
        start = last + 1
    return holes
