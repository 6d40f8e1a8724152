"""What a server's clock says against ours. Pure.

Every answer names the server's time a little late: it was on its way, or the server keeps its own clock in a
variable that it writes once a second. So of the last few differences the greatest is the best, and
a clock that is set back is believed as soon as those from before are forgotten.
"""

from __future__ import annotations

from collections import deque

#: Differences that are kept: as many answers, which is how long a clock that was set back is not believed.
_KEPT = 8


class ServerClock:
    """The difference between one server's clock (unix) and our boottime, both in microseconds."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=_KEPT)

    def see(self, server_us: int, now_us: int) -> None:
        """The server said `server_us` in something that came at `now_us`."""
        self._offsets.append(server_us - now_us)

    @property
    def offset_us(self) -> int | None:
        """What to take from a time of the server to have our boottime; None: nothing heard yet."""
        return max(self._offsets, default=None)

    def ours(self, server_us: int) -> int | None:
        """An instant that the server named, as boottime; None when its clock is not known."""
        offset_us = self.offset_us
        return None if offset_us is None else server_us - offset_us

    def ahead_us(self, now_us: int, wall_us: int) -> int | None:
        """How much the server's clock is ahead of our wall clock (behind: negative)."""
        offset_us = self.offset_us
        return None if offset_us is None else offset_us + now_us - wall_us
