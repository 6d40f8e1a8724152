"""What an outage left out, as blocks: which part of the past is asked for, and when a value was true.

Live values are told up to the instant before the line was lost, and again from the first that the new
subscription brings. What the server kept between the two is told once, oldest first, with the time at
which it was true; nothing of it was told live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from headgate.sdk import Block
from headgate_drivers.opcua.clock import ServerClock
from headgate_drivers.opcua.history import Past
from headgate_drivers.opcua.looks import Notice, Told, told_of
from headgate_drivers.opcua.station import Station


class Wanted(NamedTuple):
    """One point's past, both instants left out, by the server's clock in unix microseconds."""

    at: int
    node: Any
    after_us: int
    before_us: int


def wanted(station: Station, earliest_us: int) -> list[Wanted]:
    """What of a device's past was never told. Empty in the first session, and where nothing is missing."""
    asked = []
    for place, node in zip(station.layout.places, station.nodes, strict=True):
        before, resumed = station.before.get(place.name), station.resumed[place.at]
        if node is None or before is None or resumed is None or place.element is not None:
            continue
        after_us = max(before, earliest_us)
        if resumed > after_us + 1:
            asked.append(Wanted(place.at, node, after_us, resumed))
    return asked


def blocks(
    station: Station, asked: Sequence[Wanted], past: Iterable[Past], clock: ServerClock, now_us: int
) -> Iterator[Block]:
    """Values of the past, in the order of their source times, one block for each instant.

    A block counts as told when it is taken. An instant lies between the last word before the outage and
    now, whatever the server's clock says.
    """
    floor_us = station.before_us or 0
    for source_us, group in groupby(past, key=lambda value: value.source_us):
        told: dict[str, Told] = {}
        ats = []
        for value in group:
            place = station.layout.places[asked[value.which].at]
            if source_us == station.read_at[place.at]:
                continue  # told by the look with which this session began
            told[place.name] = told_of(Notice(place, value.code, value.value, source_us))
            ats.append(place.at)
        if told:
            at_us = clock.ours(source_us)
            at_us = now_us if at_us is None else min(max(at_us, floor_us), now_us)
            station.memory.at_us = at_us
            for at in ats:
                station.reached(at, source_us)
            yield station.device.partial(at_us, told, device_time_us=source_us)
