"""A PLC with two pumps and a sluice gate, stepped through time. Pure: seconds come in, a plant comes out.

The programme is its own master: left alone it keeps the level. Whoever writes a run command or a gate
setpoint takes that drive over until it is given back, or until the watchdog misses the heartbeat. Source:
docs/reference/simulators.md, "generic/pump-station-modbus".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headgate_simulators.pump_station.hydraulics import (
    AREA_M2,
    BRIM_M,
    CATCHMENT_M2,
    DRY_M3_H,
    FLOW_FREE_M3_H,
    HEAD_SHUT_M,
    LIFT_M,
    START_M,
    STOP_M,
)

DRY_RUN_M = 0.3  # below it no pump runs, whoever commands
GATE_CLOSES_M = 4.2  # the automatic throttles its inlet from here
GATE_THROTTLED, GATE_OPEN = 20.0, 100.0  # %
GATE_FULL_FLOW = 40.0  # % from which on the gate hinders nothing
STROKE_S = 60.0  # the gate's way from shut to open
PICK_UP_S = 0.2  # of a contactor: from the command to its auxiliary contact
RAMP_HZ_S = 25.0
LOWEST_HZ, HIGHEST_HZ = 25.0, 50.0
RATED_A = 28.0
_STEP_S = 0.5


@dataclass(slots=True)
class Pump:
    """One pump: contactor, converter, motor, and what can be broken about them."""

    setpoint_hz: float = HIGHEST_HZ
    automatic: bool = True
    #: What the command in force wants, the automatic's or the one that took over.
    wanted: bool = False
    closed: bool = False  # the contactor
    feedback: bool = False  # its auxiliary contact
    tripped: bool = False
    speed_hz: float = 0.0
    starts: int = 0
    #: Broken: the contactor does not close, or does not open; the contact says nothing, or late.
    never_closes: bool = False
    welded: bool = False
    contact_broken: bool = False
    contact_late_s: float = 0.0
    _since_s: float = 0.0

    @property
    def current_a(self) -> float:
        """What the motor takes."""
        share = self.speed_hz / HIGHEST_HZ
        return 0.0 if share <= 0 else RATED_A * (0.3 + 0.6 * share**2)

    def flow_m3_h(self, level_m: float) -> float:
        """What it lifts: the curve at this speed (affinity laws)."""
        share = self.speed_hz / HIGHEST_HZ
        if share <= 0:
            return 0.0
        head = (LIFT_M - level_m) / (HEAD_SHUT_M * share**2)
        return FLOW_FREE_M3_H * share * max(0.0, 1 - head)

    def step(self, seconds: float, dry: bool) -> None:
        """Let time pass for contactor, contact and motor."""
        close = self.wanted and not self.tripped and not dry and not self.never_closes
        if self.welded and self.closed:
            close = True
        if close != self.closed:
            self.closed, self._since_s = close, 0.0
            self.starts += close
        self._since_s += seconds
        if self._since_s >= PICK_UP_S + (self.contact_late_s if self.closed else 0.0):
            self.feedback = self.closed and not self.contact_broken
        aim = self.setpoint_hz if self.closed else 0.0
        way = RAMP_HZ_S * seconds
        self.speed_hz += max(-way, min(way, aim - self.speed_hz))


@dataclass(slots=True)
class Gate:
    """The sluice gate in the inlet: it needs its time."""

    setpoint: float = GATE_OPEN
    position: float = GATE_OPEN
    automatic: bool = True
    blocked: bool = False

    @property
    def moving(self) -> bool:
        """Whether its drive turns."""
        return self.setpoint != self.position and not self.blocked

    @property
    def fault(self) -> bool:
        """Whether its drive has stopped by torque on the way."""
        return self.setpoint != self.position and self.blocked

    def step(self, seconds: float) -> None:
        """Let it travel."""
        if not self.blocked:
            way = 100.0 / STROKE_S * seconds
            self.position += max(-way, min(way, self.setpoint - self.position))


@dataclass(slots=True)
class Plc:
    """The station: process, programme, watchdog.

    Attributes:
        watchdog_s: real seconds that a taken-over drive may go without the heartbeat moving; 0: ever.
        remote: the selector; at local nobody but the panel commands.
    """

    watchdog_s: float = 10.0
    level_m: float = 1.2
    inflow_m3_h: float = DRY_M3_H
    alarm_m: float = 3.6
    remote: bool = True
    heartbeat: int = 0
    fallen_back: bool = False
    pumps: list[Pump] = field(default_factory=lambda: [Pump(), Pump()])
    gate: Gate = field(default_factory=Gate)
    _silent_s: float = 0.0

    # ------------------------------------------------------------ who commands

    def run(self, pump: int, wish: bool) -> None:
        """Take a pump over: run or stop it from now on."""
        self._taken()
        self.pumps[pump].automatic = False
        self.pumps[pump].wanted = wish

    def give_back(self, pump: int, automatic: bool) -> None:
        """Let the automatic decide again, or take the pump over as it is."""
        if not automatic:
            self._taken()
        self.pumps[pump].automatic = automatic

    def open_gate(self, percent: float) -> None:
        """Take the gate over: let it go there."""
        self._taken()
        self.gate.automatic = False
        self.gate.setpoint = percent

    def give_gate_back(self, automatic: bool) -> None:
        """As `give_back`."""
        if not automatic:
            self._taken()
        self.gate.automatic = automatic

    def beat(self, value: int) -> None:
        """The heartbeat was written; it counts when it has moved."""
        if value != self.heartbeat:
            self.heartbeat, self._silent_s, self.fallen_back = value, 0.0, False

    def reset(self) -> None:
        """Clear trips."""
        for pump in self.pumps:
            pump.tripped = False

    @property
    def taken_over(self) -> bool:
        """Whether any drive is not the automatic's."""
        return not (self.gate.automatic and all(pump.automatic for pump in self.pumps))

    def _taken(self) -> None:
        # The first to take over has one watchdog time to begin with its heartbeat.
        if not self.taken_over:
            self._silent_s = 0.0

    # ------------------------------------------------------------ time

    def step(self, real_s: float, world_s: float, runoff_mm_h: float) -> None:
        """Let time pass: `real_s` for the watchdog, `world_s` for the plant."""
        self._watch(real_s)
        while world_s > 1e-9:
            part = min(world_s, _STEP_S)
            world_s -= part
            self._decide()
            self.gate.step(part)
            share = min(1.0, self.gate.position / GATE_FULL_FLOW)
            self.inflow_m3_h = (DRY_M3_H + runoff_mm_h / 1000 * CATCHMENT_M2) * share
            for pump in self.pumps:
                pump.step(part, dry=self.level_m <= DRY_RUN_M)
            out = sum(pump.flow_m3_h(self.level_m) for pump in self.pumps)
            self.level_m += (self.inflow_m3_h - out) / 3600 * part / AREA_M2
            self.level_m = min(BRIM_M, max(0.0, self.level_m))

    def _watch(self, real_s: float) -> None:
        self._silent_s += real_s
        if self.watchdog_s and self.taken_over and self._silent_s >= self.watchdog_s:
            self.fallen_back = True
            self.gate.automatic = True
            for pump in self.pumps:
                pump.automatic = True

    def _decide(self) -> None:
        for turn, pump in enumerate(self.pumps):
            if pump.automatic:
                if self.level_m >= START_M[turn]:
                    pump.wanted = True
                elif self.level_m <= STOP_M:
                    pump.wanted = False
        if self.gate.automatic:
            throttled = self.level_m >= GATE_CLOSES_M
            self.gate.setpoint = GATE_THROTTLED if throttled else GATE_OPEN
