"""One simulated gauge: an instrument with an address, a sample counter and faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate_simulators.faults import ANY_MODBUS, Fault, FaultKind, Faults
from headgate_simulators.truth import Truth
from headgate_simulators.water_gauge.instruments import Instrument, Measurement
from headgate_simulators.world import WorldClock

# A look may take several requests. Registers hold one measurement this long after its first
# request, so that a look cut in pieces still tells of one instant.
HOLD_S = 0.1


class Gauge:
    """What a request to one unit finds.

    `sample` is the counter's state: it steps once for each answered request that covers the whole
    counter, so that "asked and answered" can be counted from both ends.
    """

    def __init__(
        self,
        id_: str,
        name: str,
        unit: int,
        instrument: Instrument,
        clock: WorldClock,
        sample: int = 0,
    ) -> None:
        self.id = id_
        self.name = name
        self.unit = unit
        self.instrument = instrument
        self.sample = sample
        self.registers: list[int] = [0] * instrument.size
        self._clock = clock
        self._old = instrument
        self._restarted_for: dict[FaultKind, Fault] = {}
        self._held: Measurement | None = None
        self._measured_at = 0.0
        self._held_wrong: frozenset[FaultKind] = frozenset()

    @property
    def conditions(self) -> frozenset[FaultKind]:
        """What can be wrong with it, whatever line it stands on."""
        next_ = frozenset() if self._old.upgrade is None else {FaultKind.FIRMWARE_UPGRADE}
        return self._old.conditions | ANY_MODBUS | next_

    def live_through(self, wrong: Mapping[FaultKind, Fault]) -> FaultKind | None:
        """Restart, or take the next firmware, where a fault says so.

        Returns:
            The kind, when it has just begun.
        """
        begun = None
        for kind in (FaultKind.REBOOT, FaultKind.FIRMWARE_UPGRADE):
            fault = wrong.get(kind)
            if fault is None:
                if self._restarted_for.pop(kind, None) and kind is FaultKind.FIRMWARE_UPGRADE:
                    self._run(self._old)
            elif self._restarted_for.get(kind) is not fault:
                self._restarted_for[kind] = fault
                self._run(self._next() if kind is FaultKind.FIRMWARE_UPGRADE else self.instrument)
                begun = kind
        return begun

    def away(self, elapsed_s: float) -> FaultKind | None:
        """Why it is not back yet from a restart; None: it is."""
        for kind, fault in self._restarted_for.items():
            if elapsed_s < fault.begins_s + fault.value:
                return kind
        return None

    def _next(self) -> Instrument:
        assert self._old.upgrade is not None
        return self._old.upgrade(self._old.world, self._old.place, self.id)

    def _run(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.sample = 0
        self.registers = [0] * instrument.size
        self._held = None

    def covers_counter(self, address: int, count: int) -> bool:
        """Whether a request for `count` registers from `address` brings the whole counter.

        One that reaches beyond the last register brings nothing: it will be refused.
        """
        counter = self.instrument.counter
        return address <= counter[0] and counter[-1] < address + count <= self.instrument.size

    def look(self, now: float, wrong: frozenset[FaultKind], counted: bool) -> dict[str, Any]:
        """Look at the world at the wall-clock instant `now`; `registers` then show what there is.

        Args:
            now: wall clock, unix seconds.
            wrong: the conditions of the sensor.
            counted: whether the answer will bring the sample counter, which then steps.

        Returns:
            The truth line of this look.
        """
        measured = self._measurement(now, wrong)
        self.registers = list(measured.registers)
        if counted:
            self.sample += 1
        sample = self.instrument.stamp(self.registers, self.sample)
        values: dict[str, Any] = {**measured.values}
        if self.instrument.told_counter:
            values["sample"] = sample
        return {"t": now, "device": self.id, "sample": sample, "values": values}

    def _measurement(self, now: float, wrong: frozenset[FaultKind]) -> Measurement:
        fresh = 0.0 <= now - self._measured_at < HOLD_S and wrong == self._held_wrong
        if self._held is None or not fresh:
            self._held = self.instrument.measure(self._clock.world_time(now), wrong)
            self._measured_at, self._held_wrong = now, wrong
        return self._held


class Bench:
    """What all gauges of a farm share: their faults, and the truth they write into."""

    def __init__(self, faults: Faults, truth: Truth, started: float) -> None:
        self.faults = faults
        self.truth = truth
        self.started = started

    def wrong_with(self, gauge: Gauge, now: float) -> dict[FaultKind, float]:
        """What is wrong with `gauge` at `now`, each with its value.

        Away from a restart, it is silent.
        """
        elapsed_s = now - self.started
        active = self.faults.at(gauge.id, elapsed_s)
        begun = gauge.live_through(active)
        if begun is not None:
            self.note_fault(gauge, now, begun.value, look=False)
        wrong = {kind: fault.value for kind, fault in active.items()}
        if gauge.away(elapsed_s) is not None:
            wrong[FaultKind.SILENT] = 0.0
        return wrong

    def note_fault(
        self, gauge: Gauge, now: float, fault: str, look: bool, **more: int | float
    ) -> None:
        """Keep that a request was not answered, or not with values. `look`: it asked for the counter."""
        self.truth.write({"t": now, "device": gauge.id, "fault": fault, "look": look, **more})
