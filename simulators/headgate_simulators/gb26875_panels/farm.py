"""Many fire alarm transmitters, one world, one truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate_simulators.dial_farm import DialPlan, Farm
from headgate_simulators.gb26875_panels.building import FAULT, NORMAL, Building
from headgate_simulators.gb26875_panels.panel import KNOWN, Habits, Panel
from headgate_simulators.truth import Truth

PROFILE = "generic/fire-panel"
#: The source address of the first is one more; the digits of a county, as sites number them.
ADDRESS = 42070400000000


@dataclass(frozen=True, slots=True)
class PanelsPlan:
    """What transmitters are wanted."""

    dial: DialPlan = field(default_factory=DialPlan)
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        if self.habits.every_s < 1:
            raise ValueError("every: at least one second")
        if not 1 <= self.habits.window <= 100:
            raise ValueError("window: 1 to 100 events at once")
        if not 1 <= self.habits.detectors <= 600:
            raise ValueError("detectors: 1 to 600")
        if not 0 <= self.habits.serial <= 0xFFFF:
            raise ValueError("serial: 0 to 65535")


class PanelsFarm(Farm[Panel]):
    """Running transmitters: `async with PanelsFarm(plan, truth) as farm`."""

    prefix = "fp"
    known = KNOWN

    def __init__(self, plan: PanelsPlan, truth: Truth) -> None:
        self.habits = plan.habits
        super().__init__(plan.dial, truth)

    def make(self, number: int, name: str, source: str | None = None) -> Panel:
        building = Building(
            self.world, self.places[number - 1], number, detectors=self.habits.detectors,
            mean_s=self.habits.incidents_s,
        )  # fmt: skip
        return Panel(
            name, ADDRESS + number, self.plan.centre, self.habits, building, self.clock,
            self.truth.write, source,
        )  # fmt: skip

    def describe(self, number: int) -> dict[str, Any]:
        return {
            "name": f"Fire panel {number} {self.places[number - 1].name}", "model": PROFILE,
            "address": str(ADDRESS + number),
        }  # fmt: skip

    def other(self, said: Mapping[str, Any]) -> None:
        """`{"fire": ID, "parts": 50, "seconds": 600}`, and `reset`, `faulty`, `measure` of one or of all."""
        if "fire" in said:
            for panel in self.named(str(said["fire"])):
                panel.burn(int(said.get("parts", 1)), float(said.get("seconds", 600.0)))
        elif "reset" in said:
            for panel in self.named(str(said["reset"])):
                panel.reset(panel.world_now())
        elif "faulty" in said:
            for panel in self.named(str(said["faulty"])):
                part = panel.building.parts[-1]
                panel.state(part, 1 << NORMAL | 1 << FAULT, panel.world_now())
        elif "measure" in said:
            for panel in self.named(str(said["measure"])):
                panel.measure(panel.world_now())
        else:
            super().other(said)
