"""The channel of a driver whose library owns its connection (OPC UA, BLE): a name, options, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from typing import Any

from headgate.env import Env
from headgate.errors import ChannelClosed
from headgate.sdk import Channel, Frame, Framing, LineSettings


class OwnLine(Channel):
    """Carries no bytes. `options` are the channel's, with secrets fetched: never logged."""

    def __init__(self, env: Env, channel_id: str, url: str, options: Mapping[str, Any]) -> None:
        self.id = channel_id
        self.url = url
        self.options = options
        self._now_us = env.clock.boottime_us
        #: Told by the driver: state (`up`, `down`) and reason.
        self.on_report: Callable[[str, str], None] = lambda state, reason: None
        #: Set by the driver: what it counts besides, by name, for `headgate status` and metrics.
        self.tally: Callable[[], Mapping[str, int]] = dict

    def report(self, state: str, reason: str = "") -> None:
        """How the driver's own connection is, for `headgate status` and the platform."""
        self.on_report(state, reason)

    def now_us(self) -> int:
        """Boottime in microseconds."""
        return self._now_us()

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        """There are no bytes to exchange here. Raises ChannelClosed."""
        raise ChannelClosed(f"channel {self.id} is its driver's own")

    async def send(self, data: bytes) -> None:
        """As `exchange`."""
        raise ChannelClosed(f"channel {self.id} is its driver's own")

    async def frames(self, framing: Framing) -> AsyncIterator[Frame]:
        """As `exchange`."""
        for _ in ():
            yield Frame(None, b"")
        raise ChannelClosed(f"channel {self.id} is its driver's own")
