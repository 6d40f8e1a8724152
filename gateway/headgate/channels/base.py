"""What the core keeps of every channel: its state, its counters, its taps, and how it is opened.

A driver sees `headgate.sdk.Channel` and nothing of this. The runtime sees the whole.
"""

from __future__ import annotations

import ssl
from abc import abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import msgspec

from headgate.link import field_context
from headgate.sdk import Channel

#: What a tap is told: which way the bytes went, the bytes, and the boottime in microseconds.
Direction = Literal["sent", "received"]
Tap = Callable[[Direction, bytes, int], None]


class ChannelState(StrEnum):
    """Where a line stands."""

    #: The first attempt is still running: nobody knows yet.
    OPENING = "opening"
    UP = "up"
    #: Lost or refused; the channel tries again by itself.
    DOWN = "down"
    CLOSED = "closed"


class TlsFiles(msgspec.Struct, frozen=True):
    """Where the certificates of a line lie (PEM): the root, and our own pair where one is asked for."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, the far side always checked. Raises OSError (ssl.SSLError among them)."""
        return field_context(self.ca, self.certificate, self.key)


class ChannelSettings(msgspec.Struct, frozen=True):
    """One channel as the site file describes it. Times in seconds.

    `depth` is how many requests may be in flight. `quiet_s` is the silence that ends a drain once
    late bytes have come. Reconnecting waits `retry_first_s`, doubling up to `retry_cap_s`, each wait
    drawn from half to one and a half of that. After `silent_limit` timeouts in a row without one
    received byte the line is opened anew; `unacknowledged_s` is how long the peer's kernel may leave
    our bytes unacknowledged (TCP_USER_TIMEOUT). `gap_s` is the least silence between two requests on
    a bus. `tls_files` are read at the first attempt to connect, where `tls` is not given.
    """

    id: str
    url: str
    depth: int = 1
    timeout_s: float = 1.0
    connect_timeout_s: float = 5.0
    retry_first_s: float = 0.5
    retry_cap_s: float = 30.0
    quiet_s: float = 0.05
    drain_limit_s: float = 5.0
    silent_limit: int = 10
    unacknowledged_s: float = 15.0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    tls_files: TlsFiles | None = None
    gap_s: float = 0.0


class ChannelCounters(msgspec.Struct):
    """What a line has seen since it was made. Only ever rises.

    `stale` counts whole frames that nobody waited for; `dropped_bytes` what was thrown away in a
    drain or as noise; `connects` how often the line came up.
    """

    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    stale: int = 0
    dropped_bytes: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    connects: int = 0
    connect_failures: int = 0


class ManagedChannel(Channel):
    """A channel as the runtime holds it."""

    depth: int = 1

    def __init__(self) -> None:
        self.counters = ChannelCounters()
        self.state = ChannelState.CLOSED
        #: Why the line is down, for people; empty while it is not.
        self.reason = ""
        #: Called after each change of `state`.
        self.on_state: Callable[[ChannelState], None] | None = None
        self._taps: tuple[Tap, ...] = ()

    def add_tap(self, tap: Tap) -> None:
        """Show `tap` every byte that goes over the line, until it is removed."""
        self._taps = (*self._taps, tap)

    def remove_tap(self, tap: Tap) -> None:
        """Stop showing bytes to `tap`; nothing when it is not there."""
        self._taps = tuple(known for known in self._taps if known is not tap)

    @abstractmethod
    def open(self) -> None:
        """Start to connect, and keep connected until `close`. Needs a running loop."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the line; pending requests fail with ChannelClosed. Nothing is left running."""

    @abstractmethod
    async def settled(self) -> None:
        """Return when the first attempt to open has ended, well or not."""

    def _enter(self, state: ChannelState, reason: str = "") -> None:
        if state is self.state:
            self.reason = reason
            return
        self.state = state
        self.reason = reason
        if self.on_state is not None:
            self.on_state(state)
