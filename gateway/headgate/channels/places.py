"""How many callers a port has room for: who is let in, who is turned away, and who has to go for them. Pure.

Every question costs the same however many are on the line.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

import msgspec

C = TypeVar("C")

#: Addresses whose share of new calls is remembered; the one that came longest ago is forgotten first.
_MOST_ADDRESSES = 4096


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What callers may take of one port: the channel's option `limits`.

    `calls` at once; `strangers` of them that have not said who they are, `from_one` of those from one
    address (a whole province may share an operator's); each has `introduce_s` and `introduce_bytes` for it.
    Who says nothing for `idle_s` is gone. New calls come at most `burst` at once and `per_s` a second, half
    of it from one address. A call brings `bytes_per_s`, after `bytes_burst` at once.
    """

    calls: int = 4096
    strangers: int = 1024
    from_one: int = 256
    introduce_s: float = 30.0
    introduce_bytes: int = 32 * 1024
    idle_s: float = 3600.0
    burst: int = 1024
    per_s: float = 200.0
    bytes_burst: int = 512 * 1024
    bytes_per_s: float = 64 * 1024

    def __post_init__(self) -> None:
        small = [name for name in self.__struct_fields__ if getattr(self, name) < 0]
        if small or min(self.calls, self.strangers, self.from_one, self.burst) < 1:
            raise ValueError("limits are numbers above 0")


@lru_cache(maxsize=4096)
def counted_as(host: str) -> str:
    """What counts as one address: IPv4 also where it is mapped into IPv6; of IPv6 the /64 of a line.

    RFC 4291, 2.5.5.2; RFC 6177: a site has a /64 at least.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()


class _Bucket:
    """So many at once, and so many a second after that."""

    def __init__(self, burst: float) -> None:
        self._tokens, self._at = burst, 0.0

    def take(self, now: float, burst: float, per_s: float, share: float = 1.0) -> bool:
        grown = self._tokens + (now - self._at) * per_s
        self._tokens, self._at = min(burst, grown), now
        if self._tokens < share:
            return False
        self._tokens -= share
        return True


class Places(Generic[C]):
    """The places of one port. `take` before a call begins, `named` when it said who it is, `leave` after."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls = 0
        #: Who has not said who it is: the one that came first is first; and the same for each address.
        self._unnamed: OrderedDict[C, None] = OrderedDict()
        self._unnamed_of: dict[str, OrderedDict[C, None]] = {}
        self._all = _Bucket(limits.burst)
        self._of: OrderedDict[str, _Bucket] = OrderedDict()

    def refusal(self, host: str, now: float) -> str | None:
        """Why a caller from `host` has no place now; None when it has one. `now` in seconds."""
        limits = self._limits
        own = self._of.pop(host, None)
        if own is None:
            own = _Bucket(limits.burst / 2)
        self._of[host] = own
        while len(self._of) > _MOST_ADDRESSES:
            self._of.popitem(last=False)
        # Its own share first: who floods from one address must not use up what all others have.
        if not own.take(now, max(1.0, limits.burst / 2), limits.per_s / 2):
            return "flood"
        if not self._all.take(now, float(limits.burst), limits.per_s):
            return "flood"
        if self._calls >= limits.calls and not self._unnamed:
            return "full"
        return None

    def crowded(self, host: str) -> C | None:
        """Who has to go for one more caller from `host`: where there are too many, the oldest stranger.

        A station says who it is as soon as it is connected: who has not after all others came never will.
        """
        limits = self._limits
        same = self._unnamed_of.get(host)
        if same is not None and len(same) >= limits.from_one:
            return next(iter(same))
        if len(self._unnamed) >= limits.strangers or self._calls >= limits.calls:
            return next(iter(self._unnamed))
        return None

    def take(self, host: str, call: C) -> None:
        """A call from `host` begins."""
        self._calls += 1
        self._unnamed[call] = None
        self._unnamed_of.setdefault(host, OrderedDict())[call] = None

    def named(self, host: str, call: C) -> None:
        """A caller from `host` has said who it is."""
        self._unnamed.pop(call, None)
        same = self._unnamed_of.get(host)
        if same is not None:
            same.pop(call, None)
            if not same:
                del self._unnamed_of[host]

    def leave(self, host: str, call: C) -> None:
        """A call from `host` is over."""
        self._calls -= 1
        self.named(host, call)


class Pace:
    """How much one call may bring: `take` says how long it has to pause."""

    def __init__(self, limits: Limits) -> None:
        self._burst, self._per_s = float(limits.bytes_burst), limits.bytes_per_s
        self._left, self._at = self._burst, 0.0

    def take(self, size: int, now: float) -> float:
        """Seconds until the next bytes may come; 0: at once."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - size
        self._at = now
        return 0.0 if self._left >= 0 else -self._left / max(self._per_s, 1.0)
