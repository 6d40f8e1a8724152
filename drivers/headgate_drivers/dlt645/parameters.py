"""Identifiers that stand alone: measured values 0280, prepaid 0090, parameters 04 (2007, annex A).

Those of prepaid meters (balances, steps, limits) are of its supplement. Seasons, periods of the day
and holidays are told as digits: month, day, table; hour, minute, tariff.
"""

from __future__ import annotations

from headgate_drivers.dlt645.items import Item


def _schedule(name: str) -> tuple[Item, ...]:
    return tuple(Item(f"{name}_{n}", 3, "digits") for n in range(1, 15))


def _prices(first: int, name: str, decimals: int, unit: str) -> dict[int, tuple[Item, ...]]:
    """63 of them, and the block; a meter has as many as it has tariffs or steps."""
    each = [Item(f"{name}_{n}", 4, "number", decimals, unit) for n in range(1, 64)]
    return {first | 0xFF: tuple(each), **{first + n: (each[n - 1],) for n in range(1, 64)}}


MEASURED: dict[int, tuple[Item, ...]] = {
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
}

_CLOCKS: dict[int, tuple[Item, ...]] = {
    0x04000101: (Item("date", 4, "day"),),
    0x04000102: (Item("time", 3, "time"),),
    0x04000103: (Item("demand_period", 1, unit="min"),),
    0x04000104: (Item("demand_slip", 1, unit="min"),),
    0x04000105: (Item("pulse_width", 2, unit="ms"),),
    0x04000106: (Item("season_switch_at", 5, "minute"),),
    0x04000107: (Item("day_table_switch_at", 5, "minute"),),
    0x04000108: (Item("price_switch_at", 5, "minute"),),
    0x04000109: (Item("step_switch_at", 5, "minute"),),
    0x0400010C: (Item("clock", 7, "second"),),
    0x04000A01: (Item("load_record_start", 4, "month-minute"),),
    **{0x04000A01 + n: (Item(f"load_record_{n}_interval", 2, unit="min"),) for n in range(1, 7)},
    **{0x04000B00 | n: (Item(f"settlement_day_{n}", 2, "day-hour"),) for n in range(1, 4)},
    0x04001201: (Item("hour_freeze_start", 5, "minute"),),
    0x04001202: (Item("hour_freeze_interval", 1, unit="min"),),
    0x04001203: (Item("day_freeze_at", 2, "digits"),),
}

_TARIFFS: dict[int, tuple[Item, ...]] = {
    0x04000201: (Item("seasons", 1),),
    0x04000202: (Item("day_tables", 1),),
    0x04000203: (Item("day_periods", 1),),
    0x04000204: (Item("tariffs", 1),),
    0x04000205: (Item("holidays", 2),),
    0x04000206: (Item("harmonics", 1),),
    0x04000207: (Item("steps", 1),),
    0x04000801: (Item("rest_days", 1, "bits"),),
    0x04000802: (Item("rest_day_table", 1),),
    **{0x04010000 + (kit << 16): _schedule(f"season_set_{kit + 1}") for kit in range(2)},
    **{0x04010000 + (kit << 16) + n: _schedule(f"day_table_{n}_set_{kit + 1}")
       for kit in range(2) for n in range(1, 9)},
    **{0x04030000 | n: (Item(f"holiday_{n}", 4, "digits"),) for n in range(1, 255)},
    **_prices(0x04050100, "price_set_1", 4, "{CNY}/kW.h"),
    **_prices(0x04050200, "price_set_2", 4, "{CNY}/kW.h"),
    **_prices(0x04060000, "step_set_1", 2, "kWh"),
    **_prices(0x04060100, "step_price_set_1", 4, "{CNY}/kW.h"),
    **_prices(0x04060200, "step_set_2", 2, "kWh"),
    **_prices(0x04060300, "step_price_set_2", 4, "{CNY}/kW.h"),
}  # fmt: skip

_NAMEPLATE: dict[int, tuple[Item, ...]] = {
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
    0x04800001: (Item("software_version", 32, "text"),),
    0x04800002: (Item("hardware_version", 32, "text"),),
    0x04800003: (Item("maker_number", 32, "text"),),
}

_WORDS: dict[int, tuple[Item, ...]] = {
    0x04000301: (Item("display_screens", 1),),
    0x04000302: (Item("display_seconds", 1, unit="s"),),
    0x04000303: (Item("energy_decimals", 1),),
    0x04000304: (Item("power_decimals", 1),),
    0x04000305: (Item("button_screens", 1),),
    **{0x04000500 | n: (Item(f"status_word_{n}", 2, "bits"),) for n in range(1, 8)},
    0x040005FF: tuple(Item(f"status_word_{n}", 2, "bits") for n in range(1, 8)),
    0x04000601: (Item("active_combination", 1, "bits"),),
    0x04000602: (Item("reactive_combination_1", 1, "bits"),),
    0x04000603: (Item("reactive_combination_2", 1, "bits"),),
    **{0x04000700 | n: (Item(f"baud_{name}", 1, "bits"),) for n, name in enumerate(
        ("optical_modulated", "optical_contact", "port_1", "port_2", "port_3"), 1)},
    0x04000901: (Item("load_record_mode", 1, "bits"),),
    **{0x04000901 + n: (Item(f"freeze_{name}_mode", 1, "bits"),) for n, name in enumerate(
        ("timed", "instant", "agreed", "hour", "day"), 1)},
    0x04001101: (Item("running_word_1", 1, "bits"),),
    0x04001301: (Item("radio_state", 1, "bits"),),
}  # fmt: skip

_LIMITS: dict[int, tuple[Item, ...]] = {
    0x04000E01: (Item("active_power_import_limit", 3, decimals=4, unit="kW"),),
    0x04000E02: (Item("active_power_export_limit", 3, decimals=4, unit="kW"),),
    0x04000E03: (Item("voltage_upper_limit", 2, decimals=1, unit="V"),),
    0x04000E04: (Item("voltage_lower_limit", 2, decimals=1, unit="V"),),
    **{0x04000F00 | n: (Item(f"energy_{name}", 4, decimals=2, unit="kWh"),) for n, name in enumerate(
        ("alarm_1", "alarm_2", "hoarding_limit", "overdraft_limit"), 1)},
    **{0x04001000 | n: (Item(f"money_{name}", 4, decimals=2, unit="{CNY}"),) for n, name in enumerate(
        ("alarm_1", "alarm_2", "overdraft_limit", "hoarding_limit", "close_limit"), 1)},
    0x04001401: (Item("trip_delay", 2, unit="min"),),
}  # fmt: skip

PARAMETERS = {**_CLOCKS, **_TARIFFS, **_NAMEPLATE, **_WORDS, **_LIMITS}
