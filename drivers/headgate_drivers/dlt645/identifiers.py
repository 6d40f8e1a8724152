"""What stands behind an identifier: names, sizes, decimals and units (2007: annex A, 1997: annex A).

`items(identifier, size)` gives the items of an answer of so many bytes. Identifiers are written as the
standard prints them, highest byte first: "02010100" (2007), "B611" (1997). Units are UCUM.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

from headgate_drivers.dlt645.edition_1997 import items_1997
from headgate_drivers.dlt645.events import event_items
from headgate_drivers.dlt645.items import Item
from headgate_drivers.dlt645.parameters import MEASURED, PARAMETERS

#: DI2 of energy and of demand: name, unit of the energy, unit of the demand, whether it has a sign.
_TOTALS: dict[int, tuple[str, str, str, bool]] = {
    0x00: ("active_{}_combined", "kWh", "kW", True),
    0x01: ("active_{}_import", "kWh", "kW", False),
    0x02: ("active_{}_export", "kWh", "kW", False),
    0x03: ("reactive_{}_1", "kvarh", "kvar", True),
    0x04: ("reactive_{}_2", "kvarh", "kvar", True),
    0x05: ("reactive_{}_q1", "kvarh", "kvar", False),
    0x06: ("reactive_{}_q2", "kvarh", "kvar", False),
    0x07: ("reactive_{}_q3", "kvarh", "kvar", False),
    0x08: ("reactive_{}_q4", "kvarh", "kvar", False),
    0x09: ("apparent_{}_import", "kVAh", "kVA", False),
    0x0A: ("apparent_{}_export", "kVAh", "kVA", False),
}
#: The same of one phase: A begins at 15, B at 29, C at 3D, and 01 of the table stands first.
_PHASES = {0x15: "A", 0x29: "B", 0x3D: "C"}
_SPECIAL = {
    0x80: "active_energy_associated", 0x81: "active_energy_import_fundamental",
    0x82: "active_energy_export_fundamental", 0x83: "active_energy_import_harmonic",
    0x84: "active_energy_export_harmonic", 0x85: "copper_loss_energy", 0x86: "iron_loss_energy",
}  # fmt: skip
#: How far those of one phase are behind those of the whole: 94 is 80 of phase A, A8 of B, BC of C.
_SPECIAL_PHASES = {0x14: "A", 0x28: "B", 0x3C: "C"}

_PHASE_NAMES = {1: "A", 2: "B", 3: "C"}
_TOTAL_AND_PHASES = {0: "total", **_PHASE_NAMES}

#: DI2 of what is measured now: name, size, decimals, unit, sign, and what DI1 may be.
_PRESENT: dict[int, tuple[str, int, int, str | None, bool, dict[int, str]]] = {
    0x01: ("voltage", 2, 1, "V", False, _PHASE_NAMES),
    0x02: ("current", 3, 3, "A", True, _PHASE_NAMES),
    0x03: ("active_power", 3, 4, "kW", True, _TOTAL_AND_PHASES),
    0x04: ("reactive_power", 3, 4, "kvar", True, _TOTAL_AND_PHASES),
    0x05: ("apparent_power", 3, 4, "kVA", True, _TOTAL_AND_PHASES),
    0x06: ("power_factor", 2, 3, None, True, _TOTAL_AND_PHASES),
    0x07: ("phase_angle", 2, 1, "deg", False, _PHASE_NAMES),
    0x08: ("voltage_distortion", 2, 2, "%", False, _PHASE_NAMES),
    0x09: ("current_distortion", 2, 2, "%", False, _PHASE_NAMES),
}
_HARMONICS = {0x0A: "voltage_harmonic", 0x0B: "current_harmonic"}


#: DI2 of freezes (annex A, 05): timed, at once, by table changes, by the hour, by the day, by step.
_FREEZES = {0: "timed", 1: "instant", 2: "season", 3: "day_table", 4: "hour", 5: "price", 6: "day",
            7: "step"}  # fmt: skip
_DAY, _HOUR = 6, 4


def items(identifier: str, size: int) -> list[Item] | None:
    """What `size` bytes behind this identifier are; None when it is not known.

    An answer may end after any item: meters have fewer tariffs than the standard has room for.
    """
    try:
        code = int(identifier, 16)
    except ValueError:
        return None
    found = items_1997(code) if len(identifier) == 4 else _of_2007(code)
    if found is None:
        return None
    kept, left = [], size
    for item in islice(found, 256):
        if left <= 0:
            break
        kept.append(item)
        left -= item.size
    return kept


def _of_2007(code: int) -> Iterator[Item] | None:
    alone = MEASURED.get(code) or PARAMETERS.get(code)
    if alone is not None:
        return iter(alone)
    di3, di2, di1, di0 = code.to_bytes(4, "big")
    if di3 in (0, 1):
        return _totals(di3, di2, di1, di0)
    if di3 == 2:
        return _present(di2, di1, di0)
    if di3 == 5:
        return _frozen(di2, di1, di0)
    recorded = event_items(code) if di3 == 3 else None
    return None if recorded is None else iter(recorded)


def _name_of(di3: int, di2: int) -> tuple[str, str, bool] | None:
    """Name, unit and sign of an energy (0) or a demand (1)."""
    what = "demand" if di3 else "energy"
    phase = ""
    for first, letter in _PHASES.items():
        if first <= di2 <= first + 9:
            di2, phase = di2 - first + 1, "_" + letter
    if di2 in _TOTALS:
        name, energy, demand, signed = _TOTALS[di2]
        return name.format(what) + phase, demand if di3 else energy, signed
    for back, letter in ({} if di3 else {0: "", **_SPECIAL_PHASES}).items():
        if di2 - back in _SPECIAL:
            return _SPECIAL[di2 - back] + ("_" + letter if letter else ""), "kWh", True
    return None


def _totals(di3: int, di2: int, di1: int, di0: int) -> Iterator[Item] | None:
    named = _name_of(di3, di2)
    if named is None or (di1 > 63 and di1 != 0xFF) or (di0 > 12 and di0 != 0xFF):
        return None
    if di1 == di0 == 0xFF:
        return None
    name, unit, signed = named
    tariffs = count() if di1 == 0xFF else iter((di1,))
    settlements = range(13) if di0 == 0xFF else (di0,)
    places = ((t, s) for t in tariffs for s in settlements)
    return _listed(di3, name, unit, signed, places)


def _listed(
    di3: int, name: str, unit: str, signed: bool, places: Iterator[tuple[int, int]]
) -> Iterator[Item]:
    for tariff, settlement in places:
        full = name + (f"_tariff_{tariff}" if tariff else "_total")
        full += f"_settlement_{settlement}" if settlement else ""
        if di3:
            yield Item(full, 3, decimals=4, unit=unit, signed=signed)
            yield Item(full + "_at", 5, "minute")
        else:
            yield Item(full, 4, decimals=2, unit=unit, signed=signed)


def _present(di2: int, di1: int, di0: int) -> Iterator[Item] | None:
    if di2 in _HARMONICS and di1 in _PHASE_NAMES:
        orders = range(1, 64) if di0 == 0xFF else (di0,)
        name = f"{_HARMONICS[di2]}_{_PHASE_NAMES[di1]}_"
        return (Item(f"{name}{order}", 2, decimals=2, unit="%") for order in orders)
    if di2 not in _PRESENT or di0:
        return None
    name, size, decimals, unit, signed, which = _PRESENT[di2]
    if di1 != 0xFF and di1 not in which:
        return None
    phases = which.values() if di1 == 0xFF else (which[di1],)
    return (Item(f"{name}_{phase}", size, "number", decimals, unit, signed) for phase in phases)


def _frozen(di2: int, di1: int, di0: int) -> Iterator[Item] | None:
    if di2 not in _FREEZES or not 1 <= di0 <= 254:
        return None
    before = f"frozen_{_FREEZES[di2]}_{di0}_"
    found: Iterator[Item] | None = None
    if di1 == 0:
        found = iter((Item("at", 5, "minute"),))
    elif di2 == _HOUR:
        named = _name_of(0, di1) if di1 in (1, 2) else None
        if named is not None:
            found = iter((Item(named[0] + "_total", 4, "number", 2, named[1], named[2]),))
    elif 1 <= di1 <= 8:
        found = _totals(0, di1, 0xFF, 0)
    elif di1 in (9, 0x0A):
        found = _totals(1, di1 - 8, 0xFF, 0)
    elif di1 == 0x10:
        found = (item for kind in (3, 4) for item in _present(kind, 0xFF, 0) or ())
    return None if found is None else (item._replace(name=before + item.name) for item in found)
