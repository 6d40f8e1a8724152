"""Pumps, valves and gates, the quota and the working mode as points that are written: 92, 93, 34, 32, 33, 12.

Each is named by its own number, so nothing need be known of the others. What a station answers says that
it was told and has begun; whether water flows its next report says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from headgate.sdk import Device, DeviceRefused, Value
from headgate_drivers.szy206.frames import Afn, Frame
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.replies import Centre

#: What is written besides pumps and valves.
WRITTEN = ("quota", "quota_control", "work_mode")
MOVES = (
    Afn.START, Afn.STOP, Afn.QUOTA_ON, Afn.QUOTA_OFF, Afn.SET_QUOTA, Afn.SET_MODE,
)  # fmt: skip
#: The most that a quota has digits for.
_MOST_M3 = 9_999_999_999

#: Writes a command for a centre at its time.
Command = Callable[[Centre, datetime], Frame]


class Outcome(NamedTuple):
    """What an answer says that a command did."""

    item: str
    value: Value


def move(device: Device, point: str, raw: Value) -> Command:
    """The command that gives a point its value.

    Raises:
        DeviceRefused: no such point, or a value that has no place (HG-3664).
    """
    place = next((each for each in device.points if each.point.name == point), None)
    item = "" if place is None else str(place.source.get("item", ""))
    kind, _, number = item.partition(".")
    if kind in ("pump", "valve") and number and isinstance(raw, bool):
        which, valve = int(number), kind == "valve"
        if raw:
            return lambda centre, at: centre.start(which, at, valve=valve)
        return lambda centre, at: centre.stop(which, at, valve=valve)
    if item == "quota_control" and isinstance(raw, bool):
        return lambda centre, at: centre.quota_control(at, on=raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool) and raw == int(raw):
        whole = int(raw)
        if item == "quota" and 0 <= whole <= _MOST_M3:
            return lambda centre, at: centre.quota(whole, at)
        if item == "work_mode" and 0 <= whole <= 3:
            return lambda centre, at: centre.set_mode(whole, at)
    raise DeviceRefused(
        f"{device.id}: {point} cannot be {raw!r}", code="HG-3664", device=device.id, point=point,
        value=str(raw),
    )  # fmt: skip


def concerns(command: Frame, message: Message | None) -> bool:
    """Whether an answer of the same function is one to this command: of pumps, of this number."""
    if message is None:
        return False
    if command.afn in (Afn.START, Afn.STOP):
        return len(message.raw) == 1 and (message.raw[0] ^ command.data[0]) & 0xF == 0
    return True


def outcome(command: Frame, message: Message | None, *, echoes: bool = False) -> Outcome | None:
    """What a command did, by its answer; None: it was not done, or nobody knows.

    Args:
        echoes: the station answers 92 and 93 with what it was told, not with A and the number.
    """
    if message is None or not concerns(command, message):
        return None
    said = {each.name: each.value for each in message.values}
    if command.afn in (Afn.START, Afn.STOP):
        which = "valve" if command.data[0] >> 4 else "pump"
        done = said.get("done") or (echoes and message.raw == command.data[:1])
        item = f"{which}.{command.data[0] & 0xF}"
        return Outcome(item, command.afn == Afn.START) if done else None
    if command.afn in (Afn.QUOTA_ON, Afn.QUOTA_OFF):
        on = command.afn == Afn.QUOTA_ON
        return Outcome("quota_control", on) if said.get("done") else None
    name = {Afn.SET_QUOTA: "quota", Afn.SET_MODE: "mode"}.get(Afn(command.afn), "")
    value = said.get(name)
    return None if value is None else Outcome("work_mode" if name == "mode" else name, value)
