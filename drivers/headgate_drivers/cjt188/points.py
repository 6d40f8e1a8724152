"""What a profile may name of a meter, and its value out of an answer. Pure.

Values come in one unit each, whatever the meter's display says: m3, kW.h, kW, m3/h, degrees Celsius.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

from headgate.sdk import Device, LineSettings, Problem, ProfileError, Value
from headgate_drivers.cjt188.messages import Message, Order
from headgate_drivers.cjt188.units import BY_TEXT, in_base

#: What `item` may name: the field of an answer, and the column that carries it.
ITEMS: Mapping[str, tuple[str, str]] = {
    "total": ("current_total", "f64"),
    "settlement": ("settlement_day_total", "f64"),
    "heat": ("current_heat", "f64"),
    "heat_settlement": ("settlement_day_heat", "f64"),
    "heat_power": ("heat_power", "f64"),
    "flow": ("flow_rate", "f64"),
    "volume": ("total_volume", "f64"),
    "supply_temperature": ("supply_temperature", "f64"),
    "return_temperature": ("return_temperature", "f64"),
    "hours": ("working_hours", "f64"),
    "clock": ("meter_time", "text"),
    "status": ("status", "u16"),
    "valve_closed": ("valve", "bool"),
    "valve_fault": ("valve", "bool"),
    "battery_low": ("battery_low", "bool"),
}
#: Of what a value must be: a heat in cubic metres is no heat.
_QUANTITIES = {
    "total": "volume", "settlement": "volume", "volume": "volume", "heat": "energy",
    "heat_settlement": "energy", "heat_power": "power", "flow": "flow",
}  # fmt: skip
#: Points that may be written.
WRITABLE = ("valve_closed",)
ORDERS: tuple[Order, Order] = ("1F90", "901F")


class Asked:
    """What the driver keeps of one meter, with what it has learned of it.

    Attributes:
        order: how the meter wants its identifiers: as `quirks` say, else as it last answered.
        settings: line settings of its own on the pair (quirk `line`); "" is the channel's.
    """

    def __init__(self, device: Device) -> None:
        problems: list[Problem] = []

        def wrong(place: str, key: str, value: object, allowed: str) -> None:
            fields: dict[str, str | int | float] = {
                "key": key, "value": str(value), "allowed": allowed,
            }  # fmt: skip
            problems.append(Problem(f'device "{device.id}": {place}', "HG-3400", fields))

        self.address = str(device.address).zfill(14).upper()
        if len(self.address) != 14 or set(self.address) - set("0123456789ABCDEF"):
            wrong("address", "address", device.address, "fourteen digits, as on the meter")
        kind = device.quirks.get("meter_type", 0x10)
        if not isinstance(kind, int) or not 0 <= kind <= 0xFF:
            wrong(
                "quirks", "meter_type", kind, "0x10 cold water, 0x11 hot, 0x20 heat, 0x30 gas ..."
            )
            kind = 0x10
        self.type = int(kind)
        order = device.quirks.get("identifier", "")
        if order not in ("", *ORDERS):
            wrong("quirks", "identifier", order, "1F90 | 901F, as it stands on the wire")
        self.order: Order = "901F" if order == "901F" else "1F90"
        self.proved = bool(order)
        wake = device.quirks.get("wake", 4)
        if not isinstance(wake, int) or not 0 <= wake <= 32:
            wrong("quirks", "wake", wake, "0 to 32 bytes of FE before a request")
            wake = 4
        self.wake = int(wake)
        zone = device.params.get("utc_offset_h", device.quirks.get("utc_offset_h", 8))
        if isinstance(zone, bool) or not isinstance(zone, int | float) or not -14 <= zone <= 14:
            wrong("quirks", "utc_offset_h", zone, "hours east of Greenwich, -14 to 14")
            zone = 8
        self.zone = timezone(timedelta(hours=float(zone)))
        self.items = _items(device, wrong)
        self.line = str(device.quirks.get("line", ""))
        try:
            LineSettings().with_text(self.line or "9600")
        except ValueError:
            wrong("quirks", "line", self.line, '"2400 8E1"')
        if problems:
            raise ProfileError(problems)

    def other_order(self) -> None:
        """Try the other order of identifiers next, unless it is known which one the meter wants."""
        if not self.proved:
            self.order = ORDERS[1 - ORDERS.index(self.order)]


def _items(device: Device, wrong: Callable[[str, str, object, str], None]) -> dict[str, str]:
    items = {}
    for place in device.points:
        item, column = str(place.source.get("item", "-")), place.point.type
        where = f'point "{place.point.name}"'
        if item not in ITEMS:
            wrong(where, "item", item, " | ".join(ITEMS))
        elif ITEMS[item][1] != column:
            wrong(where, "type", column, ITEMS[item][1])
        items[place.point.name] = item
    return items


def value_of(message: Message, item: str) -> Value:
    """The value that an answer has for an item; None where it has none."""
    field = next((f for f in message.fields if f.name == ITEMS[item][0]), None)
    if field is None:
        return None
    match item:
        case "status":
            return message.status
        case "valve_closed":
            return None if field.value == "fault" else field.value == "closed"
        case "valve_fault":
            return field.value == "fault"
        case "clock" | "battery_low":
            return field.value
    if field.count is None:
        return None
    if field.unit in (None, "h", "degC"):
        return field.count / int(10**field.decimals)
    if BY_TEXT[field.unit].quantity != _QUANTITIES[item]:
        return None
    return in_base(field.count, field.decimals, field.unit)


def clock_us(message: Message, asked: Asked) -> int | None:
    """The meter's own time in unix microseconds; None where it tells none, or an impossible one."""
    told = next((f.value for f in message.fields if f.name == "meter_time"), None)
    try:
        at = datetime.fromisoformat(str(told)).replace(tzinfo=asked.zone)
    except ValueError:
        return None
    return int(at.timestamp()) * 1_000_000
