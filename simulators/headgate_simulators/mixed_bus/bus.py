"""A yard of lines with units of several makers on them, one world, one truth, faults by command."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from headgate_simulators.faults import ANY_SERIAL, EVERY_DEVICE, Fault, FaultKind, Faults, check
from headgate_simulators.mixed_bus.instruments import MODELS
from headgate_simulators.mixed_bus.line import MOST_UNITS, BusLine, Framing
from headgate_simulators.ports import DtuPort, Port, PtyPort, TcpPort, UdpPort
from headgate_simulators.truth import Truth, header
from headgate_simulators.water_gauge.gauge import Bench, Gauge
from headgate_simulators.world import Place, Storm, World, WorldClock

_TEND_S, _FLUSH_S = 0.1, 0.5
DTU_HEARTBEAT = "still here"
_COMMANDS = (
    '{"fault":"silent","device":"unit-003","on":true} or '
    '{"storm":{"peak_mm_h":80,"duration_s":1800}}'
)


class LineKind(Enum):
    """What a line is made of."""

    RTU = "rtu"  # a pseudo-terminal; units of different settings share it
    ASCII = "ascii"  # a pseudo-terminal, 7 bits and even parity
    RTU_TCP = "rtu-tcp"  # a serial server
    ASCII_TCP = "ascii-tcp"
    UDP = "udp"
    DTU = "dtu"  # dials in


#: Framing, and the line settings that its units are bought with, taken in turn.
_MAKE: Mapping[LineKind, tuple[Framing, Sequence[str]]] = {
    # Other speeds, not other parities: a pseudo-terminal takes no parity that it was not opened with.
    LineKind.RTU: (Framing.RTU, ("19200 8N1", "9600 8N1", "38400 8N1")),
    LineKind.ASCII: (Framing.ASCII, ("19200 7E1",)),
    LineKind.RTU_TCP: (Framing.RTU, ("19200 8N1",)),
    LineKind.ASCII_TCP: (Framing.ASCII, ("19200 7E1",)),
    LineKind.UDP: (Framing.TCP, ("19200 8N1",)),
    LineKind.DTU: (Framing.RTU, ("19200 8N1",)),
}
_ON_PTY = (LineKind.RTU, LineKind.ASCII)


@dataclass(frozen=True, slots=True)
class BusPlan:
    """What is wanted.

    Each of `lines` gets `per_line` units, `models` taken in turn (keys of `MODELS`), as units 1, 2, ...
    `folder` holds the pseudo-terminals. `dtu_port` is where DTUs dial to on `host`; 0 picks a free one
    for the gateway to listen on. `storms` start that many real seconds after the start.
    """

    lines: Sequence[LineKind] = (LineKind.RTU_TCP,)
    per_line: int = 4
    seed: int = 1
    host: str = "127.0.0.1"
    folder: Path | None = None
    dtu_port: int = 0
    models: Sequence[str] = tuple(MODELS)
    speed: float = 1.0
    storms: Sequence[Storm] = ()
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("lines: a bus has at least one")
        if not 1 <= self.per_line <= MOST_UNITS:
            raise ValueError(f"per-line {self.per_line}: 1 to {MOST_UNITS} units fit on a line")
        unknown = [model for model in self.models if model not in MODELS]
        if unknown or not self.models:
            raise ValueError(f"models {unknown}: there are {', '.join(MODELS)}")
        if self.folder is None and any(kind in _ON_PTY for kind in self.lines):
            raise ValueError(
                "lines rtu and ascii are pseudo-terminals: say in which folder (--pty)"
            )


class MixedBus:
    """A running yard: `async with MixedBus(plan, truth) as bus: ...`."""

    def __init__(self, plan: BusPlan, truth: Truth, now: Callable[[], float] = time.time) -> None:
        self.plan = plan
        self.truth = truth
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(plan.seed, self.started, [self._from_now(s) for s in plan.storms])
        self.faults = Faults()
        self._now = now
        self._bench = Bench(self.faults, truth, self.started)
        self._dtu_port = plan.dtu_port
        if not self._dtu_port and LineKind.DTU in plan.lines:
            self._dtu_port = _free_port(plan.host)
        places = self.world.places(len(plan.lines) * plan.per_line)
        self.lines = [
            self._line(at, kind, places[at * plan.per_line : (at + 1) * plan.per_line])
            for at, kind in enumerate(plan.lines)
        ]
        for fault in plan.faults:
            check(fault, self._conditions())
            self.faults.planned.append(fault)
        self._tending: asyncio.Task[None] | None = None
        self._plugs = asyncio.Lock()

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Plug every line; an `OSError` leaves nothing open."""
        try:
            for line in self.lines:
                await line.plug()
        except OSError:
            await self.stop()
            raise
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self.truth.flush()
        self._tending = asyncio.create_task(self._tend(), name="mixed bus")

    async def stop(self) -> None:
        """Pull every line, then close the truth."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
            self._tending = None
        for line in self.lines:
            if line.plugged:
                await line.pull()
        self.truth.close()

    async def __aenter__(self) -> MixedBus:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def settle(self) -> None:
        """Pull the plugs that are to be pulled now, and put the others back."""
        async with self._plugs:
            for line in self.lines:
                pulled = any(self._pulled(gauge) for gauge in line.units.gauges.values())
                if pulled and line.plugged:
                    await line.pull()
                elif not pulled and not line.plugged:
                    await line.plug()

    async def _tend(self) -> None:
        for tick in itertools.count(1):
            await asyncio.sleep(_TEND_S)
            await self.settle()
            if tick % round(_FLUSH_S / _TEND_S) == 0:
                self.truth.flush()

    def _pulled(self, gauge: Gauge) -> bool:
        return FaultKind.PLUG_PULLED in self.faults.at(gauge.id, self._now() - self.started)

    # ------------------------------------------------------------ what stands there

    def _line(self, at: int, kind: LineKind, places: Sequence[Place]) -> BusLine:
        framing, settings = _MAKE[kind]
        first = at * self.plan.per_line
        gauges = []
        for number, place in enumerate(places, first + 1):
            make = MODELS[_nth(self.plan.models, number - 1)]
            name = f"unit-{number:03d}"
            gauges.append(
                Gauge(
                    name,
                    f"{name} {place.name}",
                    number - first,
                    make(self.world, place, name),
                    self.clock,
                )
            )
        return BusLine(
            f"{kind.value}-{at + 1}",
            self._port(at, kind),
            framing,
            gauges,
            {gauge.unit: _nth(settings, gauge.unit - 1) for gauge in gauges},
            self._bench,
            self._now,
        )

    def _port(self, at: int, kind: LineKind) -> Port:
        plan = self.plan
        if kind in _ON_PTY:
            assert plan.folder is not None
            return PtyPort(plan.folder / f"{kind.value}-{at + 1}")
        if kind is LineKind.UDP:
            return UdpPort(plan.host)
        if kind is LineKind.DTU:
            name = f"DTU-{at + 1:04d}"
            return DtuPort(plan.host, self._dtu_port, name.encode(), DTU_HEARTBEAT.encode())
        return TcpPort(plan.host)

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each unit as the ready line and the truth header tell it."""
        return [
            {
                "id": gauge.id,
                "name": gauge.name,
                "model": gauge.instrument.model,
                "firmware": gauge.instrument.firmware,
                "line": line.id,
                "url": _url(line),
                "settings": line.settings[gauge.unit],
                "unit": gauge.unit,
                "params": gauge.instrument.params,
                "counter": gauge.instrument.told_counter,
            }
            for line in self.lines
            for gauge in line.units.gauges.values()
        ]

    # ------------------------------------------------------------ commands

    async def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it."""
        storm = said.get("storm")
        if isinstance(storm, Mapping):
            peak, lasts = float(storm.get("peak_mm_h", 80)), float(storm.get("duration_s", 1800))
            self.world.ask_storm(Storm(self.clock.world_time(self._now()), peak, lasts))
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            number = float(value) if isinstance(value, int | float) else None
            fault = Fault.make(str(said.get("device", EVERY_DEVICE)), said["fault"], number)
            self.fault(fault, on=said["on"])
            await self.settle()
        else:
            raise ValueError(f"a command is {_COMMANDS}")

    def fault(self, fault: Fault, *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        check(fault, self._conditions())
        if on:
            self.faults.switch_on(fault, self._now() - self.started)
        else:
            self.faults.switch_off(fault.device, fault.kind)

    def _conditions(self) -> list[tuple[str, frozenset[FaultKind]]]:
        return [
            (gauge.id, gauge.conditions | (ANY_SERIAL if serial else frozenset()))
            for line in self.lines
            for serial in [line.framing is not Framing.TCP]
            for gauge in line.units.gauges.values()
        ]

    def _from_now(self, storm: Storm) -> Storm:
        starts_at = self.clock.world_time(self.started + storm.starts_at)
        return Storm(starts_at, storm.peak_mm_h, storm.duration_s)


def _nth(given: Sequence[str], at: int) -> str:
    return given[at % len(given)]


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _url(line: BusLine) -> str:
    """What a site file calls the line."""
    port, framing = line.port, line.framing.value
    if isinstance(port, PtyPort):
        baud, _, rest = line.settings[1].partition(" ")
        return f"modbus+{framing}://{port.path}?baud={baud}&bits={rest[0]}&parity={rest[1]}"
    if isinstance(port, UdpPort):
        return f"modbus+udp://{port.host}:{port.port}"
    if isinstance(port, DtuPort):
        return (
            f"modbus+dtu+listen://{port.host}:{port.port}"
            f"?registration={port.registration.decode()}&heartbeat={DTU_HEARTBEAT.replace(' ', '%20')}"
        )
    assert isinstance(port, TcpPort)
    return f"modbus+{framing}+tcp://{port.host}:{port.port}"
