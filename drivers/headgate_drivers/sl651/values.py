"""Numbers and times as SL 651 writes them (clauses 6.6.2.5 and 6.6.3.3)."""

from __future__ import annotations

from datetime import datetime

#: `N(D,d)` has at most this many decimals: the low three bits of a definition.
MOST_DECIMALS = 7


def no_data(digits: str) -> bool:
    """Whether digits say that there is nothing: all F, all A, or M in ASCII coding."""
    return digits == "M" or (bool(digits) and not digits.strip("F")) or not digits.strip("A")


def is_number(digits: str) -> bool:
    """BCD digits, perhaps below zero (a leading FF)."""
    digits = digits.removeprefix("FF")
    return digits.isascii() and digits.isdecimal()


def number(digits: str, decimals: int) -> int | float | None:
    """What BCD digits are worth; None where there is no data, or no number."""
    if no_data(digits) or not is_number(digits):
        return None
    whole = int(digits.removeprefix("FF"))
    if digits.startswith("FF"):
        whole = -whole
    # Divided, not multiplied: 127 thousandths are 0.127 and nothing else.
    return whole / 10**decimals if decimals else whole


def digits_of(value: int | float | None, size: int, decimals: int) -> str:
    """A number as BCD of `size` bytes; None is all F.

    Raises:
        ValueError: it has no room in so many bytes.
    """
    if value is None:
        return "FF" * size
    whole = round(value * 10**decimals)
    text = str(abs(whole))
    if whole < 0:
        text = "FF" + text.zfill(2 * size - 2)
    if len(text) > 2 * size:
        raise ValueError(f"{value} in {size} bytes with {decimals} decimals")
    return text.zfill(2 * size)


def decimal(text: str) -> int | float | None:
    """What a number in ASCII coding is worth; None where there is no data, or no number."""
    if no_data(text) or not is_decimal(text):
        return None
    return float(text) if "." in text else int(text)


def is_decimal(text: str) -> bool:
    """A decimal number as it is written by hand, of at most 31 characters."""
    sign, dot = text[:1] in ("+", "-"), text.count(".")
    digits = text[sign:].replace(".", "", 1) if dot == 1 else text[sign:]
    return len(text) <= 31 and digits.isascii() and digits.isdecimal()


def moment(digits: str) -> datetime | None:
    """The station's own time, of YYMMDDHHmmSS, YYMMDDHHmm or YYMMDDHH; None when it is no time.

    The century is always this one, and the zone is the station's: it is not in the frame.
    """
    if not (digits.isascii() and digits.isdecimal() and len(digits) in (8, 10, 12)):
        return None
    parts = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    try:
        return datetime(2000 + parts[0], *parts[1:])  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def moment_digits(at: datetime, size: int = 6) -> str:
    """A time as `size` bytes of BCD: 6 to the second, 5 to the minute, 4 to the hour."""
    return at.strftime("%y%m%d%H%M%S")[: 2 * size]
