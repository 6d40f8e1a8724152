"""Several stations on ports of their own, in one world, with one log of writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headgate_simulators.pump_modbus.faults import PlcFault, Wrong
from headgate_simulators.pump_modbus.plc import Plc
from headgate_simulators.pump_modbus.station import UNIT, Station
from headgate_simulators.pump_modbus.wire import Port
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock
from headgate_simulators.writes import WriteLog

MODEL = "generic/pump-station-modbus"
_FLUSH_S = 0.5
_COMMANDS = (
    '{"fault": ...}, {"storm": ...}, {"selector": "local"} or {"panel": "pump1", "on": true}'
)


@dataclass(frozen=True, slots=True)
class PlcPlan:
    """What is wanted: `count` stations; ports count up from `port`, 0 takes free ones.

    `watchdog_s` real seconds without the heartbeat moving and every drive is the automatic's again; 0: never.
    """

    count: int = 1
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    cycle_s: float = 0.1
    watchdog_s: float = 10.0
    storms: tuple[Storm, ...] = ()
    faults: tuple[Wrong, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1000:
            raise ValueError(f"count {self.count}: 1 to 1000 stations")
        if not 0.01 <= self.cycle_s <= 60:
            raise ValueError(f"cycle {self.cycle_s}: 0.01 to 60 seconds")
        if not 0 <= self.watchdog_s <= 3600:
            raise ValueError(f"watchdog {self.watchdog_s}: 0 (none) to 3600 seconds")
        if self.port and self.port + self.count - 1 > 65535:
            raise ValueError(f"ports from {self.port}: {self.count} stations do not fit")


class PlcFarm:
    """Running stations: `async with PlcFarm(plan, truth, WriteLog(path)) as farm: ...`."""

    def __init__(
        self, plan: PlcPlan, truth: Truth, writes: WriteLog, now: Callable[[], float] = time.time
    ) -> None:
        self.plan = plan
        self.truth = truth
        self.writes = writes
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        storms = [
            Storm(self.clock.world_time(self.started + s.starts_at), s.peak_mm_h, s.duration_s)
            for s in plan.storms
        ]
        self.world = World(plan.seed, self.started, storms)
        self._now = now
        self.stations = [
            Station(
                f"ps-{i + 1:03d}", f"Pump station {i + 1:03d} {place.name}",
                Plc(plan.watchdog_s), truth, writes, now,
            )
            for i, place in enumerate(self.world.places(plan.count))
        ]  # fmt: skip
        self.ports: list[Port] = []
        self._cycler: asyncio.Task[None] | None = None
        for fault in plan.faults:
            self.fault(fault, on=True)

    async def start(self) -> None:
        """Listen on every port; an `OSError` leaves nothing open."""
        try:
            for index, station in enumerate(self.stations):
                number = self.plan.port + index if self.plan.port else 0
                port = Port(self.plan.host, number, station.answer)
                await port.open()
                self.ports.append(port)
        except OSError:
            await self.stop()
            raise
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self.truth.flush()
        self.writes.start(self.started, self.description)
        self._cycle(0.0)
        self._cycler = asyncio.create_task(self._run(), name="plc cycle")

    async def stop(self) -> None:
        """Hang up on everybody, close truth and log."""
        if self._cycler is not None:
            self._cycler.cancel()
            await asyncio.gather(self._cycler, return_exceptions=True)
            self._cycler = None
        for port in self.ports:
            await port.close()
        self.ports.clear()
        self.truth.close()
        self.writes.close()

    async def __aenter__(self) -> PlcFarm:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each station as the ready line, the truth and the log of writes name it."""
        return [
            {
                "id": station.id, "name": station.name, "model": MODEL, "firmware": "1.3",
                "host": port.host, "port": port.port, "unit": UNIT, "params": {},
            }
            for station, port in zip(self.stations, self.ports, strict=True)
        ]  # fmt: skip

    def plc(self, device: str) -> Plc:
        """The PLC of one station: what is really so."""
        return self._meant(device)[0].plc

    # ------------------------------------------------------------ commands

    async def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": KIND, "device": ID, "on": true, "value": 3}`, `{"storm": {...}}`,
        `{"selector": "local", "device": ID}`, `{"panel": "pump1", "on": true, "device": ID}`: somebody at
        the panel runs or stops a pump, which works at local only.
        """
        device = str(said.get("device", "*"))
        if isinstance(said.get("storm"), Mapping):
            wanted = said["storm"]
            peak, duration = (
                float(wanted.get("peak_mm_h", 80)), float(wanted.get("duration_s", 1800))
            )  # fmt: skip
            self.world.ask_storm(Storm(self.clock.world_time(self._now()), peak, duration))
        elif said.get("selector") in ("local", "remote"):
            for station in self._meant(device):
                station.plc.remote = said["selector"] == "remote"
        elif said.get("panel") in ("pump1", "pump2") and isinstance(said.get("on"), bool):
            for station in self._meant(device):
                if station.plc.remote:
                    raise ValueError("the panel commands only while the selector is at local")
                station.plc.run(("pump1", "pump2").index(said["panel"]), said["on"])
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            number = None if value is None else float(value)
            self.fault(Wrong.make(device, said["fault"], number), on=said["on"])
            await self._plugs()
        else:
            raise ValueError(f"a command is {_COMMANDS}")

    def fault(self, wrong: Wrong, *, on: bool) -> None:
        """Switch a fault of a station (or `*`) on or off, from now on."""
        for station in self._meant(wrong.device):
            station.set_wrong(wrong, on=on)

    def _meant(self, device: str) -> list[Station]:
        meant = [station for station in self.stations if device in (station.id, "*")]
        if not meant:
            known = ", ".join(station.id for station in self.stations)
            raise ValueError(f"device {device!r} is not here; there are {known}")
        return meant

    async def _plugs(self) -> None:
        for station, port in zip(self.stations, self.ports, strict=True):
            pulled = PlcFault.PLUG in station.wrong
            if pulled and port.plugged:
                await port.close()
            elif not pulled and not port.plugged:
                await port.open()

    # ------------------------------------------------------------ cycles

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await self._plugs()
        before = flushed = loop.time()
        while True:
            await asyncio.sleep(self.plan.cycle_s)
            now = loop.time()
            self._cycle(now - before)
            before = now
            if now - flushed > _FLUSH_S:
                self.truth.flush()
                flushed = now

    def _cycle(self, seconds: float) -> None:
        runoff = self.world.runoff_mm_h(self.clock.world_time(self._now()))
        for station in self.stations:
            station.plc.step(seconds, seconds * self.plan.speed, runoff)
