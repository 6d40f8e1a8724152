"""A station's connection to its centre: TCP or datagrams, bytes in and out."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

Transport = Literal["tcp", "udp"]


class Line(asyncio.Protocol, asyncio.DatagramProtocol):
    """One connection. `heard` gives what came, empty bytes once the centre has hung up."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.open = True
        # Untyped: the loop's own datagram transport is a subclass of nothing that says so.
        self._transport: Any = None

    @classmethod
    async def dial(
        cls, transport: Transport, host: str, port: int, source: str | None = None
    ) -> Line:
        """Connect. Raises OSError."""
        loop = asyncio.get_running_loop()
        own = None if source is None else (source, 0)
        line: Line
        if transport == "udp":
            _, line = await loop.create_datagram_endpoint(
                cls, remote_addr=(host, port), local_addr=own
            )
        else:
            _, line = await loop.create_connection(cls, host, port, local_addr=own)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.put_nowait(data)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody is at the port: a datagram sender hears of it now and then, and goes on."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.heard.put_nowait(b"")

    def send(self, data: bytes) -> None:
        """Send one segment. Raises ConnectionError when the line is gone."""
        if not self.open or self._transport is None:
            raise ConnectionResetError("hung up")
        if hasattr(self._transport, "sendto"):
            self._transport.sendto(data)
        else:
            self._transport.write(data)

    def hang_up(self) -> None:
        """End it at once, as a modem does."""
        self.open = False
        if hasattr(self._transport, "sendto"):
            self._transport.close()
        elif self._transport is not None:
            self._transport.abort()
