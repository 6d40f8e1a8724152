"""OPC UA for tests: simulated pump stations, a line to them, an ear on it, and a relay that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import opcua_space

from headgate.columns import readings
from headgate.env import SystemFiles, system_env
from headgate.errors import ChannelError
from headgate.model import Alarm, Block, Gap
from headgate.profiles import load, packaged_folder, resolve
from headgate.runtime.ownline import OwnLine
from headgate.sdk import Device
from headgate_drivers.opcua import OpcUaDriver
from headgate_simulators.pump_station.farm import PumpPlan, PumpStationFarm
from headgate_simulators.truth import TruthList

LIBRARY = load(SystemFiles(), [packaged_folder()], {"opcua": OpcUaDriver.point_keys})
FAST = {"publishing": "100ms", "sampling": "0s"}


def station(
    profile: str = "generic/pump-station",
    address: str = "/ps-001",
    interval_s: float = 60,
    *,
    name: str = "ps-001",
    number: int = 1,
) -> Device:
    """A device of a packaged profile."""
    return resolve(
        LIBRARY.find(profile), device_id=name, number=number, channel="pumps", address=address,
        sm3=lambda _: bytes(32), interval_us=int(interval_s * 1e6),
    )  # fmt: skip


def line(url: str, folder: Path, **options: Any) -> OwnLine:
    """A channel as the core makes it."""
    given = {"security": "None", **FAST, "folder": str(folder), "gateway": "gw-1", "timeout_s": 4.0,
             "connect_timeout_s": 5.0, **options}  # fmt: skip
    return OwnLine(system_env(), "pumps", url, {"url": url, **given})


@asynccontextmanager
async def stations(**wanted: Any) -> AsyncIterator[PumpStationFarm]:
    """Pump stations whose controllers cycle twenty times a second."""
    opcua_space.share()
    async with PumpStationFarm(PumpPlan(**{"cycle_s": 0.05, **wanted}), TruthList()) as farm:
        yield farm


Values = dict[str, Any]


class Ear:
    """Listens to a line and hands out readings by point; fails when nothing comes."""

    def __init__(self, told: AsyncGenerator[Block | Alarm | Gap, None], device: Device) -> None:
        self._told = told
        self._device = device
        self.now: Values = {}
        self.alarms: list[Alarm] = []

    async def next(self) -> Values:
        async with asyncio.timeout(30):
            said = await anext(self._told)
        if isinstance(said, Alarm):
            self.alarms.append(said)
        if not isinstance(said, Block):
            return {}
        values = {reading.point: reading for reading in readings(said, self._device.table)}
        self.now |= values
        return values

    async def until(self, wanted: Callable[[Values], bool]) -> Values:
        while True:
            said = await self.next()
            if wanted(said):
                return said


@asynccontextmanager
async def listening(
    channel: OwnLine, device: Device | None = None, driver: OpcUaDriver | None = None
) -> AsyncIterator[Ear]:
    """One life of a line."""
    device = device or station()
    async with aclosing((driver or OpcUaDriver()).listen(channel, [device])) as told:
        yield Ear(told, device)


async def refused(channel: OwnLine, code: str, device: Device | None = None) -> ChannelError:
    """How a line fails that must fail, and be tried again."""
    with pytest.raises(ChannelError) as raised:
        async with listening(channel, device) as ear:
            await ear.next()
    assert raised.value.code == code, raised.value
    assert raised.value.retryable
    return raised.value


class Relay:
    """A TCP relay in front of a server: the network that fails while the server lives on."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Relay:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def restore(self) -> None:
        """Carry bytes, again at the same port."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Hang up on both sides, and let nobody through."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends: list[asyncio.StreamWriter] = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
