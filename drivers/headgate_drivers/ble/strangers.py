"""Everybody the site does not know: how many, never who."""

from __future__ import annotations

import math
from zlib import crc32

#: Over how long senders are counted; phones change their address every quarter of an hour.
WINDOW_US = 600_000_000
_BITS = 1 << 14


class Strangers:
    """Counts adverts exactly, and senders without keeping one address.

    Each sender sets one bit of a map; how many bits are still clear tells how many senders there were
    (linear counting: within a few percent up to some 20,000).
    Source: Whang et al., "A linear-time probabilistic counting algorithm", ACM TODS 15(2), 1990.
    """

    def __init__(self) -> None:
        self.adverts = 0
        self._map = bytearray(_BITS // 8)
        self._before = 0
        self._since_us: int | None = None

    def heard(self, address: str, now_us: int) -> None:
        """One advert of a sender."""
        self.adverts += 1
        if self._since_us is None or now_us - self._since_us >= WINDOW_US:
            self._before = 0 if self._since_us is None else self._estimate()
            self._map = bytearray(_BITS // 8)
            self._since_us = now_us
        bit = crc32(address.encode()) % _BITS
        self._map[bit >> 3] |= 1 << (bit & 7)

    @property
    def senders(self) -> int:
        """About how many there were in this window or the one before, whichever had more."""
        return max(self._before, self._estimate())

    def _estimate(self) -> int:
        clear = _BITS - sum(byte.bit_count() for byte in self._map)
        # A full map says "at least so many" and no more.
        return round(-_BITS * math.log(max(clear, 1) / _BITS))
