"""Values of DL/T 645: packed BCD, lowest byte first; a sign in the highest bit; times. Pure.

Every reader gives None for what is no value. Times are texts in the meter's own zone, as precise as the
meter tells them.
"""

from __future__ import annotations

from datetime import datetime

#: Whole seconds and minutes as the meter writes them: year first when read from the highest byte.
_FORMATS = {
    "second": ("%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S"),
    "minute": ("%Y%m%d%H%M", "%Y-%m-%dT%H:%M"),
    "day": ("%Y%m%d", "%Y-%m-%d"),
    "time": ("%H%M%S", "%H:%M:%S"),
    # The year 2000 stands in: 29 February is a day without its year, too.
    "month-minute": ("%Y%m%d%H%M", "%m-%dT%H:%M"),
    "day-hour": ("%d%H", "%dT%H"),
}


def digits(raw: bytes) -> str | None:
    """The decimal digits, highest first; None where a half byte is none."""
    text = raw[::-1].hex()
    return text if text.isdecimal() else None


def number(raw: bytes, decimals: int, *, signed: bool) -> float | int | None:
    """A number; with `signed` the highest bit of the highest byte says that it is negative."""
    negative = signed and bool(raw) and bool(raw[-1] & 0x80)
    if negative:
        raw = raw[:-1] + bytes([raw[-1] & 0x7F])
    text = digits(raw)
    if text is None:
        return None
    value = -int(text) if negative else int(text)
    # Divided, not multiplied: 1001 tenths are 100.1 and nothing else.
    return value / 10**decimals if decimals else value


def write_number(value: float, size: int, decimals: int, *, signed: bool) -> bytes:
    """The bytes of a number.

    Raises:
        ValueError: it has no place in so many digits, or is negative where nothing can be.
    """
    count = round(abs(value) * 10**decimals)
    text = str(count).zfill(2 * size)
    if len(text) > 2 * size or (signed and text[0] in "89") or (value < 0 and not signed):
        raise ValueError(f"{value} in {size} bytes with {decimals} decimals")
    raw = bytes.fromhex(text)[::-1]
    return raw[:-1] + bytes([raw[-1] | 0x80]) if value < 0 else raw


def moment(raw: bytes, kind: str) -> str | None:
    """A time as text; None where the digits are none, or no time."""
    text = digits(raw)
    if text is None:
        return None
    read, written = _FORMATS[kind]
    # Two digits are a year of this century: 99 in "valid until" is 2099.
    century = {"month-minute": "2000"}.get(kind, "20" if "%Y" in read else "")
    try:
        return datetime.strptime(century + text, read).strftime(written)  # noqa: DTZ007 - the meter's own zone
    except ValueError:
        return None


def write_moment(at: datetime, kind: str) -> bytes:
    """The bytes of a time."""
    text = at.strftime(_FORMATS[kind][0])
    if "%Y" in _FORMATS[kind][0]:
        text = text[4 if kind == "month-minute" else 2 :]
    return bytes.fromhex(text)[::-1]


def text_of(raw: bytes) -> str | None:
    """Characters, lowest last; None where nothing but filling is there."""
    # Meters fill with zeros or with FF, at either end.
    text = raw[::-1].strip(b"\x00\xff ").decode("ascii", "replace").strip()
    return text or None
