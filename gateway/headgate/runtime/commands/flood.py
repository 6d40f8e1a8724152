"""How many messages one uplink may bring: a bucket that fills by itself."""

from __future__ import annotations

from typing import Final

PER_SECOND: Final = 2.0
AT_ONCE: Final = 20


class Bucket:
    """Holds `AT_ONCE` messages, and gets `per_second` back."""

    def __init__(self, now_us: int, per_second: float = PER_SECOND) -> None:
        self._per_second = per_second
        self._level = float(AT_ONCE)
        self._at_us = now_us

    def take(self, now_us: int) -> bool:
        """Whether one more may come."""
        self._level = min(AT_ONCE, self._level + (now_us - self._at_us) / 1e6 * self._per_second)
        self._at_us = now_us
        if self._level < 1:
            return False
        self._level -= 1
        return True
