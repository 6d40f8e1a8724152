"""How often a port says in the log what strangers do: they must fill neither the log nor our memory. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

#: One thing is said at most this often; the next line says how many times it was meanwhile.
EVERY_S: Final = 10.0
#: Lines in that time, whatever they are about: the tally has the rest.
LINES: Final = 32
#: Things that are remembered to have been said.
_MOST: Final = 256


class Words:
    """What was said when, and what was not."""

    def __init__(self) -> None:
        self._again_at: dict[str, float] = {}
        self._untold: Counter[str] = Counter()
        self._until, self._lines = 0.0, 0

    def due(self, about: str, now: float) -> int:
        """How many times it was since it was said last, when it is to be said now; 0: it is not."""
        if about in self._untold or len(self._untold) < _MOST:
            self._untold[about] += 1
        if now >= self._until:
            self._until, self._lines = now + EVERY_S, 0
        if now < self._again_at.get(about, 0.0) or self._lines >= LINES:
            return 0
        self._lines += 1
        times = self._untold.pop(about, 1)
        if len(self._again_at) > _MOST:
            self._again_at.clear()
            self._untold.clear()
        self._again_at[about] = now + EVERY_S
        return times

    def __len__(self) -> int:
        return len(self._again_at) + len(self._untold)
