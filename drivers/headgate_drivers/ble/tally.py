"""What one channel counted, over all the lines it had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from headgate_drivers.ble.strangers import Strangers


class Tally:
    """Sums that never fall: those of lines that ended, and of the one that is listened to."""

    def __init__(self) -> None:
        self.strangers = Strangers()
        self._kept: Counter[str] = Counter()
        self._running: Callable[[], Mapping[str, int]] = dict

    def follow(self, counted: Callable[[], Mapping[str, int]]) -> None:
        """A line was begun."""
        self._running = counted

    def keep(self) -> None:
        """It ended."""
        self._kept.update(self._running())
        self._running = dict

    def now(self) -> Mapping[str, int]:
        """Everything until now; `stranger_senders` is about how many there were in ten minutes."""
        total = self._kept + Counter(self._running())
        # The strangers' own count goes on over all lines.
        total["strangers"] = self.strangers.adverts
        return {**total, "stranger_senders": self.strangers.senders}
