"""Units of CJ/T 188 (table 3), and what a value in one of them is in another. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """One unit: its text in UCUM, of what it is, and how much of `BASES` it is."""

    text: str
    quantity: str
    #: Numerator and denominator: 1 MJ is 1/3.6 kWh, and 3600 of them are exactly 1000.
    times: int
    over: int


#: What values of a quantity are converted to.
BASES = {"energy": "kW.h", "power": "kW", "volume": "m3", "flow": "m3/h"}

UNITS: dict[int, Unit] = {
    0x01: Unit("J", "energy", 1, 3_600_000),
    0x02: Unit("Wh", "energy", 1, 1000),
    0x05: Unit("kWh", "energy", 1, 1),
    0x08: Unit("MWh", "energy", 1000, 1),
    0x0A: Unit("100MWh", "energy", 100_000, 1),
    0x0B: Unit("kJ", "energy", 1, 3600),
    0x0E: Unit("MJ", "energy", 10, 36),
    0x11: Unit("GJ", "energy", 10_000, 36),
    0x13: Unit("100GJ", "energy", 1_000_000, 36),
    0x14: Unit("W", "power", 1, 1000),
    0x17: Unit("kW", "power", 1, 1),
    0x1A: Unit("MW", "power", 1000, 1),
    0x29: Unit("L", "volume", 1, 1000),
    0x2C: Unit("m3", "volume", 1, 1),
    0x32: Unit("L/h", "flow", 1, 1000),
    0x35: Unit("m3/h", "flow", 1, 1),
}
_BY_TEXT = {unit.text: unit for unit in UNITS.values()}


def in_base(count: int, decimals: int, text: str) -> float:
    """What so many counts of `10 ** -decimals` of a unit are in its quantity's base.

    Divided once, so that 29 counts of 0.01 m3 are 0.29 m3 and nothing else.
    """
    unit = _BY_TEXT[text]
    return count * unit.times / (unit.over * int(10**decimals))
