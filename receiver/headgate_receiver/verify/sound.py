"""Whether a stored reading agrees with itself: raw, value and quality, by what the table announced. Pure.

Computed here a second time and from the specification alone, for a judge that shares the code of the
accused finds nothing. Source: uplink.md, sections 6 and 7.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from headgate.model import BitField, Linear, Lookup, Point, PointTable, Polynomial, Value

#: Two right ways of computing differ in the last digits.
TOLERANCE = 1e-9
_GOOD, _BAD = 0, 2
_OUT_OF_RANGE = 6


class Sound:
    """What one point's readings must be like."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._numbers = point.type not in ("text", "bytes", "bool")

    def wrong(self, value: Value, raw: Value, quality: int, status: int) -> str:
        """What does not fit, in words; empty when all does."""
        if quality >= _BAD:
            return ""
        if raw is None or value is None:
            return "without a value, and not bad"
        if not self._numbers:
            return "" if value == raw else f"raw {raw!r} was stored as {value!r}"
        number = _number(raw)
        if number is None:
            return f"raw {raw!r} is no number"
        due = _engineering(self._point, number)
        said = _number(value)
        if due is None or said is None or not math.isfinite(due):
            return f"raw {raw!r} makes no value, stored {value!r}"
        if not _same(due, said):
            return f"raw {raw!r} makes {due:.15g}, stored {said:.15g}"
        return self._quality(said, quality, status)

    def _quality(self, value: float, quality: int, status: int) -> str:
        low, high = self._point.range or (None, None)
        slack = max(TOLERANCE * abs(value), TOLERANCE)
        if quality == _GOOD and (
            (low is not None and value < low - slack) or (high is not None and value > high + slack)
        ):
            return f"{value:.15g} is out of its range, and good"
        if (
            status >> 8 == _OUT_OF_RANGE
            and (low is None or value >= low + slack)
            and (high is None or value <= high - slack)
        ):
            return f"{value:.15g} is in its range, and uncertain for being outside"
        return ""


def sounds(table: PointTable) -> Sequence[Sound]:
    """What the readings of a table's points must be like, in order."""
    return [Sound(point) for point in table.points]


def _number(value: Value) -> float | None:
    if isinstance(value, str):  # integers that the store has no room for
        try:
            return float(int(value))
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) else None


def _engineering(point: Point, raw: float) -> float | None:
    how = point.conversion
    if how is None:
        return raw
    if isinstance(how, Linear):
        return raw * how.multiply / how.divide + how.offset
    if isinstance(how, Polynomial):
        value = 0.0
        for coefficient in reversed(how.coefficients):
            value = value * raw + coefficient
        return value
    if isinstance(how, BitField):
        return float((int(raw) >> how.shift) & ((1 << how.width) - 1))
    return _looked_up(how, raw)


def _looked_up(table: Lookup, raw: float) -> float | None:
    xs = [x for x, _ in table.points]
    at = bisect_right(xs, raw) - 1
    if at < 0:
        return None
    x, y = table.points[at]
    if x == raw or table.between == "step":
        return y
    if table.between == "exact" or at + 1 == len(xs):
        return None
    x2, y2 = table.points[at + 1]
    return y + (y2 - y) * (raw - x) / (x2 - x)


def _same(due: float, said: float) -> bool:
    return due == said or abs(due - said) <= max(TOLERANCE * abs(due), TOLERANCE)
