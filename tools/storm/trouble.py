"""What goes wrong, when and where: decided by the seed alone, before anything runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from headgate.cli.demo.simulator import Simulator

#: Faults begin this often, in seconds on average.
EVERY_S = 1.5
SHORTEST_S, LONGEST_S = 2.0, 20.0
#: Nothing goes wrong so long before the end, so that what was wrong is over; less in a short storm.
QUIET_S = 5.0
QUIET_SHARE = 0.2

_ANY = (("silent", None), ("slow", (0.1, 0.4)), ("late", (1.0, 4.0)), ("reboot", (1.0, 4.0)))
_MODBUS = (*_ANY, ("exception", (1, 6)), ("short", None), ("wrong-unit", None))
_SERIAL = (("noise", None), ("wrong-checksum", None))
_SENSORS = {
    "generic/radar-level": (("no-echo", None), ("sensor-fault", None)),
    "generic/rain-gauge": (("blocked", None), ("low-battery", None)),
    "generic/ultrasonic-level": (("no-echo", None), ("sensor-fault", None)),
}
#: Models whose first firmware can be given the next one.
_UPGRADES = (("generic/radar-level", "1.4"), ("generic/ultrasonic-level", "1.3"),
             ("generic/temperature-humidity", ""))  # fmt: skip
_Fault = tuple[str, tuple[float, float] | None]


class Trouble(NamedTuple):
    """A command to a simulator (by its name), or `kill` and `restore` of a part of the road."""

    at_s: float
    whom: str
    command: Mapping[str, Any]


def troubles(
    field: Sequence[Simulator], seconds: float, seed: int, every_s: float = EVERY_S
) -> list[Trouble]:
    """Everything that happens in a storm of so many seconds, in order.

    Args:
        field: simulators that are ready, so that their devices are known.
    """
    dice = random.Random(seed)
    places = [(each, device) for each in field for device in each.devices]
    busy: dict[tuple[str, str], float] = {}
    found: list[Trouble] = []
    at_s = 1.0
    quiet_s = min(QUIET_S, QUIET_SHARE * seconds)
    while at_s < seconds - quiet_s:
        simulator, device = dice.choice(places)
        kind, between = dice.choice(list(_kinds(simulator.name, device)))
        ends_s = min(at_s + dice.uniform(SHORTEST_S, LONGEST_S), seconds - quiet_s / 2)
        where = "*" if kind in _OF_ALL else str(device["id"])
        # One thing at a time behind an adapter: it cannot be switched off when its daemon is gone.
        key = (simulator.name, "*") if kind in _OF_ALL else (where, kind)
        if busy.get(key, 0.0) < at_s:
            busy[key] = ends_s
            said = {"fault": kind, "device": where}
            value = None if between is None else round(dice.uniform(*between), 2)
            if kind == "exception" and value is not None:
                value = round(value)
            more = {} if value is None else {"value": value}
            found += [
                Trouble(at_s, simulator.name, {**said, **more, "on": True}),
                Trouble(ends_s, simulator.name, {**said, "on": False}),
            ]
        at_s += dice.expovariate(1 / every_s)
    found += _lids(field, seconds, dice)
    return sorted(found, key=lambda trouble: trouble.at_s)


#: Faults of the adapter or the server, which are everybody's behind it.
_OF_ALL = ("power-off", "bluetoothd-gone", "session-limit")


def _kinds(name: str, device: Mapping[str, Any]) -> Iterator[_Fault]:
    """What this device can have."""
    model = str(device["model"])
    if name == "tags":
        yield from (("silent", None),) * 8
        yield from (("open", None),) if "cover" in model else ()
        yield from (("power-off", None), ("bluetoothd-gone", None))
    elif name == "pumps":
        # Not `node-gone-silently`: until the next look nobody can know of it.
        yield from (("sensor-fault", None), ("pump-trip", None), ("node-gone", None))
    elif name == "covers":
        yield from (*_ANY, *_SERIAL, ("short", None))
        yield from (("plug-pulled", None),) if device["id"] in _ON_PLUGS else ()
    else:
        yield from _MODBUS
        yield from _SENSORS.get(model, ())
        if (model, device["firmware"]) in _UPGRADES:
            yield "firmware-upgrade", (1.0, 3.0)
        if name == "bus" and "+udp:" not in str(device["url"]):
            yield from _SERIAL
        if device["unit"] == 1:
            yield "plug-pulled", None


#: One device of each line of the street.
_ON_PLUGS = ("cover-001", "probe-001", "gas-001", "stick-001")


def _lids(field: Sequence[Simulator], seconds: float, dice: random.Random) -> Iterator[Trouble]:
    """Covers are opened in a storm; each opening and each closing is an alarm."""
    for simulator in field:
        covers = [device["id"] for device in simulator.devices if "cover-" in device["id"]]
        if simulator.name != "covers" or not covers:
            continue
        at_s = 3.0
        while at_s < seconds - min(QUIET_S, QUIET_SHARE * seconds):
            cover = dice.choice(covers)
            yield Trouble(at_s, simulator.name, {"lid": cover, "open": True})
            yield Trouble(at_s + 2.0, simulator.name, {"lid": cover, "open": False})
            at_s += dice.uniform(5.0, 20.0)


def outages(seconds: float, seed: int) -> list[tuple[float, float]]:
    """(begin, end) of the times without a broker: about a tenth of the storm."""
    dice = random.Random(f"{seed}:broker")
    found = []
    at_s = 0.2 * seconds
    while at_s < 0.8 * seconds:
        lasts_s = min(dice.uniform(5.0, 20.0), 0.1 * seconds)
        found.append((at_s, at_s + lasts_s))
        at_s += lasts_s + dice.uniform(30.0, 90.0)
    return found
