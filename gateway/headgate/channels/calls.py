"""One call: a connection that somebody made to us, or the datagrams of one sender."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Protocol, cast

from headgate.channels.places import Limits, Pace
from headgate.errors import ChannelClosed, ChannelTimeout
from headgate.sdk import Channel, Frame, Framing, LineSettings

#: Bytes that wait for the driver; then the caller has to wait, too.
MOST_WAITING = 64 * 1024
#: Bytes that wait for the caller to read them; then it is no caller.
MOST_UNREAD = 64 * 1024
#: How long what was sent may take to go out, once a call is over.
_LINGER_S = 5.0


class Wire(Protocol):
    """What a call needs of a transport."""

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def pause(self) -> None:
        """Take no more for now."""
        ...

    def resume(self) -> None:
        """Take more again."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


class Call(Channel):
    """Bytes from one caller. `heard_us` is when it last said anything, `name` who it is once it said so.

    `names`: behind a concentrator several stations share one call; `name` is who spoke last.
    """

    def __init__(
        self, channel_id: str, url: str, peer: str, wire: Wire, now_us: Callable[[], int],
        limits: Limits,
    ) -> None:  # fmt: skip
        self.id, self.url, self.peer = channel_id, url, peer
        self.name = ""
        self.names: set[str] = set()
        self._wire = wire
        self._now_us = now_us
        self.began_us = self.heard_us = now_us()
        self._buffer = bytearray()
        self._more = asyncio.Event()
        #: Why nothing more is taken for now: too much waits, too much came lately.
        self._full = self._fast = False
        self._came = 0
        self._again: asyncio.TimerHandle | None = None
        self._pace, self._introduce_bytes = Pace(limits), limits.introduce_bytes
        self.open = True
        #: Called once each: when it has said who it is, when it is over, when it talks and says no name.
        self.on_named: Callable[[Call], None] = lambda call: None
        self.on_end: Callable[[Call], None] = lambda call: None
        self.on_babble: Callable[[Call, bytes], None] = lambda call, data: None
        self.tap: Callable[[str, bytes], None] = lambda way, data: None
        #: Now, in unix microseconds; None while the clock is not trusted.
        self.wall: Callable[[], int | None] = lambda: None

    # ------------------------------------------------------------ from the transport

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self.heard_us = self._now_us()
        self.tap("rx", data)
        # What the driver has seen of it: a name may stand in what still waits.
        if not self.name and self._came - len(self._buffer) > self._introduce_bytes:
            self.on_babble(self, data)
            return
        self._came += len(data)
        self._buffer += data
        self._more.set()
        wait_s = self._pace.take(len(data), self.heard_us / 1e6)
        if wait_s and not self._fast:
            self._fast = True
            self._again = asyncio.get_running_loop().call_later(wait_s, self._slowed)
            self._wire.pause()
        if len(self._buffer) > MOST_WAITING and not self._full:
            self._full = True
            self._wire.pause()

    def _slowed(self) -> None:
        self._fast, self._again = False, None
        if not self._full:
            self._wire.resume()

    @property
    def fast(self) -> bool:
        """Whether it brings more than a call may."""
        return self._fast

    def ended(self) -> None:
        """The caller hung up, or the line broke."""
        if self.open:
            self.open = False
            self._more.set()
            if self._again is not None:
                self._again.cancel()
            self.on_end(self)

    @property
    def waiting(self) -> int:
        """Bytes that the driver has not taken yet."""
        return len(self._buffer)

    # ------------------------------------------------------------ to the driver

    async def frames(self, framing: Framing) -> AsyncIterator[Frame]:
        """Every frame that arrives, until the call ends. What waits then is still given."""
        while True:
            while (frame := framing.next(self._buffer)) is not None:
                yield frame
            if self._full and len(self._buffer) < MOST_WAITING // 2:
                self._full = False
                if not self._fast:
                    self._wire.resume()
            if not self.open:
                return
            if len(self._buffer) > 2 * MOST_WAITING:
                raise ChannelClosed("a framing that keeps everything")
            self._more.clear()
            await self._more.wait()

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        """Ask the caller something, while nobody else reads its frames."""
        await self.send(request)
        try:
            async with asyncio.timeout(timeout_s):
                async for frame in self.frames(framing):
                    if frame.key == key:
                        return frame.payload
        except TimeoutError:
            raise ChannelTimeout(f"{self.peer} did not answer") from None
        raise ChannelClosed(f"{self.peer} hung up")

    async def send(self, data: bytes) -> None:
        """Send to the caller. Raises ChannelClosed."""
        if not self.open:
            raise ChannelClosed(f"{self.peer} hung up")
        self.tap("tx", data)
        self._wire.write(data)

    def now_us(self) -> int:
        """Boottime in microseconds."""
        return self._now_us()

    def wall_us(self) -> int | None:
        """Now, in unix microseconds; None while the clock is not trusted."""
        return self.wall()

    def introduce(self, name: str) -> None:
        """Whoever calls has said who it is."""
        before, self.name = self.name, name
        self.names.add(name)
        if name and not before:
            self.on_named(self)

    def dismiss(self, name: str) -> None:
        """That caller is on another call now."""
        self.names.discard(name)

    def hang_up(self) -> None:
        """End this call."""
        if self.open:
            self.ended()
            self._wire.abort()


class TcpCall(asyncio.Protocol):
    """A connection, as a call."""

    def __init__(self, came: Callable[[TcpCall], Call | None]) -> None:
        self._came = came
        self._call: Call | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses: nothing to assert by.
        self.transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if (line := transport.get_extra_info("socket")) is not None:
            # The kernel would keep megabytes of answers for each caller who does not read them.
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_UNREAD)
        self.host = str(name[0]) if name else ""
        self.peer = f"{name[0]}:{name[1]}" if name else ""
        self._call = self._came(self)
        if self._call is None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._call is not None:
            self._call.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._call is not None:
            self._call.ended()

    def write(self, data: bytes) -> None:
        """Send. Who lets answers pile up without reading them is ended."""
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()

    def pause(self) -> None:
        """Take no more for now."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Take more again."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """End it: what was sent still goes out, unless the far side does not take it."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_LINGER_S, self.transport.abort)
