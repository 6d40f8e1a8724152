"""What stands behind an identifier: names, sizes, decimals and units (2007: annex A, 1997: annex A).

`items(identifier, size)` gives the items of an answer of so many bytes. Identifiers are written as the
standard prints them, highest byte first: "02010100" (2007), "B611" (1997). Units are UCUM.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Literal, NamedTuple

Kind = Literal[
    "number",
    "second",
    "minute",
    "day",
    "time",
    "month-minute",
    "day-hour",
    "text",
    "digits",
    "bits",
]


class Item(NamedTuple):
    """One item of an answer: its name, bytes, and how they are read."""

    name: str
    size: int
    kind: Kind = "number"
    decimals: int = 0
    unit: str | None = None
    signed: bool = False


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


def _counted(name: str, minutes: str) -> tuple[Item, ...]:
    each = [(f"{name}_{phase}_{what}", unit) for phase in "ABC" for what, unit in
            (("count", "{count}"), (minutes, "min"))]  # fmt: skip
    return tuple(Item(text, 3, unit=unit) for text, unit in each)


def _times(name: str) -> tuple[Item, ...]:
    return (Item(f"{name}_count", 3, unit="{count}"), Item(f"{name}_time", 3, unit="min"))


#: Identifiers of their own (tables A.3 to A.5 of 2007).
_SINGLE: dict[int, tuple[Item, ...]] = {
    0x02800001: (Item("current_neutral", 3, decimals=3, unit="A", signed=True),),
    0x02800002: (Item("grid_frequency", 2, decimals=2, unit="Hz"),),
    0x02800003: (Item("active_power_minute_mean", 3, decimals=4, unit="kW", signed=True),),
    0x02800004: (Item("active_demand_present", 3, decimals=4, unit="kW", signed=True),),
    0x02800005: (Item("reactive_demand_present", 3, decimals=4, unit="kvar", signed=True),),
    0x02800006: (Item("apparent_demand_present", 3, decimals=4, unit="kVA", signed=True),),
    0x02800007: (Item("temperature", 2, decimals=1, unit="Cel", signed=True),),
    0x02800008: (Item("clock_battery_voltage", 2, decimals=2, unit="V"),),
    0x02800009: (Item("reading_battery_voltage", 2, decimals=2, unit="V"),),
    0x0280000A: (Item("battery_minutes", 4, unit="min"),),
    0x0280000B: (Item("step_price", 4, decimals=4, unit="{CNY}/kW.h"),),
    0x00900100: (Item("energy_left", 4, decimals=2, unit="kWh"),),
    0x00900101: (Item("energy_overdrawn", 4, decimals=2, unit="kWh"),),
    0x00900200: (Item("money_left", 4, decimals=2, unit="{CNY}"),),
    0x00900201: (Item("money_overdrawn", 4, decimals=2, unit="{CNY}"),),
    0x03010000: _counted("voltage_loss", "time"),
    0x03020000: _counted("undervoltage", "time"),
    0x03030000: _counted("overvoltage", "time"),
    0x03040000: _counted("phase_loss", "time"),
    0x03050000: _times("all_voltage_loss"),
    0x03060000: _times("auxiliary_power_loss"),
    0x03070000: _times("voltage_reversed"),
    0x03080000: _times("current_reversed"),
    0x03090000: _times("voltage_unbalance"),
    0x030A0000: _times("current_unbalance"),
    0x030B0000: _counted("current_loss", "time"),
    0x030C0000: _counted("overcurrent", "time"),
    0x030D0000: _counted("current_break", "time"),
    0x030E0000: _counted("power_reversed", "time"),
    0x030F0000: _counted("overload", "time"),
    0x03110000: (Item("power_off_count", 3, unit="{count}"),),
    **{
        0x03300000 | code << 8: (Item(f"{name}_count", 3, unit="{count}"),)
        for code, name in enumerate((
            "programming", "meter_clear", "demand_clear", "event_clear", "clock_set",
            "day_table_programming", "season_table_programming", "week_programming",
            "holiday_programming", "active_combination_programming",
            "reactive_combination_1_programming", "reactive_combination_2_programming",
            "settlement_day_programming", "cover_open", "terminal_cover_open",
        ))
    },
    0x04000101: (Item("date", 4, "day"),),
    0x04000102: (Item("time", 3, "time"),),
    0x04000103: (Item("demand_period", 1, unit="min"),),
    0x04000104: (Item("demand_slip", 1, unit="min"),),
    0x04000105: (Item("pulse_width", 2, unit="ms"),),
    0x04000106: (Item("season_switch_at", 5, "minute"),),
    0x04000107: (Item("day_table_switch_at", 5, "minute"),),
    0x0400010C: (Item("clock", 7, "second"),),
    0x04000201: (Item("seasons", 1),),
    0x04000202: (Item("day_tables", 1),),
    0x04000203: (Item("day_periods", 1),),
    0x04000204: (Item("tariffs", 1),),
    0x04000205: (Item("holidays", 2),),
    0x04000206: (Item("harmonics", 1),),
    0x04000207: (Item("steps", 1),),
    0x04000306: (Item("current_ratio", 3),),
    0x04000307: (Item("voltage_ratio", 3),),
    0x04000401: (Item("meter_address", 6, "digits"),),
    0x04000402: (Item("meter_number", 6, "digits"),),
    0x04000403: (Item("asset_code", 32, "text"),),
    0x04000404: (Item("rated_voltage", 6, "text"),),
    0x04000405: (Item("rated_current", 6, "text"),),
    0x04000406: (Item("maximum_current", 6, "text"),),
    0x04000407: (Item("active_class", 4, "text"),),
    0x04000408: (Item("reactive_class", 4, "text"),),
    0x04000409: (Item("active_constant", 3, unit="/kW.h"),),
    0x0400040A: (Item("reactive_constant", 3, unit="/{kvarh}"),),
    0x0400040B: (Item("model", 10, "text"),),
    0x0400040C: (Item("made_on", 10, "text"),),
    0x0400040D: (Item("protocol_version", 16, "text"),),
    0x0400040E: (Item("customer_number", 6, "digits"),),
    **{0x04000500 | n: (Item(f"status_word_{n}", 2, "bits"),) for n in range(1, 8)},
    0x040005FF: tuple(Item(f"status_word_{n}", 2, "bits") for n in range(1, 8)),
    0x04000801: (Item("rest_days", 1, "bits"),),
    0x04000901: (Item("load_record_mode", 1, "bits"),),
    0x04000A01: (Item("load_record_start", 4, "month-minute"),),
    **{0x04000A01 + n: (Item(f"load_record_{n}_interval", 2, unit="min"),) for n in range(1, 7)},
    **{0x04000B00 | n: (Item(f"settlement_day_{n}", 2, "day-hour"),) for n in range(1, 4)},
    0x04000E01: (Item("active_power_import_limit", 3, decimals=4, unit="kW"),),
    0x04000E02: (Item("active_power_export_limit", 3, decimals=4, unit="kW"),),
    0x04000E03: (Item("voltage_upper_limit", 2, decimals=1, unit="V"),),
    0x04000E04: (Item("voltage_lower_limit", 2, decimals=1, unit="V"),),
    0x04000F01: (Item("energy_alarm_1", 4, decimals=2, unit="kWh"),),
    0x04000F02: (Item("energy_alarm_2", 4, decimals=2, unit="kWh"),),
    0x04001001: (Item("money_alarm_1", 4, decimals=2, unit="{CNY}"),),
    0x04001002: (Item("money_alarm_2", 4, decimals=2, unit="{CNY}"),),
    0x04001401: (Item("trip_delay", 2, unit="min"),),
    0x04800001: (Item("software_version", 32, "text"),),
    0x04800002: (Item("hardware_version", 32, "text"),),
    0x04800003: (Item("maker_number", 32, "text"),),
}  # fmt: skip

#: DI2 of freezes (table A.6): timed, at once, by table changes, by the hour, by the day, by step.
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
    found = _of_1997(code) if len(identifier) == 4 else _of_2007(code)
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
    if code in _SINGLE:
        return iter(_SINGLE[code])
    di3, di2, di1, di0 = code.to_bytes(4, "big")
    if di3 in (0, 1):
        return _totals(di3, di2, di1, di0)
    if di3 == 2:
        return _present(di2, di1, di0)
    if di3 == 5:
        return _frozen(di2, di1, di0)
    if di3 == 3 and di2 == 0x11 and di1 == 0 and 1 <= di0 <= 10:
        return iter((Item("power_off_began", 6, "second"), Item("power_off_ended", 6, "second")))
    return None


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


# ---------------------------------------------------------------- 1997

_WHEN_1997 = {0x0: "", 0x4: "_settlement_1", 0x8: "_settlement_2"}
_ENERGY_1997 = {
    0x01: ("active_{}", "kWh", "kW"), 0x02: ("active_{}_export", "kWh", "kW"),
    0x11: ("reactive_{}", "kvarh", "kvar"), 0x12: ("reactive_{}_export", "kvarh", "kvar"),
    0x13: ("reactive_{}_q1", "kvarh", "kvar"), 0x14: ("reactive_{}_q4", "kvarh", "kvar"),
    0x15: ("reactive_{}_q2", "kvarh", "kvar"), 0x16: ("reactive_{}_q3", "kvarh", "kvar"),
}  # fmt: skip
_SINGLE_1997: dict[int, Item] = {
    0xB210: Item("programmed_at", 4, "month-minute"),
    0xB211: Item("demand_cleared_at", 4, "month-minute"),
    0xB212: Item("programming_count", 2, unit="{count}"),
    0xB213: Item("demand_clear_count", 2, unit="{count}"),
    0xB214: Item("battery_minutes", 3, unit="min"),
    0xB310: Item("phase_loss_count", 2, unit="{count}"),
    0xB311: Item("phase_loss_count_A", 2, unit="{count}"),
    0xB312: Item("phase_loss_count_B", 2, unit="{count}"),
    0xB313: Item("phase_loss_count_C", 2, unit="{count}"),
    0xB320: Item("phase_loss_time", 3, unit="min"),
    0xB321: Item("phase_loss_time_A", 3, unit="min"),
    0xB322: Item("phase_loss_time_B", 3, unit="min"),
    0xB323: Item("phase_loss_time_C", 3, unit="min"),
    **{0xB610 | n: Item(f"voltage_{p}", 2, unit="V") for n, p in _PHASE_NAMES.items()},
    **{0xB620 | n: Item(f"current_{p}", 2, "number", 2, "A") for n, p in _PHASE_NAMES.items()},
    **{0xB630 | n: Item(f"active_power_{p}", 3, "number", 4, "kW", signed=True)
       for n, p in _TOTAL_AND_PHASES.items()},
    0xB634: Item("active_power_import_limit", 2, "number", 2, "kW"),
    0xB635: Item("active_power_export_limit", 2, "number", 2, "kW"),
    **{0xB640 | n: Item(f"reactive_power_{p}", 2, "number", 2, "kvar", signed=True)
       for n, p in _TOTAL_AND_PHASES.items()},
    **{0xB650 | n: Item(f"power_factor_{p}", 2, "number", 3, None, signed=True)
       for n, p in _TOTAL_AND_PHASES.items()},
    0xC010: Item("date", 4, "day"),
    0xC011: Item("time", 3, "time"),
    0xC020: Item("status_meter", 1, "bits"),
    0xC021: Item("status_grid", 1, "bits"),
    0xC022: Item("status_week", 1, "bits"),
    0xC030: Item("active_constant", 3, unit="/kW.h"),
    0xC031: Item("reactive_constant", 3, unit="/{kvarh}"),
    0xC032: Item("meter_number", 6, "digits"),
    0xC033: Item("customer_number", 6, "digits"),
    0xC034: Item("equipment_number", 6, "digits"),
    0xC111: Item("demand_period", 1, unit="min"),
    0xC112: Item("demand_slip", 1, unit="min"),
    0xC113: Item("display_seconds", 1, unit="s"),
    0xC117: Item("settlement_day_1", 2, "day-hour"),
    0xC119: Item("active_energy_start", 4, "number", 1, "kWh"),
    0xC11A: Item("reactive_energy_start", 4, "number", 1, "kvarh"),
    0xC211: Item("pulse_width", 2, unit="ms"),
    0xC310: Item("seasons", 1),
    0xC311: Item("day_tables", 1),
    0xC312: Item("day_periods", 1),
    0xC313: Item("tariffs", 1),
    0xC314: Item("holidays", 1),
}  # fmt: skip


def _of_1997(code: int) -> Iterator[Item] | None:
    if code in _SINGLE_1997:
        return iter((_SINGLE_1997[code],))
    high, low = code >> 8, code & 0xFF
    if high >> 4 in (0x9, 0xA, 0xB) and not high & 2:
        return _totals_1997(high, low)
    if high == 0xB6 and low & 0x0F == 0x0F and low >> 4 in range(1, 6):  # a block of phases
        first = 0xB600 | low & 0xF0
        group = [_SINGLE_1997[first + n] for n in range(4) if first + n in _SINGLE_1997]
        return iter(group)
    return None


def _totals_1997(high: int, low: int) -> Iterator[Item] | None:
    """9: energy, A: highest demand, B: when that was; 0 now, 4 last month, 8 the one before."""
    when = _WHEN_1997.get(high & 0x0C)
    row, tariff = low >> 4, low & 0x0F
    named = _ENERGY_1997.get((high & 1) << 4 | row)
    if when is None or named is None:
        return None
    name, energy, demand = named
    tariffs = range(15) if tariff == 0x0F else (tariff,)
    return (
        _total_1997(high >> 4, name, f"_tariff_{each}" if each else "_total", when, energy, demand)
        for each in tariffs
    )


def _total_1997(table: int, name: str, which: str, when: str, energy: str, demand: str) -> Item:
    if table == 0x9:
        return Item(name.format("energy") + which + when, 4, "number", 2, energy)
    full = name.format("demand") + which + when
    if table == 0xA:
        return Item(full, 3, "number", 4, demand)
    return Item(full + "_at", 4, "month-minute")
