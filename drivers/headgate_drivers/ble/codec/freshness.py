"""Whether a sealed frame is new: its counter may only rise."""

from __future__ import annotations

#: So near to its end a counter may begin again at zero, this near to it.
_WRAP_MARGIN = 1000


class Freshness:
    """The counter of one device, and when it was last accepted.

    Args:
        bits: how wide the counter is.
        restart_us: after so long a silence a lower counter is believed (a new battery, and a device
            that forgets its counter with the old one); None: never.
    """

    def __init__(self, bits: int = 32, restart_us: int | None = None) -> None:
        self._end = 1 << bits
        self._restart_us = restart_us
        self._last: int | None = None
        self._at_us = 0

    @property
    def last(self) -> int | None:
        """The counter that was accepted last."""
        return self._last

    def accept(self, counter: int, now_us: int, *, shared: bool = False) -> bool:
        """Take a counter, or refuse it as a replay. `shared`: several frames may carry one number."""
        last = self._last
        if last is not None and not (counter > last or (shared and counter == last)):
            wrapped = last >= self._end - _WRAP_MARGIN and counter < _WRAP_MARGIN
            quiet_us = now_us - self._at_us
            forgot = self._restart_us is not None and quiet_us >= self._restart_us
            if not (wrapped or (forgot and counter < last)):
                return False
        self._last, self._at_us = counter, now_us
        return True
