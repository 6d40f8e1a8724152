"""What a person wants a point to be, as the raw value that gives it: the inverse of the conversion. Pure."""

from __future__ import annotations

import math
from typing import Any

from headgate.columns import convert
from headgate.errors import DeviceRefused
from headgate.model import Access, Linear, Lookup, Point, Value
from headgate.sdk import DevicePoint

_TRUE, _FALSE = ("true", "on", "1", "yes", "开"), ("false", "off", "0", "no", "关")


def raw_for(device: str, where: DevicePoint, wanted: Value) -> Value:
    """The raw value of a point for an engineering value, checked against all that guards the point.

    Args:
        wanted: a number, a truth or a text; a text is read as what the point is.

    Raises:
        DeviceRefused: the point is not writable (HG-9140), `wanted` is nothing it can be (HG-9141),
            outside its range (HG-9142), or its conversion has no inverse (HG-9143).
    """
    point = where.point
    check_writable(device, where, wanted)
    if point.type == "text":
        return str(wanted)
    if point.type == "bool":
        return _truth(device, point, wanted)
    number = _number(device, point, wanted)
    low, high = point.range or (None, None)
    if (low is not None and number < low) or (high is not None and number > high):
        limits: dict[str, str | float] = {
            "low": "-" if low is None else low,
            "high": "-" if high is None else high,
        }
        raise _refused("HG-9142", device, point, wanted, **limits)
    raw = _inverse(device, point, number)
    if point.type not in ("f32", "f64"):
        # The nearest step of the device; the caller is shown which.
        whole = round(raw)
        if not _holds(point.type, whole):
            raise _refused("HG-9141", device, point, wanted, type=point.type)
        raw = whole
    if raw in where.sentinels:
        raise _refused("HG-9141", device, point, wanted, type=f"{point.type}, not a sentinel")
    return raw


def check_writable(device: str, where: DevicePoint, wanted: Value) -> None:
    """Raises `DeviceRefused` (HG-9140) where the profile does not let the point be written."""
    point = where.point
    if Access.WRITE.value not in point.access.value:
        raise _refused("HG-9140", device, point, wanted, access=point.access.value)


def same(point: Point, sent: Value, back: Value) -> bool:
    """Whether what reads back is what was written."""
    if point.type == "f32" and isinstance(sent, (int, float)) and isinstance(back, (int, float)):
        return math.isclose(sent, back, rel_tol=1e-6)
    return sent == back


def _inverse(device: str, point: Point, number: float) -> float:
    conversion = point.conversion
    if conversion is None:
        return number
    if isinstance(conversion, Linear) and conversion.multiply:
        return (number - conversion.offset) * conversion.divide / conversion.multiply
    if isinstance(conversion, Lookup):
        for raw, value in conversion.points:
            if value == number and convert(conversion, raw) == number:
                return raw
    raise _refused("HG-9143", device, point, number, conversion=type(conversion).__name__.lower())


def _number(device: str, point: Point, wanted: Value) -> float:
    try:
        if isinstance(wanted, bool) or not isinstance(wanted, (int, float, str)):
            raise ValueError
        number = float(wanted) if not isinstance(wanted, int) else wanted
    except ValueError:
        raise _refused("HG-9141", device, point, wanted, type=point.type) from None
    if not math.isfinite(number):
        raise _refused("HG-9141", device, point, wanted, type=point.type)
    return number


def _truth(device: str, point: Point, wanted: Value) -> bool:
    word = str(wanted).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _refused("HG-9141", device, point, wanted, type="true | false")


def _holds(kind: str, whole: int) -> bool:
    bits = int(kind[1:])
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if kind[0] == "i" else (0, 1 << bits)
    return low <= whole < high


def _refused(
    code: str, device: str, point: Point, wanted: object, **fields: str | int | float
) -> DeviceRefused:
    text = f"device {device}: {point.name} is not written with {wanted}"
    said: dict[str, Any] = {
        "device": device, "point": point.name, "value": str(wanted), "unit": point.unit, **fields
    }  # fmt: skip
    return DeviceRefused(text, code=code, **said)
