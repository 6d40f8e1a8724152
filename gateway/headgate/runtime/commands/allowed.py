"""What may be done on this box: each `[[control]]` with the point it is for, and what it says of a value.

Pure. Nothing here reads a device; whoever has a fresh reading asks `Allowed` about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from headgate.columns import convert
from headgate.config import Control
from headgate.envelope.command import CommandValue, Content
from headgate.errors import DeviceRefused, HeadgateError
from headgate.model import Value
from headgate.runtime.commands.interlock import Condition, Place, Undecided
from headgate.runtime.inverse import raw_for
from headgate.sdk import Device, DevicePoint

HOUR_US: Final = 3_600_000_000
#: The code of a condition that cannot be judged, because a point of it is not good.
UNSEEN: Final = "HG-6517"


class Refusal(HeadgateError):
    """A command, or a local write, that is not carried out; `code` says why. Nothing was moved."""

    default_code = "HG-6500"


class End(msgspec.Struct, frozen=True):
    """What is written when a lease ends: a raw value for a point."""

    device: str
    point: str
    raw: bool | int | float


class Move(msgspec.Struct, frozen=True, array_like=True):
    """One write that was carried out: when, in which boot, and whether something started by it."""

    boot: bytes
    at_us: int
    start: bool


class Allowed(msgspec.Struct, frozen=True):
    """One control, resolved. `end` is None with `on_lease_end = "hold"`."""

    control: Control
    device: Device
    place: DevicePoint
    interlock: tuple[Condition, ...]
    remote: Condition | None
    feedback: Place | None
    end: End | None

    @property
    def name(self) -> Place:
        """Device and point."""
        return self.control.device, self.control.point

    @property
    def asks_for(self) -> frozenset[str]:
        """Devices that must be read before a write."""
        names = {self.control.device} if self._compares else set()
        for condition in (*self.interlock, *((self.remote,) if self.remote else ())):
            names |= {device for device, _ in condition.places}
        return frozenset(names)

    @property
    def _compares(self) -> bool:
        return self.control.max_step is not None or self.control.max_starts_per_hour is not None

    # ------------------------------------------------------------ what is said

    def operator(self, name: str) -> None:
        """Raise Refusal unless this person may command the point."""
        wanted = name.casefold()
        if not any(fnmatchcase(wanted, pattern.casefold()) for pattern in self.control.operators):
            raise self._no("HG-6508", who=name)

    def operation(self, content: Content) -> None:
        """Raise Refusal unless operation, unit and lease are allowed."""
        if content.operation.value not in self.control.operations:
            raise self._no("HG-6510", operation=content.operation.value)
        if content.unit != self.place.point.unit:
            raise self._no("HG-6512", wanted=self.place.point.unit, said=content.unit or "-")
        if content.lease_s * 1_000_000 > self.control.lease.us:
            raise self._no("HG-6521", lease=str(self.control.lease), wanted=content.lease_s)

    def raw(self, value: CommandValue | None) -> bool | int | float:
        """The raw value for one that is asked for, both within the bounds.

        Raises:
            Refusal: of another type (HG-6512), or out of bounds (HG-6511), be it only by the step of
                the device.
        """
        point = self.place.point
        if (
            isinstance(value, str)
            or value is None
            or isinstance(value, bool) is not (point.type == "bool")
        ):
            raise self._no("HG-6512", wanted=point.type, said=type(value).__name__)
        self._within(value)
        try:
            raw = raw_for(self.control.device, self.place, value)
        except DeviceRefused as error:
            raise Refusal(str(error), code=error.code, **error.fields) from None
        assert isinstance(raw, (bool, int, float))
        made = convert(point.conversion, raw)
        if isinstance(made, (bool, int, float)):
            self._within(made)
        return raw

    def _within(self, value: float) -> None:
        low, high = self.control.min, self.control.max
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = {"low": "-" if low is None else low, "high": "-" if high is None else high}
            raise self._no("HG-6511", value=value, unit=self.place.point.unit, **bounds)

    # ------------------------------------------------------------ what is seen

    def conditions(self, seen: Mapping[Place, Value]) -> None:
        """Raise Refusal unless the switch is on remote and every interlock holds. `seen` is good."""
        numbers = {p: v for p, v in seen.items() if isinstance(v, (bool, int, float))}
        named = [(c, "HG-6516") for c in self.interlock]
        if self.remote is not None:
            named.insert(0, (self.remote, "HG-6518"))
        for condition, code in named:
            try:
                holds = condition.holds(numbers)
            except Undecided as error:
                place = "/".join(error.place)
                raise self._no(UNSEEN, condition=condition.text, place=place) from None
            if not holds:
                raise self._no(code, condition=condition.text)

    def step(self, value: CommandValue | None, now: Value) -> None:
        """Raise Refusal when this is too far from what the point says now (None: nobody knows)."""
        most = self.control.max_step
        if most is None or value is None or isinstance(value, str):
            return
        if not isinstance(now, (bool, int, float)):
            raise self._no(UNSEEN, condition="max_step", place="/".join(self.name))
        if abs(value - now) > most:
            raise self._no("HG-6513", value=value, now=now, step=most)

    def starts(self, value: CommandValue | None, now: Value) -> bool:
        """Whether this starts something: from 0, or nobody knows what, to something else."""
        return bool(value) and not (isinstance(now, (bool, int, float)) and bool(now))

    def rate(self, moves: Sequence[Move], start: bool, now_us: int, boot: bytes) -> None:
        """Raise Refusal when it is too soon, or one start too many in the hour.

        What an earlier boot did counts as done when this one began: the latest that it can have been.
        """
        ages = [(now_us - (m.at_us if m.boot == boot else 0), m.start) for m in moves]
        least = self.control.min_interval.us
        soonest = min((age for age, _ in ages), default=None)
        if soonest is not None and soonest < least:
            raise self._no("HG-6514", wait=_seconds(least - soonest))
        most = self.control.max_starts_per_hour
        started = sorted(age for age, was_start in ages if was_start and age < HOUR_US)
        if start and most is not None and len(started) >= most:
            wait = _seconds(HOUR_US - started[most - 1])
            raise self._no("HG-6515", starts=most, wait=wait)

    def agrees(self, measured: Value, wanted: CommandValue | None) -> bool:
        """Whether the feedback point shows what was wanted."""
        if not isinstance(measured, (bool, int, float)) or not isinstance(
            wanted, (bool, int, float)
        ):
            return False
        return abs(measured - wanted) <= self.control.feedback_tolerance

    def _no(self, code: str, **fields: Any) -> Refusal:
        device, point = self.name
        return Refusal(f"{device}/{point}: {code}", code=code, device=device, point=point, **fields)


def _seconds(us: int) -> int:
    return -(-us // 1_000_000)
