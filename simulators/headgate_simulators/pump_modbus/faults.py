"""What can go wrong with a PLC, its drives and its answers; switched on and off while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PlcFault(Enum):
    """The faults of a station (`ps-001`) or of one pump (`ps-001/pump2`; without it, pump 1)."""

    # of a pump
    NO_START = "no-start"  # the contactor never closes: no feedback, no current
    WELDED = "contact-stuck"  # the contactor does not open: it runs on, feedback and current stay
    NO_FEEDBACK = "no-feedback"  # the motor runs and takes current; the feedback never comes
    LATE_FEEDBACK = "feedback-late"  # the feedback comes `value` seconds late (3)
    TRIP = "motor-trip"  # motor protection: stands still, start is refused, until reset
    # of the gate
    BLOCKED = "gate-blocked"  # it stops where it is and says so
    # of the answers
    REFUSE = "refuse"  # every write is answered with the exception `value` (4) and not done
    IGNORE = "ignore"  # every write is acknowledged and not done
    ANSWER_LOST = "answer-lost"  # every write is done and never answered
    EXCEPTION = "exception"  # everything is answered with the exception `value` (4)
    SLOW = "slow"  # everything is done and answered `value` seconds late (1)
    SILENT = "silent"  # nothing is done, nothing is answered
    PLUG = "plug-pulled"  # the port is gone


PUMP_FAULTS = frozenset({
    PlcFault.NO_START, PlcFault.WELDED, PlcFault.NO_FEEDBACK, PlcFault.LATE_FEEDBACK, PlcFault.TRIP,
})  # fmt: skip
_DEFAULTS = {PlcFault.LATE_FEEDBACK: 3.0, PlcFault.REFUSE: 4.0, PlcFault.EXCEPTION: 4.0,
             PlcFault.SLOW: 1.0}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wrong:
    """One fault of one device, or of all (`*`)."""

    device: str
    kind: PlcFault
    value: float = 0.0
    pump: int = 0

    @classmethod
    def make(cls, device: str, kind: str, value: float | None = None) -> Wrong:
        """From words; a `ValueError` says what was wrong with them."""
        try:
            known = PlcFault(kind)
        except ValueError:
            names = ", ".join(sorted(each.value for each in PlcFault))
            raise ValueError(f"fault {kind!r} is not known; there are: {names}") from None
        station, slash, pump = device.partition("/")
        if slash and (pump not in ("pump1", "pump2") or known not in PUMP_FAULTS):
            raise ValueError(f"device {device!r}: only a pump's fault has /pump1 or /pump2")
        number = _DEFAULTS.get(known, 0.0) if value is None else value
        if known in (PlcFault.REFUSE, PlcFault.EXCEPTION) and number not in range(1, 256):
            raise ValueError(f"{kind} {number:g}: a Modbus exception code is 1..255")
        return cls(station, known, number, 1 if pump == "pump2" else 0)

    @classmethod
    def parse(cls, written: str) -> Wrong:
        """`DEVICE:KIND[=VALUE]`."""
        device, colon, rest = written.partition(":")
        kind, equals, value = rest.partition("=")
        try:
            if not colon:
                raise ValueError("no colon")
            number = float(value) if equals else None
        except ValueError:
            raise ValueError(
                f"fault {written!r}: write DEVICE:KIND[=VALUE], for example ps-001:refuse=6"
            ) from None
        return cls.make(device, kind, number)
