"""Whoever dials a port, good and bad, in four protocols; frames are the simulators', not our codecs'."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from headgate_simulators.gb26875_panels import wire as fire
from headgate_simulators.hj212_loggers import packets
from headgate_simulators.sl651_stations import wire as hydro
from headgate_simulators.szy206_stations import wire as waters

_BEGAN = datetime(2026, 7, 18, 8, 0, 0)  # noqa: DTZ001 - a station's own wall


class Protocol(NamedTuple):
    """One protocol at a port.

    `address`: of station n. `report`: of station n, the k-th, as it is confirmed. `endless`: the head of a
    frame that claims to be as long as can be written down.
    """

    scheme: str
    profile: str
    address: Callable[[int], str]
    report: Callable[[int, int], bytes]
    endless: bytes


def _at(number: int) -> datetime:
    return _BEGAN + timedelta(seconds=number)


def _hydro(station: int, number: int) -> bytes:
    own, at = bytes.fromhex(f"00600{station:05d}"), _at(60 * number)
    body = (number % 65535 + 1).to_bytes(2, "big") + hydro.when(at, 6)
    body += b"\xf1\xf1" + own + b"\x48" + b"\xf0\xf0" + hydro.when(at, 5)
    return hydro.up(1, own, 0x1234, 0x32, body + hydro.element(0x39, number / 1000, 4, 3))


def _waters(station: int, number: int) -> bytes:
    own = waters.address("420703", station)
    data = waters.level(number / 1000) + bytes(4) + waters.tag(_at(number), long=True)
    return waters.frame(waters.up(waters.LEVEL, 3), own, waters.REPORT, data)


def _fire(station: int, number: int) -> bytes:
    word = 0b11 if number % 2 else 0b1
    state = fire.component_state(fire.Part(1, 1, 42, number // 2), word, "楼道", _at(number))
    return fire.frame(number % 65536, 42070400000000 + station, 2, fire.unit(2, state), _at(number))


def _logger(station: int, number: int) -> bytes:
    at = _at(number)
    return packets.packet(
        f"QN={at:%Y%m%d%H%M%S}000;ST=32;CN=2011;PW=123456;MN={_mn(station)};Flag=5;"
        f"CP=&&DataTime={at:%Y%m%d%H%M%S};w01018-Rtd={number / 10:.1f},w01018-Flag=N&&"
    )


def _mn(station: int) -> str:
    return f"4201SIM{station:07d}"


PROTOCOLS = {
    "sl651": Protocol(
        "sl651", "generic/hydrological-station", lambda n: f"00600{n:05d}", _hydro,
        _hydro(9999, 1)[:11] + b"\x0f\xff\x02",
    ),
    "szy206": Protocol(
        "szy206", "generic/water-resources-station",
        lambda n: waters.address("420703", n).hex().upper(), _waters, b"\x68\xff\x68\xc2\xff",
    ),
    "gb26875": Protocol(
        "gb26875", "generic/fire-panel", lambda n: str(42070400000000 + n), _fire,
        _fire(9999, 1)[:24] + b"\xff\xff\x02",
    ),
    "hj212": Protocol("hj212", "generic/water-outfall", _mn, _logger, b"##9999QN="),
}  # fmt: skip


class Hostile:
    """Everybody who means no good, against one port, until the block is left. `came`: how many so far.

    Args:
        known: a station of the site whose number they know, too.
    """

    def __init__(self, port: int, protocol: Protocol, known: int, seed: int = 1) -> None:
        self._port, self._protocol, self._known = port, protocol, known
        self._rng = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self.came = 0

    async def __aenter__(self) -> Hostile:
        ways: Sequence[Callable[[], asyncio.Future[None]]] = (
            self._loris, self._long, self._garbage, self._nobodies, self._resets, self._half,
            self._thief, self._glued,
        )  # fmt: skip
        self._tasks = [asyncio.create_task(self._again(way), name=way.__name__) for way in ways]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _again(self, way: Callable[[], asyncio.Future[None]]) -> None:
        while True:
            with suppress(OSError):
                await way()
            await asyncio.sleep(0.02)

    async def _line(self, source: str = "127.0.0.3") -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(source, 0)
        )
        self.came += 1
        # What the gateway says is read and forgotten, so that a hang-up is seen.
        writer.drop = asyncio.create_task(_drain(reader, writer))  # type: ignore[attr-defined]
        return writer

    async def _until_gone(self, writer: asyncio.StreamWriter, data: Callable[[], bytes]) -> None:
        try:
            while not writer.drop.done():  # type: ignore[attr-defined]
                writer.write(data())
                await writer.drain()
                await asyncio.sleep(0.005)
        finally:
            writer.transport.abort()
            await asyncio.gather(writer.drop, return_exceptions=True)  # type: ignore[attr-defined]

    async def _loris(self) -> None:
        """A byte now and then of a frame that never ends."""
        frame = iter(self._protocol.endless + b"0" * 10_000)
        writer = await self._line()
        await self._until_gone(writer, lambda: bytes([next(frame)]))

    async def _long(self) -> None:
        """The longest length that can be written down, and bytes for ever."""
        writer = await self._line()
        writer.write(self._protocol.endless)
        await self._until_gone(writer, lambda: b"\x00" * 4096)

    async def _garbage(self) -> None:
        """Bytes for ever."""
        writer = await self._line()
        await self._until_gone(writer, lambda: self._rng.randbytes(4096))

    async def _nobodies(self) -> None:
        """Numbers of nobody, another each time."""
        writer = await self._line()
        nobody = self._protocol.report(self._rng.randrange(1000, 9999), 1)
        await self._until_gone(writer, lambda: nobody)

    async def _glued(self) -> None:
        """Frames of nobody without end, none of them whole."""
        writer = await self._line()
        frame = self._protocol.report(9998, 1)
        await self._until_gone(writer, lambda: frame[:-3] * 50)

    async def _half(self) -> None:
        """Half a frame, and then nothing at all."""
        writer = await self._line()
        writer.write(self._protocol.report(9997, 1)[:9])
        await self._until_gone(writer, lambda: b"")

    async def _resets(self) -> None:
        """Connect, and reset."""
        with socket.socket() as line:
            line.setblocking(False)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.bind(("127.0.0.3", 0))
            await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self._port))
            self.came += 1

    async def _thief(self) -> None:
        """A station's number from another address, again and again; what it says is hung up on in turn."""
        writer = await self._line("127.0.0.2")
        try:
            writer.write(self._protocol.report(self._known, 40_000))
            await asyncio.sleep(0.2)
        finally:
            writer.transport.abort()
            await asyncio.gather(writer.drop, return_exceptions=True)  # type: ignore[attr-defined]


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while await reader.read(65536):
            pass
    writer.transport.abort()
