"""The farm: a number of gauges on real sockets, one world, one truth."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate_simulators.faults import EVERY_DEVICE, Fault, FaultKind, Faults, check
from headgate_simulators.truth import Truth, header
from headgate_simulators.water_gauge.gauge import Bench, Gauge
from headgate_simulators.water_gauge.instruments import INSTRUMENTS
from headgate_simulators.water_gauge.server import MOST_UNITS, Line
from headgate_simulators.world import Place, Storm, World, WorldClock

_TEND_S, _FLUSH_S = 0.1, 0.5
_FAULT_COMMAND = '{"fault":"silent","device":"gauge-003","on":true}'
_STORM_COMMAND = '{"storm":{"peak_mm_h":80,"duration_s":1800}}'


@dataclass(frozen=True, slots=True)
class FarmPlan:
    """What farm is wanted.

    `models` are taken in turn (keys of `INSTRUMENTS`). With `port` 0 every line gets a free port, else
    ports count up from it. `per_connection` gauges stand behind one port, as units 1, 2, ...
    `storms` start that many real seconds after the farm; `speed` world seconds pass in a real one.
    """

    count: int = 8
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    per_connection: int = 1
    models: Sequence[str] = tuple(INSTRUMENTS)
    speed: float = 1.0
    storms: Sequence[Storm] = ()
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count {self.count}: a farm has at least one gauge")
        if not 1 <= self.per_connection <= MOST_UNITS:
            raise ValueError(
                f"per-connection {self.per_connection}: 1 to {MOST_UNITS} units fit behind one port"
            )
        unknown = [model for model in self.models if model not in INSTRUMENTS]
        if unknown or not self.models:
            raise ValueError(f"models {unknown}: there are {', '.join(INSTRUMENTS)}")
        if self.port and self.port + (self.count - 1) // self.per_connection > 65535:
            raise ValueError(f"ports from {self.port}: {self.count} gauges do not fit below 65536")


class WaterGaugeFarm:
    """A running farm: `async with WaterGaugeFarm(plan, truth) as farm: ...`.

    `description` then names each device: id, name, model, firmware, host, port, unit, params.
    """

    def __init__(self, plan: FarmPlan, truth: Truth, now: Callable[[], float] = time.time) -> None:
        self.plan = plan
        self.truth = truth
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(
            plan.seed,
            self.started,
            [
                Storm(self.clock.world_time(self.started + s.starts_at), s.peak_mm_h, s.duration_s)
                for s in plan.storms
            ],
        )
        self._now = now
        self.faults = Faults()
        self.gauges = [
            self._gauge(i, place) for i, place in enumerate(self.world.places(plan.count))
        ]
        for fault in plan.faults:
            check(fault, self._conditions())
            self.faults.planned.append(fault)
        self._bench = Bench(self.faults, truth, self.started)
        self.lines: list[Line] = []
        self._tending: asyncio.Task[None] | None = None
        self._plugs = asyncio.Lock()

    async def start(self) -> None:
        """Listen on every port; an `OSError` leaves nothing open."""
        per_line = self.plan.per_connection
        try:
            for index, at in enumerate(range(0, len(self.gauges), per_line)):
                port = self.plan.port + index if self.plan.port else 0
                line = Line(
                    self.plan.host, port, self.gauges[at : at + per_line], self._bench, self._now
                )
                await line.open()
                self.lines.append(line)
        except OSError:
            await self.stop()
            raise
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self.truth.flush()
        self._tending = asyncio.create_task(self._tend(), name="water gauge farm")

    async def stop(self) -> None:
        """Close every socket, then the truth."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        for line in self.lines:
            await line.stop()
        self.lines.clear()
        self._tending = None
        self.truth.close()

    async def __aenter__(self) -> WaterGaugeFarm:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each device as the ready line and the truth header tell it."""
        return [
            {
                "id": gauge.id,
                "name": gauge.name,
                "model": gauge.instrument.model,
                "firmware": gauge.instrument.firmware,
                "host": line.address[0],
                "port": line.address[1],
                "unit": gauge.unit,
                "params": gauge.instrument.params,
            }
            for line in self.lines
            for gauge in line.gauges.values()
        ]

    async def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": KIND, "device": ID, "on": true, "value": NUMBER}` or
        `{"storm": {"peak_mm_h": 80, "duration_s": 1800}}` (from now on, world time).
        """
        if isinstance(said.get("storm"), Mapping):
            self._storm(said["storm"])
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = None if said.get("value") is None else _number(said["value"])
            fault = Fault.make(str(said.get("device", EVERY_DEVICE)), said["fault"], value)
            self.fault(fault, on=said["on"])
            await self.settle()
        else:
            raise ValueError(f"a command is {_FAULT_COMMAND} or {_STORM_COMMAND}")

    def fault(self, fault: Fault, *, on: bool) -> None:
        """Switch a fault on or off, from now on; its window is not looked at."""
        check(fault, self._conditions())
        if on:
            self.faults.switch_on(fault, self._now() - self.started)
        else:
            self.faults.switch_off(fault.device, fault.kind)

    def _storm(self, said: Mapping[str, Any]) -> None:
        peak = _number(said.get("peak_mm_h", 80.0))
        duration = _number(said.get("duration_s", 1800.0))
        self.world.ask_storm(Storm(self.clock.world_time(self._now()), peak, duration))

    def _gauge(self, index: int, place: Place) -> Gauge:
        number = f"{index + 1:03d}"
        make = INSTRUMENTS[self.plan.models[index % len(self.plan.models)]]
        instrument = make(self.world, place, f"gauge-{number}")
        unit = index % self.plan.per_connection + 1
        return Gauge(
            f"gauge-{number}", f"Gauge {number} {place.name}", unit, instrument, self.clock
        )

    def _conditions(self) -> list[tuple[str, frozenset[FaultKind]]]:
        return [(gauge.id, gauge.conditions) for gauge in self.gauges]

    async def settle(self) -> None:
        """Pull the plugs that are to be pulled now, and put the others back."""
        async with self._plugs:
            for at, line in enumerate(self.lines):
                pulled = any(self._pulled(gauge) for gauge in line.gauges.values())
                if pulled and line.plugged:
                    await line.stop()
                elif not pulled and not line.plugged:
                    self.lines[at] = line.again()
                    await self.lines[at].open()

    def _pulled(self, gauge: Gauge) -> bool:
        return FaultKind.PLUG_PULLED in self.faults.at(gauge.id, self._now() - self.started)

    async def _tend(self) -> None:
        """Planned plugs are pulled in time; the truth reaches its file."""
        for tick in itertools.count(1):
            await asyncio.sleep(_TEND_S)
            await self.settle()
            if tick % round(_FLUSH_S / _TEND_S) == 0:
                self.truth.flush()


def _number(said: object) -> float:
    if isinstance(said, int | float) and not isinstance(said, bool):
        return float(said)
    raise ValueError(f"{said!r} is not a number")
