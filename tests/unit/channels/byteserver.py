"""A TCP server that answers exactly as a test says, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[bytes, "Peer"], Awaitable[None]]


class Peer:
    """One accepted connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def hang_up(self) -> None:
        self.writer.close()


class ByteServer:
    """Reads frames of `size` bytes (0: as a Modbus TCP header says) and hands each to `answer`."""

    def __init__(self, answer: Answer, size: int) -> None:
        self.answer = answer
        self.size = size
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self._peers: list[Peer] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(writer)
        self._peers.append(peer)
        try:
            while True:
                request = await reader.readexactly(self.size or 6)
                if not self.size:
                    request += await reader.readexactly(request[4] << 8 | request[5])
                self.requests.append(request)
                await self.answer(request, peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def hang_up(self) -> None:
        for peer in self._peers:
            peer.hang_up()


@asynccontextmanager
async def byte_server(answer: Answer, size: int = 12) -> AsyncIterator[ByteServer]:
    """A server on a free loopback port; nothing of it is left afterwards."""
    server = ByteServer(answer, size)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server.serve(reader, writer))
        tasks.add(task)

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        server.hang_up()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()
