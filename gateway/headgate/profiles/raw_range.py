"""A point's engineering range as raw values, so that quality is judged without converting anything."""

from __future__ import annotations

import math

from headgate.columns import convert
from headgate.model import Linear, Point

#: Integers up to here are the same in binary64.
_EXACT = 2**53


def raw_range(point: Point) -> tuple[float | None, float | None] | None:
    """The raw values whose engineering value lies in the point's range, to the last bit.

    None when the point has no range, or a conversion that is not one straight line.
    """
    if point.range is None:
        return None
    if point.conversion is None:
        return point.range
    if not isinstance(point.conversion, Linear) or point.conversion.multiply == 0.0:
        return None
    line = point.conversion
    whole = point.type not in ("f32", "f64")
    low, high = point.range
    if line.multiply / line.divide < 0:
        low, high = high, low
    return _edge(line, low, point.range, -1, whole), _edge(line, high, point.range, 1, whole)


def _edge(
    line: Linear,
    bound: float | None,
    span: tuple[float | None, float | None],
    outward: int,
    whole: bool,
) -> float | None:
    """The outermost raw value towards `outward` that still converts into `span`, near `bound`."""
    if bound is None:
        return None
    guess = (bound - line.offset) * line.divide / line.multiply
    if not math.isfinite(guess):
        return None
    if whole:
        guess = float(round(guess))

    def step(raw: float, way: int) -> float:
        return raw + way if whole and abs(raw) < _EXACT else math.nextafter(raw, way * math.inf)

    # The inverse is rounded, so it may be off by a few steps: walk to the edge by the forward formula,
    # which is the one that readers of the table apply.
    for _ in range(64):
        if _inside(line, guess, span):
            break
        guess = step(guess, -outward)
    for _ in range(64):
        further = step(guess, outward)
        if not _inside(line, further, span):
            break
        guess = further
    return guess


def _inside(line: Linear, raw: float, span: tuple[float | None, float | None]) -> bool:
    value = convert(line, raw)
    low, high = span
    return (
        isinstance(value, float)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
