"""A line on which one speaks at a time: RS-485 behind a serial port, a serial server or a dial-in modem.

What a bus needs beyond a connection: silence between two requests, an echo taken off, an answer that
has begun waited for to its end, and nothing left over from before when a request goes out. That a
late answer never becomes the next request's value is the drain of `headgate.channels.tcp`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress

from headgate.channels.base import ChannelSettings
from headgate.channels.tcp import TcpChannel, _Line
from headgate.env import Env
from headgate.errors import ChannelClosed, ChannelTimeout
from headgate.sdk import Framing, LineSettings

#: The longest frame of any framing spoken over a bus (Modbus ASCII: 513 characters).
LONGEST_FRAME = 513
#: Two pieces of one answer are never further apart than this: USB adapters hand over every 16 ms,
#: serial servers and mobile networks hold back longer.
SAME_ANSWER_S = 0.08


class BusChannel(TcpChannel):
    """A half-duplex line over one TCP connection (a serial server in raw mode)."""

    def __init__(
        self, env: Env, settings: ChannelSettings, host: str, port: int, line: LineSettings
    ) -> None:
        super().__init__(env, settings, host, port)
        self.depth = 1
        self._base = line
        self._now = line
        #: The line was being set when that failed or was cancelled: it could be either.
        self._unsure = False
        self._turn = asyncio.Lock()
        self._last_byte = 0.0
        self._echo = b""

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        async with self._turn:
            await self._take_line(settings or self._base)
            line = self._now
            self._echo = request if line.echo else b""
            timeout = (timeout_s or self._settings.timeout_s) + self._wire_s(len(request))
            try:
                return await super().exchange(request, framing, key=key, timeout_s=timeout)
            except ChannelTimeout:
                # Here, so that what the silence costs is put down to the silent one's account.
                with suppress(ChannelClosed):
                    await self._drain()
                raise

    async def send(self, data: bytes) -> None:
        async with self._turn:
            await self._take_line(self._base)
            self._echo = data if self._now.echo else b""
            await super().send(data)

    async def tune(self, line: LineSettings | None) -> None:
        """Listen with these settings (None: the line's own) until the next request wants others.

        Raises:
            ChannelClosed, ChannelError: the line is down, or cannot be set so.
        """
        async with self._turn:
            await self._take_line(line or self._base)

    # ------------------------------------------------------------ what other buses do otherwise

    async def _set(self, line: LineSettings) -> None:
        """Make the line so. A serial server's own settings are not ours to change."""

    def _wire_s(self, size: int) -> float:
        """How long `size` bytes are on the wire beyond what the connection itself tells."""
        return 0.0

    # ------------------------------------------------------------ discipline

    async def _take_line(self, line: LineSettings) -> None:
        """Return when a request may go out: drained, set, quiet for the gap, and nothing left over."""
        if self._quiet_at:
            await self._drain()
        if line != self._now or self._unsure:
            self._unsure = True
            await self._set(line)
            self._now, self._unsure = line, False
        loop = asyncio.get_running_loop()
        gap = max(line.silence(), self._settings.gap_s)
        wait = self._last_byte + gap - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        if self._buffer:
            self.counters.dropped_bytes += len(self._buffer)
            self._buffer.clear()

    def _send(self, line: _Line, data: bytes) -> None:
        super()._send(line, data)
        self._last_byte = line.loop.time() + self._wire_s(len(data))

    def _received(self, line: _Line, data: bytes) -> None:
        self._last_byte = line.loop.time()
        if self._echo:
            count = min(len(self._echo), len(data))
            if data[:count] == self._echo[:count]:
                self._echo, data = self._echo[count:], data[count:]
                if not data:
                    return
            else:
                # Somebody else spoke, or this adapter has no echo: what came is looked at as it is.
                self._echo = b""
        super()._received(line, data)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """An answer that has begun is waited for to its end, which a low baud rate puts far off."""
        now = loop.time()
        if self._buffer and self._pending and now - self._last_byte < SAME_ANSWER_S:
            deadline = min(deadline for _, deadline in self._pending.values())
            if now < deadline + self._wire_s(LONGEST_FRAME) + SAME_ANSWER_S:
                self._timer = None
                self._wake_at(loop, self._last_byte + SAME_ANSWER_S)
                return
        super()._sweep(loop)
