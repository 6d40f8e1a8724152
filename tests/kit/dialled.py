"""A station's own end of a call to a gateway in this process, and what the gateway has stored of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from kit.running import Site

from headgate.columns import readings
from headgate.config import load
from headgate.env import system_env
from headgate.model import Block, Reading
from headgate.runtime.installed import look

F = TypeVar("F")
D = TypeVar("D", bound="Dialled[Any]")

#: Somebody else may have the machine for a while.
PATIENCE_S = 30
SHANGHAI = ZoneInfo("Asia/Shanghai")

_PORT = """
[[channel]]
id = "port"
url = "{scheme}+listen{udp}://127.0.0.1:{port}"
{options}
"""
_DEVICE = """
[[device]]
id = "{id}"
channel = "port"
address = "{address}"
profile = "{profile}"
{interval}
"""


def site(
    folder: Path, scheme: str, port: int, stations: Mapping[str, str], profile: str,
    *, udp: str = "", options: str = "", interval: str = 'interval = "1h"',
) -> Site:  # fmt: skip
    """A gateway with one port, channel `port`, and its stations: address by device id."""
    text = _PORT.format(scheme=scheme, udp=udp, port=port, options=options)
    for device, address in stations.items():
        text += _DEVICE.format(id=device, address=address, profile=profile, interval=interval)
    return Site(folder, text)


class Dialled(Generic[F]):
    """One call. A protocol's own says with which `codec` answers are read."""

    codec: ClassVar[Any] = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = self.codec() if self.codec is not None else None
        self._told: list[F] = []

    @classmethod
    async def to(cls: type[D], port: int, host: str = "127.0.0.1") -> D:
        """Dial, as long as nobody is there yet."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return cls(*await asyncio.open_connection(host, port))
                except ConnectionError:
                    await asyncio.sleep(0.02)

    def send(self, *data: bytes) -> None:
        """Say it all at once."""
        self.writer.write(b"".join(data))

    async def answer(self) -> F:
        """The next frame of the gateway; anything else fails the test."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._told:
                data = await self.reader.read(4096)
                assert data, "hung up"
                for found in self._decoder.feed(data):
                    assert not hasattr(found, "consumed"), found
                    self._told.append(found)
        return self._told.pop(0)

    async def hung_up(self) -> bool:
        """Whether the gateway says nothing more and ends the call."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Heard(asyncio.DatagramProtocol):
    """A station that speaks in datagrams, and every one that it was answered."""

    def __init__(self) -> None:
        self.data: asyncio.Queue[bytes] = asyncio.Queue()

    @classmethod
    async def to(cls, port: int) -> tuple[asyncio.DatagramTransport, Heard]:
        """A socket of its own."""
        loop = asyncio.get_running_loop()
        return await loop.create_datagram_endpoint(cls, remote_addr=("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.data.put_nowait(data)

    async def answer(self) -> bytes:
        """The next datagram."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.data.get()

    def error_received(self, exc: Exception) -> None:
        """Nobody is there yet."""


def everything(at: Site) -> list[Reading]:
    """Every reading of a stopped gateway, whatever its quality. All its stations have one profile."""
    installed = look(system_env())(load(system_env(), at.folder))
    load(system_env(), at.folder, installed.known())
    table = next(iter(installed.resolved.values())).table
    return [
        each
        for block in at.stored()
        if isinstance(block, Block) and block.columns
        for each in readings(block, table)
    ]


def stored(at: Site) -> list[tuple[str, Any, int | None]]:
    """Point, value and the station's own time of every good reading of a stopped gateway."""
    found = everything(at)
    return [(each.point, each.value, each.device_time_us) for each in found if each.quality == 0]


def local_us(*at: int) -> int:
    """A time on a wall in Shanghai."""
    return round(datetime(*at, tzinfo=SHANGHAI).timestamp() * 1e6)  # type: ignore[misc,arg-type]
