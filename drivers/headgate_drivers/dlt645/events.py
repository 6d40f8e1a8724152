"""What a meter has recorded of events: counts and minutes, and the last ten records (2007, annex A, 03)."""

from __future__ import annotations

from headgate_drivers.dlt645.items import Item

_PER_PHASE = {
    0x01: "voltage_loss", 0x02: "undervoltage", 0x03: "overvoltage", 0x04: "phase_loss",
    0x0B: "current_loss", 0x0C: "overcurrent", 0x0D: "current_break", 0x0E: "power_reversed",
    0x0F: "overload",
}  # fmt: skip
_OF_THE_WHOLE = {
    0x05: "all_voltage_loss", 0x06: "auxiliary_power_loss", 0x07: "voltage_reversed",
    0x08: "current_reversed", 0x09: "voltage_unbalance", 0x0A: "current_unbalance",
}  # fmt: skip
#: Changes to the meter: DI1 of 0330.
_CHANGES = (
    "programming", "meter_clear", "demand_clear", "event_clear", "clock_set",
    "day_table_programming", "season_table_programming", "week_programming", "holiday_programming",
    "active_combination_programming", "reactive_combination_1_programming",
    "reactive_combination_2_programming", "settlement_day_programming", "cover_open",
    "terminal_cover_open",
)  # fmt: skip
_ENERGIES = ("active_import", "active_export", "reactive_q1", "reactive_q2", "reactive_q3",
             "reactive_q4")  # fmt: skip


def _counted(name: str) -> tuple[Item, ...]:
    each = ((f"{name}_{phase}_{what}", unit) for phase in "ABC"
            for what, unit in (("count", "{count}"), ("time", "min")))  # fmt: skip
    return tuple(Item(text, 3, unit=unit) for text, unit in each)


def _times(name: str) -> tuple[Item, ...]:
    return (Item(f"{name}_count", 3, unit="{count}"), Item(f"{name}_time", 3, unit="min"))


_COUNTS: dict[int, tuple[Item, ...]] = {
    **{0x03000000 | di2 << 16: _counted(name) for di2, name in _PER_PHASE.items()},
    **{0x03000000 | di2 << 16: _times(name) for di2, name in _OF_THE_WHOLE.items()},
    0x03110000: (Item("power_off_count", 3, unit="{count}"),),
    0x03120000: tuple(Item(f"demand_exceeded_{each}_count", 3, unit="{count}") for each in _ENERGIES),
    **{0x03300000 | code << 8: (Item(f"{name}_count", 3, unit="{count}"),)
       for code, name in enumerate(_CHANGES)},
}  # fmt: skip

_AT, _BY = Item("at", 6, "second"), Item("operator", 4, "digits")


def _energies(when: str, whose: tuple[str, ...] = ("",)) -> tuple[Item, ...]:
    return tuple(
        Item(f"{each}_energy_{when}{phase}", 4, "number", 2,
             "kWh" if each.startswith("active") else "kvarh")
        for phase in whose for each in _ENERGIES
    )  # fmt: skip


#: Records of changes, by DI1.
_RECORDS: dict[int, tuple[Item, ...]] = {
    0x00: (_AT, _BY, *(Item(f"identifier_{n}", 4, "hex") for n in range(1, 11))),
    0x01: (_AT, _BY, *_energies("before", ("", "_A", "_B", "_C"))),
    0x03: (_AT, _BY, Item("identifier", 4, "hex")),
    0x04: (_BY, Item("before", 6, "second"), Item("after", 6, "second")),
    0x0D: (Item("began", 6, "second"), Item("ended", 6, "second"), *_energies("before"),
           *_energies("after")),
}  # fmt: skip
_RECORDS[0x0E] = _RECORDS[0x0D]


def event_items(code: int) -> tuple[Item, ...] | None:
    """The items behind an identifier of an event; None where it is not known."""
    if code in _COUNTS:
        return _COUNTS[code]
    di2, di1, di0 = code >> 16 & 0xFF, code >> 8 & 0xFF, code & 0xFF
    if not 1 <= di0 <= 10:
        return None
    if di2 == 0x11 and di1 == 0:
        return (Item("power_off_began", 6, "second"), Item("power_off_ended", 6, "second"))
    if di2 != 0x30 or di1 not in _RECORDS:
        return None
    name = _CHANGES[di1]
    return tuple(item._replace(name=f"{name}_{item.name}") for item in _RECORDS[di1])
