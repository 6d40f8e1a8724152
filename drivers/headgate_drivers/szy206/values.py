"""Numbers of SZY 206: BCD, low byte first, with a sign in the highest half byte; AA where there is none."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from headgate_drivers.szy206.items import Label, Value

EMPTY = 0xAA


class Top(Enum):
    """What the highest half byte of a number is."""

    DIGIT = "a digit like the others"
    SIGN = "0 or F"
    FLOW = "two bits of sign, two bits of unit: 00 m3/s, 11 m3/h; below it a digit"
    TOTAL = "one bit of sign, three bits of a digit"
    DIRECTION = "where the wind comes from, 0 to 8"


class Form(NamedTuple):
    """How one kind of number is written."""

    size: int
    decimals: int
    unit: str
    top: Top = Top.DIGIT


RAIN = Form(3, 1, "mm")
LEVEL = Form(4, 3, "m", Top.SIGN)
FLOW = Form(5, 3, "m3/s", Top.FLOW)
TOTAL = Form(5, 0, "m3", Top.TOTAL)
VELOCITY = Form(3, 3, "m/s", Top.SIGN)
GATE = Form(3, 2, "m")
POWER = Form(3, 0, "kW")
AIR_PRESSURE = Form(3, 0, "hPa")
WIND = Form(3, 2, "m/s", Top.DIRECTION)
AIR_TEMPERATURE = Form(2, 1, "°C", Top.SIGN)
WATER_TEMPERATURE = Form(2, 1, "°C", Top.SIGN)
MOISTURE = Form(2, 1, "%")
DEPTH = Form(2, 0, "cm")
EVAPORATION = Form(3, 1, "mm")
PRESSURE = Form(4, 2, "kPa")
ENERGY = Form(4, 2, "kW·h")
VOLTAGE = Form(2, 2, "V")

# Of settings and of answers to questions.
RECHARGE = Form(4, 0, "m3")
QUOTA = Form(5, 0, "m3")
REMAINING_ALARM = Form(3, 0, "m3")
LEVEL_BASE = Form(3, 2, "m", Top.TOTAL)
LEVEL_LIMIT = Form(2, 2, "m")
RAIN_STEP = Form(1, 1, "mm")
MINUTES = Form(2, 0, "min")


def read(name: str, form: Form, raw: bytes, depth_cm: float | None = None) -> Value:
    """A number of exactly its size."""
    unit = form.unit
    if all(byte == EMPTY for byte in raw):
        return Value(name, None, unit, depth_cm=depth_cm)
    digits = raw[::-1].hex()
    top, negative = int(digits[0], 16), False
    match form.top:
        case Top.SIGN:
            digits, negative = digits[1:], top == 0xF
            wrong = top not in (0, 0xF)
        case Top.FLOW:
            digits, negative, wrong = digits[1:], top >> 2 == 3, top not in (0, 3, 12, 15)
            unit = "m3/h" if top & 3 == 3 else unit
        case Top.TOTAL:
            digits, negative, wrong = f"{top & 7}{digits[1:]}", top >= 8, False
        case Top.DIRECTION:
            digits, wrong = digits[1:], False
        case _:
            wrong = False
    if wrong or not digits.isdecimal():
        return Value(name, None, unit, wrong=True, depth_cm=depth_cm)
    number = int(digits) / 10**form.decimals
    return Value(name, -number if negative else number, unit, depth_cm=depth_cm)


def direction(name: str, raw: bytes) -> Value:
    """Of three bytes of wind, where it comes from: 0 to 8."""
    top = raw[2] >> 4
    empty = all(byte == EMPTY for byte in raw)
    wrong = not empty and top > 8
    return Value(name, None if empty or wrong else float(top), wrong=wrong)


def write(form: Form, value: Value, *, from_direction: float | None = None) -> bytes:
    """The bytes of a number; AA of none.

    Raises:
        ValueError: it has no room.
    """
    if value.value is None:
        return bytes([EMPTY]) * form.size
    count = round(abs(value.value) * 10**form.decimals)
    negative = value.value < 0
    digits = f"{count:0{form.size * 2}d}"
    limit = 8 if form.top is Top.TOTAL else 10 if form.top is Top.DIGIT else 1
    if len(digits) > form.size * 2 or int(digits[0]) >= limit:
        raise ValueError(f"{value.name}: {value.value} has no room")
    top = int(digits[0])
    match form.top:
        case Top.SIGN:
            top = 0xF if negative else 0
        case Top.FLOW:
            top = negative * 0xC | (value.unit == "m3/h") * 3
        case Top.TOTAL:
            top |= negative * 8
        case Top.DIRECTION:
            top = int(from_direction or 0)
    if negative and form.top in (Top.DIGIT, Top.DIRECTION):
        raise ValueError(f"{value.name}: {value.value} is negative")
    return bytes.fromhex(f"{top:x}{digits[1:]}")[::-1]


# ---------------------------------------------------------------- time labels


def label(raw: bytes) -> Label | None:
    """Tp of five or seven bytes; None where it is none."""
    digits = raw[:-1].hex()
    if not digits.isdecimal():
        return None
    numbers = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    month, year = (numbers[4], numbers[5]) if len(raw) == 7 else (None, None)
    second, minute, hour, day = numbers[:4]
    if second > 59 or minute > 59 or hour > 23 or not 1 <= day <= 31:
        return None
    if month is not None and not 1 <= month <= 12:
        return None
    return Label(second, minute, hour, day, month, year, raw[-1])


def clock(raw: bytes) -> datetime | None:
    """A station's clock (AFN 51), six bytes: second to year, the weekday in the top bits of the month."""
    digits = raw[:4].hex() + f"{raw[4] & 0x1F:02x}" + raw[5:].hex()
    if not digits.isdecimal():
        return None
    second, minute, hour, day, month, year = (int(digits[at : at + 2]) for at in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None


def clock_bytes(at: datetime) -> bytes:
    """A clock as it is set (AFN 11): Monday is 1, Sunday 7."""
    numbers = (at.second, at.minute, at.hour, at.day, at.month, at.year % 100)
    raw = bytearray.fromhex("".join(f"{number:02d}" for number in numbers))
    raw[4] |= at.isoweekday() << 5
    return bytes(raw)


def label_bytes(tp: Label) -> bytes:
    """Tp as it is sent: seven bytes with month and year, else five."""
    numbers = [tp.second, tp.minute, tp.hour, tp.day]
    if tp.month is not None and tp.year is not None:
        numbers += [tp.month, tp.year]
    return bytes.fromhex("".join(f"{number:02d}" for number in numbers)) + bytes([tp.delay_min])
