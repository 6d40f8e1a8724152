"""What stands behind an identifier of two bytes (1997, annex A)."""

from __future__ import annotations

from collections.abc import Iterator

from headgate_drivers.dlt645.items import Item

_PHASES = {1: "A", 2: "B", 3: "C"}
_TOTAL_AND_PHASES = {0: "total", **_PHASES}

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
    **{0xB610 | n: Item(f"voltage_{p}", 2, unit="V") for n, p in _PHASES.items()},
    **{0xB620 | n: Item(f"current_{p}", 2, "number", 2, "A") for n, p in _PHASES.items()},
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


def items_1997(code: int) -> Iterator[Item] | None:
    """The items behind an identifier of 1997; None where it is not known."""
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
