"""A wet well and its pumps, stepped through time. Pure: world time comes in, values come out.

Water comes in with the catchment's run-off. Pump 1 starts at `start_m[0]`, pump 2 helps from `start_m[1]`;
both stop at `stop_m`, and take turns at going first. A pump's flow falls with the height it has to lift,
its power follows the flow. What does not fit overflows, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

AREA_M2 = 12.0  # of the well
BOTTOM_M, BRIM_M = 0.0, 4.5
STOP_M = 0.8
START_M = (1.6, 2.2)
ALARM_M = 3.6
LIFT_M = 7.0  # from the bottom of the well to the outlet
HEAD_SHUT_M, FLOW_FREE_M3_H = (
    16.0,
    260.0,
)  # the pump's curve: no flow at one end, no head at the other
EFFICIENCY = 0.62
IDLE_KW = 0.05
CATCHMENT_M2 = 24_000.0  # that drains into this well
DRY_M3_H = 28.0  # waste water, rain or no rain


@dataclass(slots=True)
class Pump:
    """One pump: whether it runs, and what it has done."""

    running: bool = False
    tripped: bool = False
    #: None: by level. True or false: by hand, until released.
    commanded: bool | None = None
    starts: int = 0
    hours: float = 0.0
    energy_kwh: float = 0.0
    flow_m3_h: float = 0.0
    power_kw: float = IDLE_KW

    def turn(self, on: bool) -> None:
        """Run or stand still from now on."""
        if on and not self.running:
            self.starts += 1
        self.running = on


@dataclass(slots=True)
class WetWell:
    """A well with two pumps. Heights above the well's bottom."""

    level_m: float = 1.2
    inflow_m3_h: float = DRY_M3_H
    overflow_m3: float = 0.0
    pumps: list[Pump] = field(default_factory=lambda: [Pump(), Pump()])
    _leads: int = 0

    def step(self, seconds: float, runoff_mm_h: float) -> None:
        """Let time pass. Long steps are cut, so that no pump runs past its stop level."""
        self.inflow_m3_h = DRY_M3_H + runoff_mm_h / 1000 * CATCHMENT_M2
        while seconds > 0:
            part = min(seconds, 5.0)
            seconds -= part
            self._control()
            out = sum(self._pump(pump, part) for pump in self.pumps)
            self.level_m += (self.inflow_m3_h / 3600 * part - out) / AREA_M2
            if self.level_m > BRIM_M:
                self.overflow_m3 += (self.level_m - BRIM_M) * AREA_M2
                self.level_m = BRIM_M
            self.level_m = max(BOTTOM_M, self.level_m)

    def _control(self) -> None:
        order = [(self._leads + i) % len(self.pumps) for i in range(len(self.pumps))]
        was_running = any(pump.running for pump in self.pumps)
        for turn, index in enumerate(order):
            pump = self.pumps[index]
            if pump.tripped or self.level_m <= 0.3:  # it would run dry, whoever commands
                pump.turn(on=False)
            elif pump.commanded is not None:
                pump.turn(on=pump.commanded)
            elif self.level_m >= START_M[turn]:
                pump.turn(on=True)
            elif self.level_m <= STOP_M:
                pump.turn(on=False)
        if was_running and not any(pump.running for pump in self.pumps):
            self._leads = (self._leads + 1) % len(self.pumps)

    def _pump(self, pump: Pump, seconds: float) -> float:
        """What a pump lifts in this time, in m3."""
        if not pump.running:
            pump.flow_m3_h, pump.power_kw = 0.0, IDLE_KW
        else:
            head_m = LIFT_M - self.level_m
            pump.flow_m3_h = FLOW_FREE_M3_H * max(0.0, 1 - head_m / HEAD_SHUT_M)
            hydraulic_kw = 9.81 * pump.flow_m3_h / 3600 * (head_m + 2.0)
            pump.power_kw = IDLE_KW + 1.5 + hydraulic_kw / EFFICIENCY
            pump.hours += seconds / 3600
        pump.energy_kwh += pump.power_kw * seconds / 3600
        return pump.flow_m3_h / 3600 * seconds
