"""What can go wrong with a simulated device, and when.

Written `DEVICE:KIND[=VALUE][@FROM-TO]`, seconds after the start, either end open:
`gauge-003:silent@10-20`, `gauge-004:slow=2.5@30-`, `*:exception=6@5-6`. Without a window the fault is
there from the start. Faults can also be switched on and off while the farm runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

EVERY_DEVICE = "*"
SLAVE_DEVICE_FAILURE = 4  # Modbus exception code when none is named


class FaultKind(Enum):
    """The faults, and what a client sees of each."""

    SILENT = "silent"  # no answer at all
    SLOW = "slow"  # answers after `value` seconds, while whoever asked still waits
    LATE = "late"  # answers after `value` seconds, when whoever asked has given up
    EXCEPTION = "exception"  # Modbus: answers with the exception code `value`
    NOISE = "noise"  # serial: bytes that belong to nothing before each frame
    WRONG_CHECKSUM = "wrong-checksum"  # serial: every frame damaged
    SHORT = "short"  # every frame cut
    WRONG_UNIT = "wrong-unit"  # answers under its neighbour's address
    REBOOT = "reboot"  # away for `value` seconds; its counters begin again
    FIRMWARE_UPGRADE = (
        "firmware-upgrade"  # away for `value` seconds; comes back as the next firmware
    )
    PLUG_PULLED = "plug-pulled"  # its line is gone, for all that stand on it
    NO_ECHO = "no-echo"  # radar: the distance is its sentinel
    SENSOR_FAULT = "sensor-fault"  # radar: the temperature is its sentinel
    BLOCKED = "blocked"  # rain gauge: the funnel is blocked, tips stop
    LOW_BATTERY = "low-battery"  # rain gauge


#: What any device can have.
ANY_DEVICE = frozenset(
    {FaultKind.SILENT, FaultKind.SLOW, FaultKind.LATE, FaultKind.REBOOT, FaultKind.PLUG_PULLED}
)
#: What any device that speaks Modbus can have besides.
ANY_MODBUS = frozenset({FaultKind.EXCEPTION, FaultKind.SHORT, FaultKind.WRONG_UNIT})
#: What serial framing adds.
ANY_SERIAL = frozenset({FaultKind.NOISE, FaultKind.WRONG_CHECKSUM})
#: What damages frames on the way. Modbus TCP has no checksum, and noise is of serial lines.
DAMAGE = (FaultKind.WRONG_CHECKSUM, FaultKind.SHORT, FaultKind.WRONG_UNIT)
#: Faults whose value is how long.
_SECONDS = (FaultKind.SLOW, FaultKind.LATE, FaultKind.REBOOT, FaultKind.FIRMWARE_UPGRADE)
_DEFAULT_VALUE = {
    FaultKind.SLOW: 1.0,
    FaultKind.LATE: 3.0,
    FaultKind.EXCEPTION: float(SLAVE_DEVICE_FAILURE),
    FaultKind.REBOOT: 2.0,
    FaultKind.FIRMWARE_UPGRADE: 2.0,
}
_NUMBER = r"\d+(?:\.\d+)?"
_WRITTEN = re.compile(
    rf"(?P<device>[^:@=\s]+):(?P<kind>[a-z-]+)(?:=(?P<value>{_NUMBER}))?"
    rf"(?:@(?P<begin>{_NUMBER})?-(?P<end>{_NUMBER})?)?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one device (or of all) in one window of seconds after the start."""

    device: str
    kind: FaultKind
    value: float = 0.0
    begins_s: float = 0.0
    ends_s: float = math.inf

    def __post_init__(self) -> None:
        if self.kind is FaultKind.EXCEPTION and self.value not in range(1, 256):
            raise ValueError(f"exception {self.value:g}: a Modbus exception code is 1..255")
        if self.kind in _SECONDS and not 0 < self.value <= 3600:
            raise ValueError(
                f"{self.kind.value} {self.value:g}: give seconds, more than 0 and at most 3600"
            )
        if not self.begins_s < self.ends_s:
            raise ValueError(f"window {self.begins_s:g}-{self.ends_s:g}: it ends before it begins")

    @classmethod
    def make(cls, device: str, kind: str, value: float | None = None) -> Fault:
        """A fault from its kind's name, with the kind's usual value when none is given."""
        try:
            known = FaultKind(kind)
        except ValueError:
            names = ", ".join(sorted(each.value for each in FaultKind))
            raise ValueError(f"fault {kind!r} is not known; there are: {names}") from None
        return cls(device, known, _DEFAULT_VALUE.get(known, 0.0) if value is None else value)

    @classmethod
    def parse(cls, written: str) -> Fault:
        """Read `DEVICE:KIND[=VALUE][@FROM-TO]`; a `ValueError` says what is wrong with it."""
        found = _WRITTEN.fullmatch(written.strip())
        if found is None:
            raise ValueError(
                f"fault {written!r}: write DEVICE:KIND[=VALUE][@FROM-TO], for example gauge-003:silent@10-20"
            )
        value = float(found["value"]) if found["value"] else None
        plain = cls.make(found["device"], found["kind"], value)
        begins = float(found["begin"]) if found["begin"] else 0.0
        ends = float(found["end"]) if found["end"] else math.inf
        return cls(plain.device, plain.kind, plain.value, begins, ends)


@dataclass(slots=True)
class Faults:
    """The faults of a farm: those planned by time, and those switched on by hand."""

    planned: list[Fault] = field(default_factory=list)
    _switched: dict[tuple[str, FaultKind], Fault] = field(default_factory=dict)

    def switch_on(self, fault: Fault, elapsed_s: float = 0.0) -> None:
        """From now on, until switched off. The same kind at the same device is replaced."""
        now = replace(fault, begins_s=elapsed_s, ends_s=math.inf)
        self._switched[fault.device, fault.kind] = now

    def switch_off(self, device: str, kind: FaultKind) -> None:
        """End what was switched on; planned windows stay."""
        self._switched.pop((device, kind), None)

    def at(self, device: str, elapsed_s: float) -> dict[FaultKind, Fault]:
        """What is wrong with `device` this many seconds after the start, by kind."""
        wrong = {}
        for fault in (*self.planned, *self._switched.values()):
            if (
                fault.device in (device, EVERY_DEVICE)
                and fault.begins_s <= elapsed_s < fault.ends_s
            ):
                wrong[fault.kind] = fault
        return wrong


def check(fault: Fault, devices: Iterable[tuple[str, frozenset[FaultKind]]]) -> None:
    """A `ValueError` when no device can have this fault: unknown device, or not of its model.

    Args:
        devices: each device's id and what else than `ANY_DEVICE` its model and its line can have.
    """
    known = dict(devices)
    meant = known if fault.device == EVERY_DEVICE else {fault.device: known.get(fault.device)}
    if None in meant.values():
        raise ValueError(f"device {fault.device!r} is not in this farm; it has {', '.join(known)}")
    if fault.kind not in ANY_DEVICE and not any(fault.kind in has for has in meant.values() if has):
        raise ValueError(
            f"fault {fault.kind.value!r} does not fit {fault.device}: neither its model nor its line"
            " can have it"
        )
