"""How much of a line silent devices may take, and how long one is left alone."""

from __future__ import annotations

import msgspec


class Tuning(msgspec.Struct, frozen=True):
    """What a site may set about silence. Times in seconds.

    After `quarantine_after` silent looks in a row a device is left alone for `quarantine_first_s`,
    doubling up to `quarantine_cap_s`, each drawn from 0.8 to 1.2 of that. Looks at devices that are
    known to be silent take at most `silent_share` of a line's time, beyond a first `silent_burst_s`.
    `first_look_s` is how soon after its start every device is looked at once.
    """

    quarantine_after: int = 3
    quarantine_first_s: float = 10.0
    quarantine_cap_s: float = 300.0
    silent_share: float = 0.2
    silent_burst_s: float = 2.0
    first_look_s: float = 0.5


class SilenceBudget:
    """Line time that may still be spent on devices known to be silent; it grows with time."""

    def __init__(self, share: float, burst_s: float, now: float) -> None:
        self._share = share
        self._burst_s = burst_s
        self._left_s = burst_s
        self._at = now
        self.spent_s = 0.0

    def allows(self, now: float) -> bool:
        """Whether another such look may begin."""
        self._left_s = min(self._burst_s, self._left_s + (now - self._at) * self._share)
        self._at = now
        return self._left_s > 0

    def spend(self, seconds: float) -> None:
        """A look brought nothing and took this long. The budget may go into debt."""
        self._left_s -= seconds
        self.spent_s += seconds


class Quarantine:
    """How long one device is left alone: not at all, or until the next probe."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._wait_s = 0.0
        self.silent_looks = 0
        self.until_us: int | None = None

    def spoke(self) -> None:
        """The device is back."""
        self.silent_looks = 0
        self._wait_s = 0.0
        self.until_us = None

    def silent(self, now_us: int, jitter: float) -> None:
        """One more look brought nothing. `jitter` is a factor around 1."""
        self.silent_looks += 1
        if self.silent_looks < self._tuning.quarantine_after:
            return
        tuning = self._tuning
        self._wait_s = min(self._wait_s * 2 or tuning.quarantine_first_s, tuning.quarantine_cap_s)
        self.until_us = now_us + int(self._wait_s * jitter * 1_000_000)
