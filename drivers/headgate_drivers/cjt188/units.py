"""Units of CJ/T 188 (its table of units), and what a value in one of them is in another. Pure.

The edition of 2004 names sixteen. The codes between them are tens and hundreds of the unit before,
and 40 to 4B joules in an hour, as newer meters have them.
"""

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

#: The table of 2004: sixteen units.
_STANDARD: dict[int, Unit] = {
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
#: Joules in an hour, as heat meters tell their power.
_HOURLY: dict[int, Unit] = {
    0x40: Unit("J/h", "power", 1, 3_600_000),
    0x43: Unit("kJ/h", "power", 1, 3600),
    0x46: Unit("MJ/h", "power", 10, 36),
    0x49: Unit("GJ/h", "power", 10_000, 36),
}


def _with_tens(units: dict[int, Unit]) -> dict[int, Unit]:
    """Each unit's ten and hundred times, on the codes behind it where those are free."""
    every = dict(units)
    for code, unit in units.items():
        for step, times in ((1, 10), (2, 100)):
            if unit.text not in ("J", "J/h", "100MWh", "100GJ"):
                more = Unit(f"{times}{unit.text}", unit.quantity, unit.times * times, unit.over)
                every.setdefault(code + step, more)
    return every


#: Every code that is read.
UNITS = _with_tens(_STANDARD) | _with_tens(_HOURLY)
BY_TEXT = {unit.text: unit for unit in UNITS.values()}


def in_base(count: int, decimals: int, text: str) -> float:
    """What so many counts of `10 ** -decimals` of a unit are in its quantity's base.

    Divided once, so that 29 counts of 0.01 m3 are 0.29 m3 and nothing else.
    """
    unit = BY_TEXT[text]
    return count * unit.times / (unit.over * int(10**decimals))
