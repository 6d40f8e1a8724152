"""Many water resources stations, one river, one truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate_simulators.dial_farm import DialPlan, Farm
from headgate_simulators.szy206_stations import wire
from headgate_simulators.szy206_stations.instruments import Instruments
from headgate_simulators.szy206_stations.station import KNOWN, Habits, Station
from headgate_simulators.truth import Truth

PROFILE = "generic/water-resources-station"
#: Stations 1 on of this county.
COUNTY = "420703"
#: How high above its bed the river is when a station calls it too high.
_LIMIT_M = 1.2


@dataclass(frozen=True, slots=True)
class StationsPlan:
    """What stations are wanted."""

    dial: DialPlan = field(default_factory=DialPlan)
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        if self.habits.every_s < 1:
            raise ValueError("every: at least one second")


class StationsFarm(Farm[Station]):
    """Running stations: `async with StationsFarm(plan, truth) as farm`."""

    prefix = "ws"
    known = KNOWN

    def __init__(self, plan: StationsPlan, truth: Truth) -> None:
        self.habits = plan.habits
        super().__init__(plan.dial, truth)

    def make(self, number: int, name: str, source: str | None = None) -> Station:
        place = self.places[number - 1]
        instruments = Instruments(self.world, place, place.bed_m + _LIMIT_M)
        address = wire.address(COUNTY, number)
        return Station(
            name, address, self.plan.centre, self.habits, instruments, self.clock,
            self.truth.write, source,
        )  # fmt: skip

    def describe(self, number: int) -> dict[str, Any]:
        return {
            "name": f"Station {number} {self.places[number - 1].name}", "model": PROFILE,
            "address": wire.address(COUNTY, number).hex().upper(),
        }  # fmt: skip

    def other(self, said: Mapping[str, Any]) -> None:
        """`{"look": ID}`, `{"picture": ID}`."""
        if "look" in said:
            for station in self.named(str(said["look"])):
                station.look()
        elif "picture" in said:
            for station in self.named(str(said["picture"])):
                station.picture()
        else:
            super().other(said)
