"""Pumps, valves and gates, the quota and the working mode as points that are written: 92, 93, 34, 32, 33, 12.

Each is named by its own number, so nothing need be known of the others. What a station answers says that
it was told and has begun; whether water flows its next report says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from headgate.sdk import Device, DeviceRefused, Value
from headgate_drivers.szy206.frames import Frame
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.replies import Centre

#: What only writes; a station tells it in no report.
WRITTEN = ("quota", "quota_control", "work_mode")
#: The most that a quota has digits for.
_MOST_M3 = 9_999_999_999


class Move(NamedTuple):
    """A command, and what its answer says of the point it is for; None: it was not done."""

    frame: Callable[[Centre, datetime], Frame]
    back: Callable[[Message], Value]


def move(device: Device, point: str, raw: Value) -> Move:
    """The command that gives a point its value.

    Raises:
        DeviceRefused: no such point, or a value that has no place (HG-3664).
    """
    place = next((each for each in device.points if each.point.name == point), None)
    item = "" if place is None else str(place.source.get("item", ""))
    kind, _, number = item.partition(".")
    if kind in ("pump", "valve") and isinstance(raw, bool):
        which, valve = int(number), kind == "valve"
        if raw:
            return Move(lambda c, at: c.start(which, at, valve=valve), _done(which, raw))
        return Move(lambda c, at: c.stop(which, at, valve=valve), _done(which, raw))
    if item == "quota_control" and isinstance(raw, bool):
        return Move(lambda c, at: c.quota_control(at, on=raw), _done(None, raw))
    if isinstance(raw, int | float) and not isinstance(raw, bool) and raw == int(raw):
        whole = int(raw)
        if item == "quota" and 0 <= whole <= _MOST_M3:
            return Move(lambda c, at: c.quota(whole, at), _said("quota"))
        if item == "work_mode" and 0 <= whole <= 3:
            return Move(lambda c, at: c.set_mode(whole, at), _said("mode"))
    raise DeviceRefused(
        f"{device.id}: {point} cannot be {raw!r}", code="HG-3664", device=device.id, point=point,
        value=str(raw),
    )  # fmt: skip


def _done(number: int | None, raw: Value) -> Callable[[Message], Value]:
    """Of an answer that says which one, and that it was done."""

    def back(message: Message) -> Value:
        said = {each.name: each.value for each in message.values}
        if not said.get("done") or (number is not None and said.get("number") != number):
            return None
        return raw

    return back


def _said(name: str) -> Callable[[Message], Value]:
    """Of an answer that repeats what was set."""
    return lambda message: next((each.value for each in message.values if each.name == name), None)
