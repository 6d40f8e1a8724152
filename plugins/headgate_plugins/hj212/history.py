"""What was told of periods that are over, to be told again when a bureau asks (2051, 2061, 2031). Pure.

In memory; the oldest is dropped first. A start fills it with what the spool keeps of two days.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate_plugins.hj212.periods import DAY, HOUR, MINUTES, Key

#: Periods that are kept of each kind: a week of ten minutes, a month of hours, a year of days.
KEPT = {MINUTES: 1008, HOUR: 744, DAY: 366}


class History:
    """CP of periods that were told, by command and beginning."""

    def __init__(self) -> None:
        self._told: dict[str, dict[int, str]] = {cn: {} for cn in KEPT}

    def keep(self, key: Key, cp: str) -> None:
        """A period that was told; told again, the newer counts."""
        cn, start_s = key
        told = self._told.get(cn)
        if told is None:
            return
        told[start_s] = cp
        while len(told) > KEPT[cn]:
            del told[min(told)]

    def between(self, cn: str, begin_s: float, end_s: float) -> Iterator[tuple[int, str]]:
        """Beginning and CP of periods that begin in this time, both ends included, oldest first."""
        for start_s, cp in sorted(self._told[cn].items()):
            if begin_s <= start_s <= end_s:
                yield start_s, cp
