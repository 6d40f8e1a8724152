"""From what a person wants a point to be to the raw value that gives it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import convert
from headgate.errors import DeviceRefused
from headgate.model import Access, BitField, Linear, Lookup, Point, Polynomial, Value
from headgate.runtime.inverse import raw_for, same
from headgate.sdk import DevicePoint


def place(kind: Any = "u16", conversion: Any = None, **more: Any) -> DevicePoint:
    sentinels = more.pop("sentinels", ())
    more.setdefault("access", Access.READ_WRITE)
    return DevicePoint(Point("p", kind, "m", conversion, **more), sentinels=sentinels)


@pytest.mark.parametrize(
    ("where", "wanted", "raw"),
    [
        (place(), 7, 7),
        (place(), "7", 7),
        (place(conversion=Linear(1.0, 10.0, 0.0)), 62.5, 625),
        (place(conversion=Linear(1.0, 10.0, 0.0)), "62.54", 625),
        (place("i16", Linear(-1.0, 1000.0, 30.0)), 26.755, 3245),
        (place("i16"), -5, -5),
        (place("f32", Linear(2.0, 1.0, 1.0)), 4, 1.5),
        (place(conversion=Lookup(((0.0, 10.0), (1.0, 20.0)), "exact")), 20, 1),
        (place("bool"), "on", True),
        (place("bool"), False, False),
        (place("text"), "PUMP", "PUMP"),
        (place("u64"), 2**63 + 1, 2**63 + 1),
    ],
)
def test_a_value_in_the_point_s_unit_becomes_its_raw_value(
    where: DevicePoint, wanted: Value, raw: Value
) -> None:
    assert raw_for("d", where, wanted) == raw


@pytest.mark.parametrize(
    ("where", "wanted", "code"),
    [
        (place(access=Access.READ), 1, "HG-9140"),
        (place(), -1, "HG-9141"),
        (place(), 65536, "HG-9141"),
        (place(), "inf", "HG-9141"),
        (place(), True, "HG-9141"),
        (place(), None, "HG-9141"),
        (place(sentinels=(65535,)), 65535, "HG-9141"),
        (place("bool"), 2, "HG-9141"),
        (place(range=(0.0, 5.0)), 5.001, "HG-9142"),
        (place(range=(None, 5.0)), 6, "HG-9142"),
        (place(conversion=Polynomial((0.0, 1.0, 2.0))), 1, "HG-9143"),
        (place(conversion=BitField(0, 2)), 1, "HG-9143"),
        (place(conversion=Linear(0.0, 1.0, 1.0)), 1, "HG-9143"),
        (place(conversion=Lookup(((0.0, 10.0), (1.0, 20.0)))), 15, "HG-9143"),
    ],
)
def test_what_a_point_cannot_be_is_refused_by_name(
    where: DevicePoint, wanted: Value, code: str
) -> None:
    with pytest.raises(DeviceRefused) as refused:
        raw_for("d", where, wanted)
    assert refused.value.code == code


@given(st.integers(0, 65535), st.sampled_from([1.0, 10.0, 100.0, 3.0]), st.floats(-1000, 1000))
def test_every_raw_value_is_its_own_way_back(raw: int, divide: float, offset: float) -> None:
    line = Linear(1.0, divide, offset)
    value = convert(line, raw)
    assert raw_for("d", place(conversion=line), value) == raw


def test_a_float32_reads_back_as_the_device_rounds_it() -> None:
    assert same(place("f32").point, 0.1, 0.10000000149011612)
    assert not same(place("f32").point, 0.1, 0.2)
    assert not same(place().point, 1, 2)
