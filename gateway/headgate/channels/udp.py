"""UDP as a channel: one datagram is one frame, and what is lost is a timeout.

There is no connection, so the line is up while the socket is; a port that nobody listens on is
answered by the peer's kernel, and then the line goes down.
"""

from __future__ import annotations

import asyncio
from typing import cast

from headgate.channels.tcp import TcpChannel, _Line


class UdpChannel(TcpChannel):
    """A UDP socket bound to one peer."""

    async def _dial(self) -> _Line:
        line = _Line(self)
        await self._env.net.connect_udp(lambda: _Datagrams(line), self._host, self._port)
        return line

    def _received(self, line: _Line, data: bytes) -> None:
        # A frame never reaches over two datagrams: the rest of a cut one must not meet the next.
        self._buffer.clear()
        super()._received(line, data)


class _Datagrams(asyncio.DatagramProtocol):
    """Datagrams as the bytes of a line."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line.connection_made(_AsStream(cast(asyncio.DatagramTransport, transport)))

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._line.data_received(data)

    def error_received(self, exc: Exception) -> None:
        self._line.channel.reopen(str(exc) or "unreachable")

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.connection_lost(exc)


class _AsStream(asyncio.Transport):
    """The transport of a datagram socket, as the channel knows transports."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.sendto(bytes(data))

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default
