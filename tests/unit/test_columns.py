"""Columns and conversions: bit for bit what docs/reference/uplink.md, section 7, says."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import columns
from headgate.model import (
    FORMAT,
    WIDTH,
    BitField,
    Block,
    Linear,
    Lookup,
    Point,
    PointTable,
    Polynomial,
    Quality,
    Status,
    status_word,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = {
    kind: st.integers(0, 256**width - 1)
    if kind.startswith("u")
    else st.integers(-(256**width) // 2, 256**width // 2 - 1)
    for kind, width in WIDTH.items()
    if kind[0] in "ui"
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **INTEGERS,
    "f32": st.floats(width=32, allow_nan=False),
    "f64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "text": st.text(),
    "bytes": st.binary(),
}


@given(st.data())
def test_what_is_packed_comes_back(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(VALUES)))
    values = data.draw(st.lists(VALUES[kind], max_size=20))
    column = columns.pack(kind, values)
    assert columns.unpack(kind, column) == tuple(values)
    if kind in WIDTH:
        assert column == b"".join(struct.pack(">" + FORMAT[kind], v) for v in values)


@pytest.mark.parametrize("kind", sorted(INTEGERS))
def test_a_value_too_big_for_its_type_is_an_error_and_never_another_value(kind: str) -> None:
    with pytest.raises(struct.error):
        columns.pack(kind, [256 ** WIDTH[kind]])


@pytest.mark.parametrize(
    ("kind", "column"), [("u16", b"\0"), ("f64", bytes(12)), ("u16", ("a",)), ("text", b"ab")]
)
def test_a_column_that_does_not_fit_its_type_is_refused(kind: str, column: Any) -> None:
    with pytest.raises(ValueError, match="column must be"):
        columns.unpack(kind, column)


@given(st.integers(-(2**63), 2**64 - 1), FINITE, FINITE.filter(bool), FINITE)
def test_linear_rounds_after_each_step(raw: int, m: float, d: float, o: float) -> None:
    step = float(raw) * m
    step = step / d
    step = step + o
    assert columns.convert(Linear(m, d, o), raw) == (step if math.isfinite(step) else None)


@given(FINITE, st.lists(FINITE, min_size=1, max_size=6))
def test_a_polynomial_is_horners_rule(raw: float, c: list[float]) -> None:
    value = 0.0
    for coefficient in c[::-1]:
        value = value * raw + coefficient
    assert columns.convert(Polynomial(tuple(c)), raw) == (value if math.isfinite(value) else None)


def test_the_order_of_operations_shows_in_the_last_bit() -> None:
    assert columns.convert(Linear(0.1), 3) == 0.30000000000000004
    assert columns.convert(Linear(1.0, 10.0), 3) == 0.3
    assert columns.convert(Linear(), 2**53 + 1) == float(2**53)


CURVE = ((0.0, 0.0), (10.0, 1.0), (20.0, 4.0))


@pytest.mark.parametrize(
    ("between", "raw", "value"),
    [
        ("linear", 15, 2.5), ("linear", 20, 4.0), ("linear", 20.1, None), ("linear", -1, None),
        ("step", 19.9, 1.0), ("step", 99, 4.0), ("step", -0.1, None), ("step", 0, 0.0),
        ("exact", 10, 1.0), ("exact", 11, None), ("exact", 20, 4.0), ("exact", 21, None),
    ],
)  # fmt: skip
def test_a_lookup_between_and_beyond_its_points(between: Any, raw: float, value: Any) -> None:
    assert columns.convert(Lookup(CURVE, between), raw) == value


@given(st.integers(0, 2**64 - 1), st.integers(0, 63), st.data())
def test_a_bit_field_is_shifted_and_masked(raw: int, shift: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 64 - shift))
    assert columns.convert(BitField(shift, width), raw) == (raw >> shift) & (2**width - 1)


@pytest.mark.parametrize("raw", ["on", b"\1", True, False, None])
@pytest.mark.parametrize("conversion", [None, Linear(2.0), Polynomial((1.0,)), BitField(0)])
def test_text_bytes_and_bool_pass_unchanged(raw: Any, conversion: Any) -> None:
    assert columns.convert(conversion, raw) is raw


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("conversion", [None, Linear(), Polynomial((1.0,)), Lookup(CURVE)])
def test_what_is_not_finite_has_no_value(raw: float, conversion: Any) -> None:
    assert columns.convert(conversion, raw) is None


def test_an_integer_without_a_conversion_stays_an_integer() -> None:
    value = columns.convert(None, 2**60 + 1)
    assert value == 2**60 + 1
    assert type(value) is int


TABLE = PointTable(
    1, "d",
    (Point("a", "u16"), Point("b", "u16", "m", Linear(0.5)), Point("t", "text"), Point("c", "u16")),
)  # fmt: skip


def test_readings_of_a_whole_block_run_by_run() -> None:
    block = Block(1, b"", 7, columns=(b"\0\1\0\2", ("x",), b"\0\3"))
    got = [(r.point, r.value, r.raw, r.quality) for r in columns.readings(block, TABLE)]
    assert got == [
        ("a", 1, 1, Quality.GOOD), ("b", 1.0, 2, Quality.GOOD),
        ("t", "x", "x", Quality.GOOD), ("c", 3, 3, Quality.GOOD),
    ]  # fmt: skip


def test_presence_leaves_out_points_and_whole_columns() -> None:
    block = Block(1, b"", 7, columns=(b"\0\2", b"\0\3"), presence=b"\x0a")
    assert [(r.point, r.raw) for r in columns.readings(block, TABLE)] == [("b", 2), ("c", 3)]


def test_a_failed_look_is_bad_everywhere() -> None:
    status = status_word(Status.REFUSED, 2)
    block = Block(1, b"", 7, None, None, bytes([Quality.BAD]), status.to_bytes(2, "big"))
    got = list(columns.readings(block, TABLE))
    assert [(r.value, r.quality, r.status) for r in got] == [(None, Quality.BAD, status)] * 4


def test_a_value_that_cannot_be_converted_is_bad_and_says_so() -> None:
    table = PointTable(1, "d", (Point("v", "f64", "m", Lookup(CURVE)),))
    (reading,) = columns.readings(Block(1, b"", 7, columns=(struct.pack(">d", 99.0),)), table)
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert reading.status == status_word(Status.NOT_CONVERTIBLE)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": (b"\0\1\0\2", ("x",))},
        {"columns": (b"\0\1\0\2\0\3", ("x",), b"\0\3")},
        {"columns": (b"\0\1\0\2", ("x",), b"\0")},
        {"columns": (b"\0\1\0\2", ("x",), b"\0\3"), "quality": b"\0\0"},
    ],
)
def test_a_block_that_does_not_fit_its_table_is_refused(change: Any) -> None:
    block = Block(1, b"", 7, **change)
    with pytest.raises(ValueError, match=r"column|value|entries"):
        list(columns.readings(block, TABLE))


def test_half_a_status_word_does_not_fit() -> None:
    table = PointTable(1, "d", (Point("p", "u16"),))
    block = Block(1, bytes(32), 0, None, (bytes(2),), status=b"\0")
    with pytest.raises(ValueError, match="status"):
        list(columns.readings(block, table))
