"""A proxy on TCP that gives a link weather: slow, thin, in crumbs, deaf, cut, cut in the middle of a packet.

    async with Proxy("127.0.0.1", broker.port) as proxy:
        ...                                   # clients connect to proxy.port
        proxy.weather = Weather(latency_s=0.2, rate=2_000)
        proxy.reset()                         # RST to everybody

A change of `weather` holds at once, for open connections too.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, Self

_RST = struct.pack("ii", 1, 0)  # SO_LINGER on, no seconds: close() sends RST


@dataclass(frozen=True)
class Weather:
    """What becomes of bytes on their way. The default is a good day.

    `rate` in bytes a second; `crumb` is the largest piece handed on at once; `deaf`: whose bytes vanish
    while the connection stays ("both": half-open). A connection that has lost bytes is never heard again
    that way, as when a box on the way has forgotten it: only its ends can give it up. `cut_after`:
    bytes from the client after which the connection ends, wherever that is in a packet; `refuse`:
    accepted and closed at once.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    rate: float | None = None
    crumb: int | None = None
    deaf: Literal["", "up", "down", "both"] = ""
    cut_after: int | None = None
    cut: Literal["reset", "close"] = "close"
    refuse: bool = False


class Proxy:
    """Listens on a free port of loopback, and passes on to one address."""

    def __init__(self, host: str, port: int, seed: object = 0) -> None:
        self._to = host, port
        self._rng = random.Random(f"proxy/{seed}")
        self.weather = Weather()
        self.port = 0
        self._server: asyncio.AbstractServer | None = None
        self._pairs: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def reset(self) -> None:
        """Cut every open connection with RST."""
        for task, writer in list(self._pairs.items()):
            _hard(writer)
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = writer
        out: asyncio.StreamWriter | None = None
        try:
            if not self.weather.refuse:
                back, out = await asyncio.open_connection(*self._to)
                await self._both(reader, writer, back, out)
        except (OSError, _Cut, asyncio.CancelledError):
            pass  # a link that is cut is what this is for
        finally:
            self._pairs.pop(task, None)
            for each in (writer, out):
                if each is not None:
                    each.close()
                    with suppress(OSError, asyncio.CancelledError):
                        await each.wait_closed()

    async def _both(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        back: asyncio.StreamReader, out: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        ways = [
            asyncio.ensure_future(self._pump(reader, out, "up", writer)),
            asyncio.ensure_future(self._pump(back, writer, "down", writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str,
        client: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        passed = 0
        lost = False
        while data := await reader.read(16_384):
            while data:
                weather = self.weather
                size = len(data) if weather.crumb is None else max(1, weather.crumb)
                if weather.cut_after is not None and way == "up":
                    size = min(size, weather.cut_after - passed)
                part, data = data[: max(size, 0)], data[max(size, 0) :]
                if part:
                    await self._delay(weather, len(part))
                    lost = lost or self.weather.deaf in (way, "both")
                    if not lost:
                        writer.write(part)
                        await writer.drain()
                    passed += len(part)
                if weather.cut_after is not None and way == "up" and passed >= weather.cut_after:
                    self.weather = replace(self.weather, cut_after=None)  # once
                    if weather.cut == "reset":
                        _hard(client)
                    raise _Cut

    async def _delay(self, weather: Weather, size: int) -> None:
        wait_s = weather.latency_s + self._rng.uniform(0, weather.jitter_s)
        if weather.rate is not None:
            wait_s += size / weather.rate
        if wait_s:
            await asyncio.sleep(wait_s)


class _Cut(Exception):
    pass


def _hard(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
