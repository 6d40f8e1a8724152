"""What a profile may say of a cover's point, and which conditions are alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headgate.sdk import Device, Problem, ProfileError, Value
from headgate_drivers.manhole.codec import Tag, Word

#: Flag bits of a cover.
COVER_OPEN, WATER_HIGH, BATTERY_LOW, SHAKEN = 0x01, 0x02, 0x04, 0x08

#: What `item` may name: flags by their bit, numbers by their tag; `rssi` is the concentrator's own.
FLAGS = {
    "cover_open": COVER_OPEN, "water_high": WATER_HIGH, "battery_low": BATTERY_LOW, "shaken": SHAKEN,
}  # fmt: skip
NUMBERS = {
    "tilt": Tag.TILT, "level": Tag.LEVEL, "battery": Tag.BATTERY, "temperature": Tag.TEMPERATURE,
    "sample": Tag.SAMPLE,
}  # fmt: skip
ITEMS = (*FLAGS, *NUMBERS, "rssi")

POINT_KEYS: Mapping[str, str] = {"item": " | ".join(ITEMS)}

#: The column that carries each item.
COLUMNS = {
    **dict.fromkeys(FLAGS, "bool"),
    "tilt": "u16", "level": "u16", "battery": "u16", "temperature": "i16", "sample": "u32", "rssi": "i16",
}  # fmt: skip


class Condition(NamedTuple):
    """A flag that is told as an alarm: OPC UA severities, 1 to 1000."""

    bit: int
    point: str
    code: str
    severity: int


CONDITIONS = (
    Condition(COVER_OPEN, "cover_open", "cover-open", 900),
    Condition(WATER_HIGH, "water_high", "water-high", 700),
    Condition(BATTERY_LOW, "battery_low", "battery-low", 300),
)


def value_of(word: Word, item: str) -> Value:
    """The raw value of an item in what a cover said; None when it did not say."""
    if item == "rssi":
        return word.rssi
    if item in FLAGS:
        flags = word.items.get(Tag.FLAGS)
        return None if flags is None else bool(flags & FLAGS[item])
    raw = word.items.get(NUMBERS[item])
    if raw is not None and item == "temperature" and raw >= 0x8000:
        return raw - 0x10000
    return raw


def address_of(device: Device) -> int:
    """The cover's address: eight hex digits as on its label, or a number.

    Raises:
        ProfileError: something else.
    """
    try:
        given = device.address
        address = given if isinstance(given, int) else int(given.removeprefix("0x"), 16)
        if 0 <= address <= 0xFFFF_FFFF:
            return address
    except ValueError:
        pass
    raise ProfileError(
        [
            Problem(
                f'device "{device.id}": address',
                "HG-3400",
                {"key": "address", "value": str(device.address), "allowed": "00000001 .. FFFFFFFF"},
            )
        ]
    )


def items_of(device: Device) -> dict[str, str]:
    """The item of each point, by point name.

    Raises:
        ProfileError: every point whose item or type cannot be.
    """
    problems = []
    items = {}
    for point in device.points:
        item = str(point.source.get("item", "-"))
        name, column = point.point.name, point.point.type
        allowed = " | ".join(ITEMS) if item not in ITEMS else COLUMNS[item]
        if item not in ITEMS or COLUMNS[item] != column:
            key = "item" if item not in ITEMS else "type"
            fields: dict[str, str | int | float] = {
                "key": key, "value": item if key == "item" else column, "allowed": allowed,
            }  # fmt: skip
            problems.append(Problem(f'device "{device.id}": point "{name}"', "HG-3400", fields))
        items[name] = item
    if problems:
        raise ProfileError(problems)
    return items
