"""Many stations, one river, one truth, faults by command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate_simulators.sl651_stations.coding import Characters, Hex
from headgate_simulators.sl651_stations.faults import EVERY, StationFault, Wrong
from headgate_simulators.sl651_stations.plant import Plant
from headgate_simulators.sl651_stations.reports import Instruments, PumpInstruments
from headgate_simulators.sl651_stations.station import Habits, Station
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock

PROFILES = {"river": "generic/hydrological-station", "pump": "generic/pump-gate-station"}
#: What ids and addresses begin with: one site holds both kinds.
PREFIXES = {"river": ("st", "006"), "pump": ("pg", "007")}
_FLUSH_S = 0.5


@dataclass(frozen=True, slots=True)
class StationsPlan:
    """What stations are wanted: `count` of them, numbered from 00 6000 0001 on (pumps: 00 7000 0001)."""

    count: int = 4
    seed: int = 1
    speed: float = 1.0
    habits: Habits = field(default_factory=Habits)
    storms: Sequence[Storm] = ()
    faults: Sequence[Wrong] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 9999:
            raise ValueError(f"count {self.count}: there are 1 to 9999 stations")
        if self.habits.every_s < 60 or self.habits.every_s % 60:
            raise ValueError(
                f"every {self.habits.every_s:g}: whole minutes (60, 120 ...), because observation "
                "times are to the minute"
            )


class StationsFarm:
    """Running stations: `async with StationsFarm(plan, truth) as farm`."""

    def __init__(
        self, plan: StationsPlan, truth: Truth, now: Callable[[], float] = time.time
    ) -> None:
        self.plan, self.truth = plan, truth
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        begins = self.started - plan.habits.behind_s
        self.world = World(plan.seed, begins)
        for storm in plan.storms:
            at = self.clock.world_time(self.started + storm.starts_at)
            self.world.ask_storm(Storm(at, storm.peak_mm_h, storm.duration_s))
        self._now = now
        self._places = self.world.places(plan.count)
        self._letters, self._region = PREFIXES[plan.habits.kind]
        self.stations = {
            f"{self._letters}-{n:03d}": self._station(n) for n in range(1, plan.count + 1)
        }
        self._twins: dict[str, Station] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def _station(self, number: int, source: str | None = None) -> Station:
        address = bytes.fromhex(f"{self._region}{number:07d}")
        habits, plant, place = self.plan.habits, Plant(), self._places[number - 1]
        coding = Characters() if habits.coding == "ascii" else Hex()
        instruments = (
            PumpInstruments(self.world, place, address, plant, coding)
            if habits.kind == "pump"
            else Instruments(self.world, place, address, coding)
        )
        name = f"{self._letters}-{number:03d}"
        return Station(
            name if source is None else f"{name}/twin", habits, instruments, self.clock,
            self._now, self.truth.write, source, plant,
        )  # fmt: skip

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each station as the ready line, the truth header and the site fragment tell it."""
        return [
            {
                "id": name, "name": f"Station {name[3:]} {self._places[at].name}",
                "model": PROFILES[self.plan.habits.kind], "address": f"{self._region}{at + 1:07d}",
                "counter": False,
            }
            for at, name in enumerate(self.stations)
        ]  # fmt: skip

    async def __aenter__(self) -> StationsFarm:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Let every station dial."""
        self.truth.write(header(self.plan.seed, self.started, self.description))
        for wrong in self.plan.faults:
            self.fault(wrong, on=True)
        for name, station in self.stations.items():
            self._run(name, station)
        self._running[""] = asyncio.create_task(self._flush(), name="truth of stations")

    async def stop(self) -> None:
        """Hang up everywhere."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        self.truth.close()

    def _run(self, name: str, station: Station) -> None:
        task = self._running[name] = asyncio.create_task(station.run(), name=name)
        task.add_done_callback(_broke)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.truth.flush()

    @property
    def waiting(self) -> int:
        """Reports that are not confirmed yet."""
        return sum(len(station.kept) for station in self.stations.values())

    # ------------------------------------------------------------ commands

    def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": "deaf", "device": "st-001", "on": true}`, `{"storm": {"peak_mm_h": 80}}`,
        `{"redial": "*"}` (everybody hangs up and dials at once), `{"look": ID}`, `{"picture": ID}`.
        """
        if isinstance(storm := said.get("storm"), Mapping):
            at = self.clock.world_time(self._now())
            peak, lasts = float(storm.get("peak_mm_h", 80)), float(storm.get("duration_s", 1800))
            self.world.ask_storm(Storm(at, peak, lasts))
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            wrong = Wrong.make(
                str(said.get("device", EVERY)), said["fault"],
                None if value is None else float(value),
            )  # fmt: skip
            self.fault(wrong, on=said["on"])
        elif "redial" in said:
            for station in self._named(str(said["redial"])):
                station.hang_up()
        elif "look" in said:
            for station in self._named(str(said["look"])):
                station.look(0x33)
        elif "picture" in said:
            for station in self._named(str(said["picture"])):
                station.picture()
        else:
            raise ValueError(
                'a command is {"fault":"deaf","device":"st-001","on":true}, or a redial'
            )

    def fault(self, wrong: Wrong, *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        for station in self._named(wrong.device):
            if wrong.kind is StationFault.TWIN:
                self._twin(station.name, on=on)
            elif on:
                station.faults[wrong.kind] = wrong.value
            else:
                station.faults.pop(wrong.kind, None)
        self.truth.write(
            {"t": self._now(), "device": wrong.device, "fault": wrong.kind.value, "on": on}
        )

    def _twin(self, name: str, *, on: bool) -> None:
        if on and name not in self._twins:
            self._twins[name] = self._station(int(name[3:]), "127.0.0.2")
            self._run(f"{name}/twin", self._twins[name])
        elif not on and self._twins.pop(name, None) is not None:
            self._running.pop(f"{name}/twin").cancel()

    def _named(self, device: str) -> list[Station]:
        if device == EVERY:
            return list(self.stations.values())
        if device not in self.stations:
            raise ValueError(f"device {device!r}: there is none")
        return [self.stations[device]]


def _broke(task: asyncio.Task[None]) -> None:
    """A station that breaks must not look like one that has nothing to say."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} broke", "exception": error}
        )
