"""How many callers a port has room for: who is let in, and who is turned away and why. Pure.

Every question costs the same however many are on the line.
"""

from __future__ import annotations

from collections import Counter

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What callers may take of one port.

    `calls` at once; `strangers` of them that have not said who they are, `from_one` of those from one
    address (a whole province may share an operator's); each has `introduce_s` for it. Who says nothing
    for `idle_s` is gone. New calls come at most `burst` at once and `per_s` a second.
    """

    calls: int = 4096
    strangers: int = 1024
    from_one: int = 256
    introduce_s: float = 30.0
    idle_s: float = 3600.0
    burst: int = 1024
    per_s: float = 200.0


class Places:
    """The places of one port. `take` before a call begins, `named` when it said who it is, `leave` after."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls = 0
        self._unnamed = 0
        self._unnamed_of: Counter[str] = Counter()
        self._tokens, self._tokens_at = float(limits.burst), 0.0

    def refusal(self, host: str, now: float) -> str | None:
        """Why a caller from `host` has no place now; None when it has one. `now` in seconds."""
        limits = self._limits
        grown = self._tokens + (now - self._tokens_at) * limits.per_s
        self._tokens, self._tokens_at = min(float(limits.burst), grown), now
        if self._tokens < 1:
            return "flood"
        self._tokens -= 1
        if self._calls >= limits.calls:
            return "full"
        if self._unnamed >= limits.strangers or self._unnamed_of[host] >= limits.from_one:
            return "strangers"
        return None

    def take(self, host: str) -> None:
        """A call from `host` begins."""
        self._calls += 1
        self._unnamed += 1
        self._unnamed_of[host] += 1

    def named(self, host: str) -> None:
        """One of the callers from `host` has said who it is."""
        self._unnamed -= 1
        self._unnamed_of[host] -= 1
        if self._unnamed_of[host] <= 0:
            del self._unnamed_of[host]

    def leave(self, host: str, *, named: bool) -> None:
        """A call from `host` is over."""
        self._calls -= 1
        if not named:
            self.named(host)
