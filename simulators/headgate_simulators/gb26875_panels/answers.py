"""What a transmitter answers to the questions of its centre (types 61 to 88, clause 8.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from headgate_simulators.gb26875_panels import wire
from headgate_simulators.gb26875_panels.building import NORMAL, Building
from headgate_simulators.gb26875_panels.wire import Part


class Now(NamedTuple):
    """What is so while it is asked: world time, the transmitter's clock, the words it has told."""

    t: float
    at: datetime
    building: Building
    words: Mapping[Part, int]
    systems: Mapping[tuple[int, int], int]
    #: What was done, oldest first: when, flags, operator; at the transmitter, at system 1.1.
    transmitter_done: list[tuple[datetime, int, int]]
    system_done: list[tuple[datetime, int, int]]


def answer(asked: bytes, now: Now) -> bytes | None:
    """The unit that answers a unit; None: such a question is not known here."""
    if len(asked) < 3:
        return None
    known = _ANSWERS.get(asked[0])
    return None if known is None else known(asked[2:], asked[1], now)


def _systems(data: bytes, count: int) -> list[tuple[int, int]]:
    return [(data[at], data[at + 1]) for at in range(0, 2 * count, 2)]


def _components(data: bytes, count: int, now: Now) -> list[Part]:
    """The components that are asked for; a question leaves their type out."""
    every = {
        (part.system, part.number, part.address): part
        for part in [*now.building.parts, *(each.part for each in now.building.sensors)]
    }
    asked = [
        (data[at], data[at + 1], int.from_bytes(data[at + 2 : at + 6], "little"))
        for at in range(0, 6 * count, 6)
    ]
    return [every[each] for each in asked if each in every]


def _system_state(data: bytes, count: int, now: Now) -> bytes:
    objects = [
        wire.system_state(*each, now.systems.get(each, 1 << NORMAL), now.at)
        for each in _systems(data, count)
    ]
    return wire.unit(1, *objects)


def _component_state(data: bytes, count: int, now: Now) -> bytes:
    objects = [
        wire.component_state(
            part, now.words.get(part, 1 << NORMAL), now.building.words(part), now.at
        )
        for part in _components(data, count, now)
    ]
    return wire.unit(2, *objects)


def _analogues(data: bytes, count: int, now: Now) -> bytes:
    wanted = set(_components(data, count, now))
    return wire.unit(
        3,
        *(
            wire.analogue(each.part, each.kind, now.building.raw(each, now.t), now.at)
            for each in now.building.sensors
            if each.part in wanted
        ),
    )


def _system_operations(data: bytes, count: int, now: Now) -> bytes:
    done = _since(now.system_done, data[2:])
    return wire.unit(4, *(wire.operation(data[0], data[1], *each[1:], each[0]) for each in done))


def _operations(data: bytes, count: int, now: Now) -> bytes:
    done = _since(now.transmitter_done, data)
    return wire.unit(24, *(wire.transmitter_operation(*each[1:], each[0]) for each in done))


def _since(done: list[tuple[datetime, int, int]], data: bytes) -> list[tuple[datetime, int, int]]:
    since = wire.time_of(data[1:7])
    return [each for each in done if each[0] >= since][: data[0]]


def _component_words(data: bytes, count: int, now: Now) -> bytes:
    parts = _components(data, count, now)
    objects = [
        bytes(each[:3]) + each.address.to_bytes(4, "little") + wire.text(now.building.words(each))
        for each in parts
    ]
    return wire.unit(7, *objects)


def _system_words(data: bytes, count: int, now: Now) -> bytes:
    said = [
        bytes(each) + wire.long_text(f"{now.building.name} 系统 {each[0]}.{each[1]}")
        for each in _systems(data, count)
    ]
    return wire.unit(6, *said)


_ANSWERS: Mapping[int, Callable[[bytes, int, Now], bytes]] = {
    61: _system_state,
    62: _component_state,
    63: _analogues,
    64: _system_operations,
    65: lambda data, count, now: wire.unit(5, data[:2] + b"\2\1"),
    66: _system_words,
    67: _component_words,
    68: lambda data, count, now: wire.unit(8, data[:2] + wire.clock(now.at)),
    81: lambda data, count, now: wire.unit(21, wire.transmitter_state(1 << NORMAL, now.at)),
    84: _operations,
    85: lambda data, count, now: wire.unit(25, b"\3\2"),
    86: lambda data, count, now: wire.unit(26, wire.long_text(f"{now.building.name} 消防控制室")),
    88: lambda data, count, now: wire.unit(28, wire.clock(now.at)),
}
