"""Many devices that dial: one world, one truth, faults switched on and off while they run."""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from headgate_simulators.dialling import EVERY, FAULTS, Caller, Centre, Wrong
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock

#: Where a second device with the same number dials from: whoever listens must tell them apart.
TWIN_FROM = "127.0.0.2"
_FLUSH_S = 0.5

C = TypeVar("C", bound=Caller)


@dataclass(frozen=True, slots=True)
class DialPlan:
    """What devices are wanted. `behind_s`: world seconds that they have measured before the start."""

    count: int = 1
    seed: int = 1
    speed: float = 1.0
    behind_s: float = 0.0
    centre: Centre = field(default_factory=Centre)
    storms: Sequence[Storm] = ()
    faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 9999:
            raise ValueError(f"count {self.count}: there are 1 to 9999 devices")


class Farm(ABC, Generic[C]):
    """Running devices: `async with` a farm. A subclass makes them and describes them.

    Attributes:
        devices: by their id, `PREFIX-001` on.
    """

    prefix = "dev"
    known: Mapping[str, float] = FAULTS

    def __init__(self, plan: DialPlan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self.started = time.time()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(plan.seed, self.started - plan.behind_s)
        for storm in plan.storms:
            at = self.clock.world_time(self.started + storm.starts_at)
            self.world.ask_storm(Storm(at, storm.peak_mm_h, storm.duration_s))
        self.places = self.world.places(plan.count)
        #: Faults are checked before anything runs.
        self._wrong = [Wrong.parse(written, self.known) for written in plan.faults]
        self.devices = {self._id(n): self.make(n, self._id(n)) for n in range(1, plan.count + 1)}
        self._twins: dict[str, C] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    def make(self, number: int, name: str, source: str | None = None) -> C:
        """Device `number`, from 1; at `self.places[number - 1]`."""

    @abstractmethod
    def describe(self, number: int) -> dict[str, Any]:
        """What the ready line, the truth's header and the site fragment say of it beside its id."""

    def _id(self, number: int) -> str:
        return f"{self.prefix}-{number:03d}"

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each device as the ready line tells it."""
        return [
            {"id": name, "counter": False, **self.describe(at)}
            for at, name in enumerate(self.devices, 1)
        ]

    @property
    def waiting(self) -> int:
        """What is not confirmed yet, of all."""
        return sum(device.waiting for device in self.devices.values())

    def world_now(self) -> float:
        """The world's time."""
        return self.clock.world_time(time.time())

    async def __aenter__(self) -> Farm[C]:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Let every device dial."""
        self.truth.write(header(self.plan.seed, self.started, self.description))
        for wrong in self._wrong:
            self.fault(wrong, on=True)
        for name, device in self.devices.items():
            self._run(name, device)
        self._running[""] = asyncio.create_task(self._flush(), name="truth of devices that dial")

    async def stop(self) -> None:
        """Hang up everywhere; the truth is closed."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
        self.truth.close()

    def _run(self, name: str, device: C) -> None:
        task = self._running[name] = asyncio.create_task(device.run(), name=name)
        task.add_done_callback(_broke)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.truth.flush()

    # ------------------------------------------------------------ commands

    def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": "deaf", "device": "*", "on": true}`, `{"storm": {"peak_mm_h": 80}}`, `{"redial": "*"}`
        (they hang up and dial at once).
        """
        if isinstance(storm := said.get("storm"), Mapping):
            peak, lasts = float(storm.get("peak_mm_h", 80)), float(storm.get("duration_s", 1800))
            self.world.ask_storm(Storm(self.world_now(), peak, lasts))
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            number = None if value is None else float(value)
            device = str(said.get("device", EVERY))
            self.fault(Wrong.make(device, said["fault"], number, self.known), on=said["on"])
        elif "redial" in said:
            for each in self.named(str(said["redial"])):
                each.hang_up()
        else:
            self.other(said)

    def other(self, said: Mapping[str, Any]) -> None:
        """A command that only these devices know."""
        raise ValueError('a command is {"fault":"deaf","device":"*","on":true}, or a redial')

    def named(self, device: str) -> list[C]:
        """The devices that a command means; a `ValueError` where there is none."""
        if device == EVERY:
            return list(self.devices.values())
        if device not in self.devices:
            raise ValueError(f"device {device!r}: there is none")
        return [self.devices[device]]

    def fault(self, wrong: Wrong, *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        for device in self.named(wrong.device):
            if wrong.kind == "twin":
                self._twin(device.name, on=on)
            elif on:
                device.faults[wrong.kind] = wrong.value
            else:
                device.faults.pop(wrong.kind, None)
            device.due()
        said = {"device": wrong.device, "fault": wrong.kind, "on": on}
        self.truth.write({"t": time.time(), **said})

    def _twin(self, name: str, *, on: bool) -> None:
        if on and name not in self._twins:
            number = list(self.devices).index(name) + 1
            self._twins[name] = self.make(number, f"{name}/twin", TWIN_FROM)
            self._run(f"{name}/twin", self._twins[name])
        elif not on and self._twins.pop(name, None) is not None:
            self._running.pop(f"{name}/twin").cancel()


def site_fragment(
    devices: Iterable[Mapping[str, Any]], channel: str, url: str, interval: str
) -> str:
    """A site.toml: one `[[channel]]` at `url`, and a `[[device]]` for each of a farm's `description`."""
    tables = [f'[[channel]]\nid = "{channel}"\nurl = "{url}"\n']
    for device in devices:
        fields = {
            "id": device["id"], "name": device["name"], "channel": channel,
            "address": device["address"], "profile": device["model"], "interval": interval,
        }  # fmt: skip
        rows = (f"{key} = {json.dumps(said, ensure_ascii=False)}\n" for key, said in fields.items())
        tables.append("[[device]]\n" + "".join(rows))
    return "\n".join(tables)


def _broke(task: asyncio.Task[None]) -> None:
    """A device that breaks must not look like one that has nothing to say."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} broke", "exception": error}
        )
