"""A stored reading that disagrees with itself is a change, whatever the truth knows of it."""

from __future__ import annotations

import pytest

from headgate.model import BitField, Linear, Lookup, Point, Polynomial
from headgate_receiver.verify.sound import Sound

LEVEL = Point("level", "u16", "m", Linear(1.0, 1000.0, 3.5), (0.0, 10.0))
STEPS = Lookup(((0.0, 1.0), (10.0, 2.0)), "step")
LINE = Lookup(((0.0, 1.0), (10.0, 2.0)), "linear")
EXACT = Lookup(((0.0, 1.0), (10.0, 2.0)), "exact")
OUT = 6 << 8


@pytest.mark.parametrize(
    ("point", "raw", "value"),
    [
        (LEVEL, 1000, 4.5),
        (Point("count", "u64"), str(2**63 + 5), str(2**63 + 5)),
        (Point("t", "i16", "Cel", Polynomial((1.0, 2.0, 3.0))), 2, 17.0),
        (Point("f", "u16", "1", BitField(4, 3)), 0b1010000, 5),
        (Point("a", "u16", "1", STEPS), 9, 1.0),
        (Point("a", "u16", "1", LINE), 5, 1.5),
        (Point("a", "u16", "1", EXACT), 10, 2.0),
        (Point("name", "text"), "pump", "pump"),
        (Point("on", "bool"), 1, 1),
    ],
)
def test_what_the_table_makes_of_a_raw_value_fits(point: Point, raw: object, value: object) -> None:
    assert Sound(point).wrong(value, raw, 0, 0) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("point", "raw", "value", "quality", "status"),
    [
        (LEVEL, 1000, 4.6, 0, 0),
        (LEVEL, 1001, 4.5, 0, 0),
        (LEVEL, None, 4.5, 0, 0),
        (LEVEL, 1000, None, 1, OUT),
        (LEVEL, 9000, 12.5, 0, 0),
        (LEVEL, 1000, 4.5, 1, OUT),
        (Point("a", "u16", "1", LINE), 11, 2.1, 0, 0),
        (Point("name", "text"), "pump", "gate", 0, 0),
        (Point("count", "u16"), "pump", 5, 0, 0),
    ],
)
def test_what_does_not_fit_is_said(
    point: Point, raw: object, value: object, quality: int, status: int
) -> None:
    assert Sound(point).wrong(value, raw, quality, status)  # type: ignore[arg-type]


def test_bad_values_and_uncertain_ones_outside_are_as_they_should_be() -> None:
    assert Sound(LEVEL).wrong(None, None, 2, 256) == ""
    assert Sound(LEVEL).wrong(None, 65535, 2, 5 << 8) == ""
    assert Sound(LEVEL).wrong(12.5, 9000, 1, OUT) == ""
    assert Sound(LEVEL).wrong(4.5, 1000, 1, 10 << 8) == ""
