"""Pumps, valves, gates and the quota as points that are written: 4C to 4F (clauses 6.6.4.26 to 6.6.4.29).

A command says what becomes of *all* pumps (valves, gates) of a station at once. So one of several is only
switched where the station has told on this call what the others do, and tells each change itself; else the
whole is written (`pumps`, `valves`), or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from headgate.sdk import Device, DeviceRefused, Value
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Frame
from headgate_drivers.sl651.items import Gates, Item, Message, Quota, Switches
from headgate_drivers.sl651.replies import Centre

#: Items that a profile may call writable, and the function that moves them.
WHOLE = {"pumps": Function.PUMPS, "valves": Function.VALVES, "quota": Function.QUOTA}
ONE = {"pump": Function.PUMPS, "valve": Function.VALVES, "gate": Function.GATES}
FUNCTIONS = frozenset([Function.PUMPS, Function.VALVES, Function.GATES, Function.QUOTA])
#: What one byte can count of gates, and what fits into the openings' four digits of BCD.
MOST, WIDEST_CM = 64, 9999


class Move(NamedTuple):
    """A command, and what its answer says of the point it is for; None where it says nothing of it."""

    function: Function
    frame: Callable[[Centre, datetime], Frame]
    back: Callable[[Message], Value]


def move(device: Device, point: str, raw: Value, told: Message | None) -> Move:
    """The command that gives a point its value.

    Args:
        told: what the station said last of all that the same function moves, on this call.

    Raises:
        DeviceRefused: no such point, a value that has no place, or others of whom nothing is known.
    """
    place = next((p for p in device.points if p.point.name == point), None)
    item = "" if place is None else str(place.source.get("item", ""))
    count = int((place.source.get("count") or 1) if place is not None else 1)
    if item == "quota" and isinstance(raw, bool):
        return Move(WHOLE[item], lambda c, at: c.quota(at, on=raw), lambda m: item_said(m, item))
    if (
        item in WHOLE
        and isinstance(raw, int)
        and not isinstance(raw, bool)
        and 0 <= raw >> count < 1
    ):
        on = [bool(raw >> index & 1) for index in range(count)]
        return Move(WHOLE[item], _switch(WHOLE[item], on), lambda m: item_said(m, item))
    kind, _, number = item.partition(".")
    if kind in ONE and number.isdecimal() and 1 <= int(number) <= count <= MOST:
        index = int(number) - 1
        if kind == "gate" and isinstance(raw, int) and 0 <= raw <= WIDEST_CM:
            openings = [*_others(device, Gates, told, index, count)]
            openings[index] = raw
            opens = [bool(each) for each in openings]
            return Move(
                Function.GATES,
                lambda c, at: c.gates(opens, openings, at),
                lambda m: item_said(m, item),
            )
        if kind != "gate" and isinstance(raw, bool):
            on = [bool(each) for each in _others(device, Switches, told, index, count)]
            on[index] = raw
            return Move(ONE[kind], _switch(ONE[kind], on), lambda m: item_said(m, item))
    raise DeviceRefused(
        f"{device.id}: {point} cannot be {raw!r}", code="HG-3793", device=device.id, point=point,
        value=str(raw),
    )  # fmt: skip


def _switch(function: Function, on: list[bool]) -> Callable[[Centre, datetime], Frame]:
    return lambda c, at: (c.pumps if function is Function.PUMPS else c.valves)(on, at)


def _others(
    device: Device, kind: type[Gates | Switches], told: Message | None, index: int, count: int
) -> list[int]:
    """What each of several does now, as the station told."""
    if count == 1:
        return [0]
    found = next((i for i in told.items if isinstance(i, kind)), None) if told is not None else None
    now: list[int | None] = []
    if device.quirk("tells_switches", "no") == "yes":
        if isinstance(found, Gates):
            now = list(found.openings[:count])
        elif isinstance(found, Switches):
            now = [int(each) for each in found.on[:count]]
    known = [each for each in now if each is not None]
    if len(now) < count or any(e is None for i, e in enumerate(now) if i != index):
        raise DeviceRefused(
            f"{device.id}: what the others do is not known", code="HG-3792", device=device.id,
            known=len(known), count=count,
        )  # fmt: skip
    return [0 if each is None else each for each in now]


def item_said(message: Message, item: str) -> Value:
    """What a message says of an item of pumps, valves, gates or quota; None where it says nothing."""
    for each in message.items:
        for name, value in said(each, function_of(item)):
            if name == item:
                return value
    return None


def function_of(item: str) -> Function:
    """The function that an item is moved and told by."""
    return WHOLE.get(item) or ONE.get(item.partition(".")[0], Function.GATES)


def said(item: Item, function: int) -> list[tuple[str, Value]]:
    """What an item of functions 4C to 4F says, by the words that a profile names points with."""
    match item:
        case Switches():
            kind = "valve" if function == Function.VALVES else "pump"
            word = int.from_bytes(item.data, "little")
            return [(f"{kind}s", word), *((f"{kind}.{n}", on) for n, on in enumerate(item.on, 1))]
        case Gates():
            opens: list[tuple[str, Value]] = [
                (f"gate_open.{n}", on) for n, on in enumerate(item.open, 1)
            ]
            return opens + [(f"gate.{n}", cm) for n, cm in enumerate(item.openings, 1)]
        case Quota():
            return [("quota", item.on)]
        case _:
            return []
