"""From the controls of a site file to what they allow, or to every mistake in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headgate.config import Control, Heartbeat
from headgate.errors import DeviceRefused, Problem
from headgate.model import Access
from headgate.profiles.expression import ExpressionError
from headgate.runtime.commands.allowed import Allowed, End
from headgate.runtime.commands.interlock import Condition, Place
from headgate.runtime.inverse import raw_for
from headgate.runtime.roster import nearest
from headgate.sdk import Device, DevicePoint


class Wrong(Exception):
    """A control that cannot be: every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(p.code for p in problems))
        self.problems = problems


def resolve(control: Control, devices: Mapping[str, Device], where: str) -> Allowed:
    """A control with its point.

    Raises:
        Wrong: what is wrong between the control, its device and the points it names.
    """
    reading = _Reading(devices, control.device, where)
    place = reading.point((control.device, control.point))
    if place is None:
        raise Wrong(reading.problems)
    conditions = [reading.condition(text) for text in control.interlock]
    remote = reading.condition(control.remote_when) if control.remote_when else None
    feedback = None
    if control.feedback is not None:
        first, slash, rest = control.feedback.partition("/")
        feedback = (first, rest) if slash else (control.device, first)
        reading.point(feedback)
    reading.judge(control, place)
    end = reading.end(control)
    if reading.problems:
        raise Wrong(reading.problems)
    read = tuple(condition for condition in conditions if condition is not None)
    return Allowed(control, devices[control.device], place, read, remote, feedback, end)


def examine(
    controls: Iterable[tuple[str, Control]],
    heartbeats: Iterable[tuple[str, Heartbeat]],
    devices: Mapping[str, Device],
) -> list[Problem]:
    """Everything wrong with the controls of a site; each comes with where it stands."""
    problems: list[Problem] = []
    seen: dict[Place, str] = {}
    for where, control in controls:
        try:
            resolve(control, devices, where)
        except Wrong as wrong:
            problems += wrong.problems
        first = seen.setdefault((control.device, control.point), where)
        if first != where:
            fields = {"device": control.device, "point": control.point, "first": first}
            problems.append(Problem(where, "HG-6560", {**fields}))
    for where, beat in heartbeats:
        reading = _Reading(devices, beat.device, where)
        place = reading.point((beat.device, beat.point))
        if place is not None:
            reading.writable(place)
        problems += reading.problems
    return problems


class _Reading:
    """Reads one entry and collects what is wrong with it."""

    def __init__(self, devices: Mapping[str, Device], device: str, where: str) -> None:
        self._devices = devices
        self._device = device
        self._where = where
        self.problems: list[Problem] = []

    def wrong(self, code: str, **fields: str | int | float) -> None:
        self.problems.append(Problem(self._where, code, {"device": self._device, **fields}))

    def point(self, place: Place) -> DevicePoint | None:
        name, point = place
        if name not in self._devices:
            self.wrong("HG-6550", named=name, nearest=nearest(name, self._devices))
            return None
        points = {p.point.name: p for p in self._devices[name].points}
        if point not in points:
            self.wrong("HG-6551", named=name, point=point, nearest=nearest(point, points))
            return None
        return points[point]

    def condition(self, text: str) -> Condition | None:
        try:
            condition = Condition.parse(text)
        except ExpressionError as error:
            self.wrong("HG-6554", condition=text, reason=str(error))
            return None
        for place in condition.places:
            self.point(place)
        return condition

    def writable(self, place: DevicePoint) -> None:
        if Access.WRITE.value not in place.point.access.value:
            self.wrong("HG-6552", point=place.point.name)

    def judge(self, control: Control, place: DevicePoint) -> None:
        point = place.point
        self.writable(place)
        if point.type in ("text", "bytes"):
            self.wrong("HG-6556", point=point.name, type=point.type)
            return
        low, high = control.min, control.max
        if (low is None or high is None) and point.type != "bool":
            self.wrong("HG-6553", point=point.name)
        if low is not None and high is not None and low > high:
            self.wrong("HG-6558", point=point.name, low=low, high=high)
        if not control.operations:
            self.wrong("HG-6559", point=point.name)

    def end(self, control: Control) -> End | None:
        """What is written when the lease ends; what cannot be written must be told long before."""
        if control.on_lease_end == "hold":
            return None
        name: str | None = control.point
        value = control.off_value
        if control.on_lease_end == "auto":
            name, value = control.auto_point, control.auto_value
        if name is None:
            self.wrong("HG-6555", point=control.point)
            return None
        place = self.point((control.device, name))
        if place is None:
            return None
        if isinstance(value, bool) and place.point.type != "bool":
            value = int(value)
        try:
            raw = raw_for(control.device, place, value)
        except DeviceRefused as error:
            self.wrong("HG-6557", point=name, value=str(value), reason=error.code)
            return None
        if not isinstance(raw, (bool, int, float)):
            self.wrong("HG-6556", point=name, type=place.point.type)
            return None
        return End(control.device, name, raw)
