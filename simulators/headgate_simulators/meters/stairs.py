"""A stairwell: meters of three protocols and Modbus units on one pair, one world, faults by command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate_simulators.dialling import EVERY, Wrong
from headgate_simulators.meters.air import Air
from headgate_simulators.meters.electricity import Of1997, Switched, ThreePhase
from headgate_simulators.meters.line import MeterLine
from headgate_simulators.meters.looks import Looks
from headgate_simulators.meters.meter import FAULTS, Meter
from headgate_simulators.meters.metered import Gas, Heat, HeatUnitFirst, Water, WaterReversed
from headgate_simulators.ports import PtyPort, TcpPort
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import World, WorldClock
from headgate_simulators.writes import WriteLog

#: What may stand on the pair, by the name that the command line has for it.
KINDS: Mapping[str, type[Meter]] = {
    "electricity": ThreePhase, "switch": Switched, "electricity-1997": Of1997, "water": Water,
    "water-901f": WaterReversed, "heat": Heat, "heat-unit-first": HeatUnitFirst, "gas": Gas,
}  # fmt: skip
#: So much of the world has passed before anybody asks.
_PAST_S = 30 * 86_400.0
_TEND_S, _MOST = 0.5, 240


@dataclass(frozen=True, slots=True)
class StairsPlan:
    """What is wanted: `count` meters, `kinds` taken in turn, and Modbus units 1, 2, ... beside them.

    `path` is the pseudo-terminal; without it the pair is a serial server on a free port of `host`.
    """

    count: int = 32
    modbus: int = 1
    kinds: Sequence[str] = tuple(KINDS)
    seed: int = 1
    speed: float = 1.0
    path: Path | None = None
    host: str = "127.0.0.1"
    echo: bool = False
    real_time: bool = True
    zone_h: float = 8.0
    writes: Path | None = None
    faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST or not 0 <= self.modbus <= 9:
            raise ValueError(f"count {self.count}: 1 to {_MOST} meters, 0 to 9 Modbus units")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"kind {unknown}: there are {', '.join(KINDS)}")


def stairwell(world: World, plan: StairsPlan) -> list[Meter]:
    """The meters of a plan, the Modbus units first."""
    units: list[Meter] = [Air(n, world) for n in range(1, plan.modbus + 1)]
    first = plan.modbus + 1
    return units + [
        KINDS[plan.kinds[n % len(plan.kinds)]](first + n, world, plan.zone_h)
        for n in range(plan.count)
    ]


class Stairs:
    """A running pair: `async with Stairs(plan, truth) as stairs`."""

    def __init__(
        self, plan: StairsPlan, truth: Truth, now: Callable[[], float] = time.time
    ) -> None:
        self.plan, self.truth, self._now = plan, truth, now
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(plan.seed, self.started - _PAST_S)
        self.writes = WriteLog(plan.writes)
        self.looks = Looks(truth.write, now)
        self.meters = {meter.id: meter for meter in stairwell(self.world, plan)}
        for meter in self.meters.values():
            meter.note = self.writes.note
        self._wrong = [Wrong.parse(written, FAULTS) for written in plan.faults]
        for wrong in self._wrong:
            self._named(wrong.device)
        port = PtyPort(plan.path) if plan.path is not None else TcpPort(plan.host)
        self.line = MeterLine(
            port, list(self.meters.values()), self.world_now, echo=plan.echo,
            real_time=plan.real_time, told=self.looks.told, failed=self.looks.failed, seed=plan.seed,
        )  # fmt: skip
        self._tending: asyncio.Task[None] | None = None

    def world_now(self) -> float:
        """The world's time."""
        return self.clock.world_time(self._now())

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each meter as the ready line, the truth's header and the site fragment tell it."""
        return [
            {
                "id": meter.id, "name": f"{type(meter).__name__} {meter.number}", "model": meter.model,
                "address": meter.address, "settings": meter.settings, "url": self.url,
                "counter": False,
            }
            for meter in self.meters.values()
        ]  # fmt: skip

    @property
    def url(self) -> str:
        """What a site file calls the pair."""
        port = self.line.port
        echo = "&echo=1" if self.plan.echo else ""
        if isinstance(port, PtyPort):
            return f"modbus+rtu://{port.path}?baud=2400&parity=E{echo}"
        return port.url.replace("serial+tcp", "modbus+rtu+tcp") + (echo and "?" + echo[1:])

    async def __aenter__(self) -> Stairs:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Be there."""
        await self.line.plug()
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self.writes.start(self.started, self.description)
        for wrong in self._wrong:
            self.fault(wrong, on=True)
        self.truth.flush()
        self._tending = asyncio.create_task(self._tend(), name="stairs")

    async def stop(self) -> None:
        """Be gone; truth and log of writes are closed."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        await self.line.pull()
        self.looks.flush(older_s=0.0)
        self.truth.close()
        self.writes.close()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_S)
            self.looks.flush()
            self.truth.flush()

    # ------------------------------------------------------------ commands

    def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": "silent", "device": "meter-003", "on": true}`, `{"press": "meter-004"}` (the button of a
        switched meter), `{"echo": true}`, `{"flush": true}` (the truth of what was said so far).
        """
        if isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            wrong = Wrong.make(
                str(said.get("device", EVERY)), said["fault"],
                None if value is None else float(value), FAULTS,
            )  # fmt: skip
            self.fault(wrong, on=said["on"])
        elif "press" in said:
            for meter in self._named(str(said["press"])):
                if isinstance(meter, Switched):
                    meter.press()
        elif said.get("flush") is True:
            self.looks.flush(older_s=0.0)
            self.truth.flush()
        elif isinstance(said.get("echo"), bool):
            self.line.echo = said["echo"]
        else:
            raise ValueError('a command is {"fault":"silent","device":"meter-003","on":true}')

    def fault(self, wrong: Wrong, *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        for meter in self._named(wrong.device):
            if on:
                meter.wrong[wrong.kind] = wrong.value
            else:
                meter.wrong.pop(wrong.kind, None)
        self.truth.write({"t": self._now(), "device": wrong.device, "fault": wrong.kind, "on": on})

    def _named(self, device: str) -> list[Meter]:
        if device == EVERY:
            return list(self.meters.values())
        if device not in self.meters:
            raise ValueError(f"device {device!r}: there is none")
        return [self.meters[device]]
