"""What a server sent as a raw value of a column."""

from datetime import UTC, datetime
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sdk import pack
from headgate_drivers.opcua.values import raw_of, unix_us


class Mode(IntEnum):
    AUTO = 2


@pytest.mark.parametrize(
    ("value", "kind", "raw"),
    [
        (3, "f64", 3.0), (3.5, "f64", 3.5), (True, "f64", 1.0), (3.0, "u16", 3), (True, "u16", 1),
        (3.7, "u16", None), (70000, "u16", None), (-1, "u32", None), (1e300, "f32", None),
        (float("nan"), "i32", None), (float("inf"), "i32", None),
        ("3", "f64", None), (None, "f64", None), (None, "text", None), (None, "bool", None),
        ("high", "text", "high"), (7, "text", "7"), (1, "bool", True), (0, "bool", False),
        ("true", "bool", None), (b"\x01", "bytes", b"\x01"), ("x", "bytes", None),
        (Mode.AUTO, "u16", 2), ([1, 2], "u16", None), ([1, 2], "text", None),
    ],
)  # fmt: skip
def test_nothing_is_rounded_or_guessed_to_fit(value: object, kind: str, raw: object) -> None:
    got = raw_of(value, kind)
    assert got == raw
    assert type(got) is type(raw)


def test_one_of_an_array_is_picked_and_a_short_array_gives_none() -> None:
    assert raw_of([10, 20], "u16", 1) == 20
    assert raw_of([10], "u16", 1) is None
    assert raw_of(10, "u16", 0) is None


@given(
    st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.binary(), st.none()),
    st.sampled_from(
        ["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "text", "bytes"]
    ),
)
def test_whatever_comes_fits_the_column_or_is_none(value: object, kind: str) -> None:
    raw = raw_of(value, kind)
    if raw is not None:
        pack(kind, [raw])


def test_a_stamp_is_utc_whether_it_says_so_or_not_and_1601_is_none() -> None:
    assert unix_us(datetime(1970, 1, 1, 0, 0, 1, 5)) == 1_000_005  # noqa: DTZ001 - as the library gives it
    assert unix_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1_000_000
    assert unix_us(datetime(1601, 1, 1)) is None  # noqa: DTZ001
    assert unix_us(None) is None
