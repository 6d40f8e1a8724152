"""How much history may be on a link beside the live data: pure, told what time it is.

Two bounds are the site file's (a share of the window, bytes a second). The third is found out: history
takes back its place on the link as soon as live records take clearly longer over it than they used to, so
that a backlog on a thin link costs the present little. The idea is that of RFC 6817 (LEDBAT).
"""

from __future__ import annotations

from typing import Final

#: A live record may take this many times its usual way before history gives room, and a little more.
_LATE: Final = 1.5
_SLACK_US: Final = 20_000
#: What is usual is the least of the last two spans of this length: links change.
_SPAN_US: Final = 300_000_000


class HistoryPace:
    """One uplink's. Bytes and records of history; times in microseconds of boottime.

    Args:
        share: of the window, at most.
        rate: bytes a second, None without a bound. A second's worth may be saved up.
    """

    def __init__(self, share: float, rate: float | None, now_us: int) -> None:
        self._share = share
        self._rate = rate
        self._credit = 0.0
        self._credit_us = now_us
        self._records = float("inf")
        self._least: list[
            tuple[int, int]
        ] = []  # (beginning of the span, least way in it), two at most

    def allows(self, on_link: int, window: int, now_us: int) -> bool:
        """Whether one more record of history may go out, with so many of them on the link."""
        # One at least, or it would never go.
        if on_link >= max(1, int(min(window * self._share, self._records))):
            return False
        if self._rate is None:
            return True
        self._credit = min(self._rate, self._credit + (now_us - self._credit_us) / 1e6 * self._rate)
        self._credit_us = now_us
        return self._credit > 0

    def took(self, size: int) -> None:
        """A record of history goes out. One larger than the credit leaves a debt to wait off."""
        self._credit -= size

    def live_arrived(self, way_us: int, window: int, now_us: int) -> None:
        """The link has taken a live record that was handed to it `way_us` ago."""
        usual = min((least for _, least in self._least), default=way_us)
        most = max(1.0, window * self._share)
        now = min(self._records, most)
        if way_us > usual * _LATE + _SLACK_US:
            self._records = max(1.0, now / 2)
        else:
            self._records = min(most, now + 1 / now)
        if not self._least or now_us - self._least[-1][0] > _SPAN_US:
            self._least = [*self._least[-1:], (now_us, way_us)]
        elif way_us < self._least[-1][1]:
            self._least[-1] = (self._least[-1][0], way_us)
