"""What a server sent as a raw value of a column; None when the two do not go together. Pure."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from enum import Enum

from headgate.sdk import FORMAT, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def raw_of(value: object, kind: str, element: int | None = None) -> Value:
    """`value`, as the library decoded it, as a raw value of a column of type `kind`.

    A number is never rounded to fit: 3.7 does not become an integer, 70000 no u16. Nothing else becomes
    a number, but for booleans (0 and 1) and enumerations. `element` picks one of an array.
    """
    if element is not None:
        if not isinstance(value, (list, tuple)) or element >= len(value):
            return None
        value = value[element]
    if isinstance(value, Enum):
        value = value.value
    if kind == "text":
        return _text(value)
    if kind == "bytes":
        return bytes(value) if isinstance(value, (bytes, bytearray)) else None
    if kind == "bool":
        return bool(value) if isinstance(value, (bool, int)) else None
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, (int, float)):
        return None
    if kind not in ("f32", "f64"):
        if isinstance(value, float):
            if not value.is_integer():
                return None
            value = int(value)
    else:
        value = float(value)
    try:
        struct.pack(f">{FORMAT[kind]}", value)
    except (struct.error, OverflowError):
        return None
    return value


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    said = getattr(value, "Text", None)  # LocalizedText
    if isinstance(said, str):
        return said
    return None if value is None or isinstance(value, (list, tuple, dict)) else str(value)


def unix_us(stamp: datetime | None) -> int | None:
    """A timestamp in unix microseconds. The library gives UTC, with or without saying so.

    None where a server says that it knows none: OPC UA's zero is 1601.
    """
    if stamp is None or stamp.year < 1970:
        return None
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
