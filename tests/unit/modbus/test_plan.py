"""Points into requests and answers into columns, against a device that is a plain dict."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_device import COLUMNS, MakeDevice, make

from headgate.columns import raw_values, readings
from headgate.sdk import Device, ProfileError, Quality, Status, status_word
from headgate_drivers.modbus.codec import Request
from headgate_drivers.modbus.driver import ModbusDriver
from headgate_drivers.modbus.plan import Layout

REGISTERS = {
    "uint16": 1, "int16": 1, "bits": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4,
    "float32": 2, "float64": 4, "bcd16": 1, "bcd32": 2, "bcd64": 4, "bool": 1,
    "uint8_high": 1, "uint8_low": 1, "int8_high": 1, "int8_low": 1,
}  # fmt: skip


def layout_of(device: Device) -> Layout:
    return ModbusDriver().plan(device).layout


def spans(device: Device) -> list[tuple[int, int, int]]:
    return [(r.function, r.start, r.count) for r in layout_of(device).requests]


def answer(request: Request, memory: dict[int, int]) -> bytes:
    """What a real device with these registers (or bits) says."""
    values = [memory.get(request.start + i, 0) for i in range(request.count)]
    if request.function in (1, 2):
        return sum(1 << i for i, v in enumerate(values) if v).to_bytes(
            (len(values) + 7) // 8, "little"
        )
    return struct.pack(f">{len(values)}H", *values)


def words_of(value: Any, kind: str, order: str) -> list[int]:
    """A value as a device of this order keeps it: written apart from the code that reads it."""
    form = {
        "uint16": ">H", "int16": ">h", "bits": ">H", "uint32": ">I", "int32": ">i", "uint64": ">Q",
        "int64": ">q", "float32": ">f", "float64": ">d",
    }  # fmt: skip
    if kind.startswith("bcd"):
        raw = bytes.fromhex(f"{value:0{REGISTERS[kind] * 4}d}")
    elif kind.endswith("_high"):
        raw = bytes([value & 0xFF, 0x5A])
    elif kind.endswith("_low"):
        raw = bytes([0xA5, value & 0xFF])
    else:
        raw = struct.pack(form[kind], value)
    words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def test_neighbours_share_a_request_and_small_gaps_are_read_along() -> None:
    device = make(*({"register": r} for r in (0, 1, 2, 10, 30)))
    assert spans(device) == [(3, 0, 11), (3, 30, 1)]


@pytest.mark.parametrize(
    ("quirks", "expected"),
    [
        ({"gap_limit": 0}, [(3, 0, 2), (3, 4, 2), (3, 20, 1)]),
        ({"no_holes": True}, [(3, 0, 2), (3, 4, 2), (3, 20, 1)]),
        ({"gap_limit": 2}, [(3, 0, 6), (3, 20, 1)]),
        ({"gap_limit": 125}, [(3, 0, 21)]),
        ({"max_registers": 4}, [(3, 0, 2), (3, 4, 2), (3, 20, 1)]),
        ({"one_register_at_a_time": True}, [(3, 0, 1), (3, 1, 1), (3, 4, 2), (3, 20, 1)]),
    ],
)
def test_quirks_shape_the_requests(quirks: dict[str, Any], expected: list[Any]) -> None:
    points: list[dict[str, Any]] = [
        {"register": 0}, {"register": 1}, {"register": 4, "type": "uint32"}, {"register": 20}
    ]  # fmt: skip
    assert spans(make(*points, quirks=quirks)) == expected


def test_areas_are_never_mixed_and_bits_have_their_own_limit() -> None:
    points = [{"register": 0, "area": "input"}, {"register": 0}]
    points += [{"register": r, "area": "coil", "type": "bool"} for r in (0, 100, 1999, 2000)]
    assert spans(make(*points, quirks={"gap_limit": 125})) == [
        (1, 0, 2000),
        (1, 2000, 1),
        (3, 0, 1),
        (4, 0, 1),
    ]


areas = st.sampled_from(["holding", "input"])
kinds = st.sampled_from(sorted(REGISTERS))
sources = st.lists(
    st.fixed_dictionaries({"register": st.integers(0, 400), "type": kinds, "area": areas}),
    min_size=1, max_size=60,
)  # fmt: skip


@given(sources, st.integers(0, 40), st.integers(4, 125))
def test_a_plan_covers_every_point_within_the_limits(
    points: list[dict[str, Any]], gap: int, longest: int
) -> None:
    device = make(*points, quirks={"gap_limit": gap, "max_registers": longest})
    layout = layout_of(device)
    covered = []
    for request, group in zip(layout.requests, layout.groups, strict=True):
        assert 1 <= request.count <= longest
        named: set[int] = set()
        for place in group:
            assert request.function == place.function
            assert request.start <= place.start
            assert place.start + place.count <= request.start + request.count
            named.update(range(place.start, place.start + place.count))
            covered.append(place.point)
        assert {request.start, request.start + request.count - 1} <= named
        ordered = sorted(named)
        assert all(b - a - 1 <= gap for a, b in pairwise(ordered))
    assert sorted(covered) == list(range(len(points)))


@given(
    st.sets(st.integers(0, 300), min_size=1, max_size=60), st.integers(0, 20), st.integers(1, 125)
)
def test_no_plan_has_fewer_requests(registers: set[int], gap: int, longest: int) -> None:
    device = make(
        *({"register": r} for r in sorted(registers)),
        quirks={"gap_limit": gap, "max_registers": longest},
    )
    ordered = sorted(registers)
    fewest = [0]  # fewest[i]: for the first i registers
    for end in range(1, len(ordered) + 1):
        best = len(ordered)
        for start in range(end - 1, -1, -1):
            if start + 1 < end and ordered[start + 1] - ordered[start] - 1 > gap:
                break
            if ordered[end - 1] - ordered[start] + 1 > longest:
                break
            best = min(best, fewest[start] + 1)
        fewest.append(best)
    assert len(layout_of(device).requests) == fewest[-1]


NUMBERS = {
    "uint16": st.integers(0, 0xFFFF), "int16": st.integers(-0x8000, 0x7FFF), "bits": st.integers(0, 0xFFFF),
    "uint32": st.integers(0, 2**32 - 1), "int32": st.integers(-(2**31), 2**31 - 1),
    "uint64": st.integers(0, 2**64 - 1), "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False), "float64": st.floats(allow_nan=False),
    "bcd16": st.integers(0, 9999), "bcd32": st.integers(0, 10**8 - 1), "bcd64": st.integers(0, 10**16 - 1),
    "uint8_high": st.integers(0, 255), "uint8_low": st.integers(0, 255),
    "int8_high": st.integers(-128, 127), "int8_low": st.integers(-128, 127),
}  # fmt: skip


@st.composite
def maps(draw: st.DrawFn) -> list[tuple[dict[str, Any], Any]]:
    """Points that do not overlap, each with the value that its device holds."""
    made = []
    register = draw(st.integers(0, 50))
    for _ in range(draw(st.integers(1, 40))):
        kind = draw(st.sampled_from(sorted(NUMBERS)))
        order = draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
        made.append(({"register": register, "type": kind, "order": order}, draw(NUMBERS[kind])))
        register += REGISTERS[kind] + draw(st.sampled_from([0, 0, 0, 1, 5, 20]))
    return draw(st.permutations(made))


@given(maps())
def test_every_type_and_order_comes_out_as_it_went_in(
    held: list[tuple[dict[str, Any], Any]],
) -> None:
    memory: dict[int, int] = {}
    for source, value in held:
        words = words_of(value, source["type"], source["order"])
        memory.update(enumerate(words, source["register"]))
    device = make(*(source for source, _ in held))
    layout = layout_of(device)
    block = layout.block(1, [answer(request, memory) for request in layout.requests])
    assert block.quality is None
    assert [value for _, value in raw_values(block, device.table)] == [value for _, value in held]


def test_coils_and_bits_and_text(device: MakeDevice) -> None:
    d = device(
        {"register": 3, "area": "coil", "type": "bool"},
        {"register": 0, "area": "coil", "type": "bool"},
        {"register": 20, "area": "coil", "type": "bool"},
        {"register": 5, "type": "bool", "bit": 0},
        {"register": 5, "type": "bool", "bit": 15},
        {"register": 5, "type": "bool", "bit": 8, "order": "BADC"},
        {"register": 5, "type": "bool"},
        {"register": 10, "type": "text", "length": 4},
        {"register": 14, "type": "text", "length": 2, "charset": "gb18030"},
        {"register": 16, "type": "text", "length": 2, "order": "BADC"},
    )
    text = b"V2.1  \0\xff" + "水位".encode("gb18030") + b"BADC"
    words = [int.from_bytes(text[i : i + 2], "big") for i in range(0, len(text), 2)]
    registers = {5: 0x0001, **dict(enumerate(words, 10))}
    coils = {3: 1, 20: 1}
    layout = layout_of(d)
    block = layout.block(
        1, [answer(r, coils if r.function == 1 else registers) for r in layout.requests]
    )
    assert [v for _, v in raw_values(block, d.table)] == [
        True, False, True, True, False, True, True, "V2.1", "水位", "ABCD"
    ]  # fmt: skip


def test_a_value_that_is_none_is_bad_and_its_neighbours_are_not(device: MakeDevice) -> None:
    d = device(
        {"register": 0, "type": "bcd16"},
        {"register": 1, "type": "bcd16"},
        {"register": 2, "type": "text", "length": 1},
        {"register": 3, "type": "bcd32", "column": "u16"},
    )
    layout = layout_of(d)
    block = layout.block(1, [bytes.fromhex("1234 12a4 ffff 00990000")])
    got = list(readings(block, d.table))
    assert [r.quality for r in got] == [Quality.GOOD, Quality.BAD, Quality.BAD, Quality.BAD]
    assert got[0].raw == 1234
    assert {r.status for r in got[1:]} == {status_word(Status.MALFORMED)}


def test_a_failed_request_spoils_its_points_only(device: MakeDevice) -> None:
    d = device({"register": 0}, {"register": 200}, {"register": 1})
    layout = layout_of(d)
    block = layout.block(1, [b"\0\1\0\2", status_word(Status.REFUSED, 2)])
    got = list(readings(block, d.table))
    assert [(r.value, r.status) for r in got] == [
        (1, 0),
        (None, status_word(Status.REFUSED, 2)),
        (2, 0),
    ]


def test_a_hundred_plain_registers_are_the_answer_itself(device: MakeDevice) -> None:
    d = device(*({"register": r} for r in range(100)))
    data = bytes(range(200))
    assert layout_of(d).block(1, [data]).columns == (data,)


@pytest.mark.parametrize(
    ("point", "key"),
    [
        ({"register": -1}, "register"),
        ({"register": 65536}, "register"),
        ({}, "register"),
        ({"register": True}, "register"),
        ({"register": 65535, "type": "uint32"}, "register"),
        ({"register": 0, "area": "output"}, "area"),
        ({"register": 0, "order": "abcd"}, "order"),
        ({"register": 0, "type": "uint24", "column": "u32"}, "type"),
        ({"register": 0, "type": "uint16", "area": "coil"}, "type"),
        ({"register": 0, "type": "text"}, "length"),
        ({"register": 0, "type": "text", "length": 126}, "length"),
        ({"register": 0, "type": "text", "length": 1, "charset": "klingon"}, "charset"),
        ({"register": 0, "type": "bool", "bit": 16}, "bit"),
    ],
)
def test_a_point_that_cannot_be_read_is_named(point: dict[str, Any], key: str) -> None:
    with pytest.raises(ProfileError) as wrong:
        layout_of(make({"register": 1}, point, {"register": 2}))
    assert [p.fields["key"] for p in wrong.value.problems] == [key]
    assert '"p1"' in wrong.value.problems[0].where


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(ProfileError) as wrong:
        layout_of(
            make({"register": -1}, {"register": 0, "order": "x"}, {"register": 0, "column": "f32"})
        )
    assert [p.code for p in wrong.value.problems] == ["HG-3120", "HG-3120", "HG-3121"]


@pytest.mark.parametrize(
    "quirks",
    [
        {"gap_limit": -1},
        {"max_registers": 126},
        {"max_bits": "many"},
        {"gap_limit": True},
        {"gap_limt": 4},
    ],
)
def test_a_quirk_without_sense_is_named(quirks: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        layout_of(make({"register": 0}, quirks=quirks))


@pytest.mark.parametrize("address", [-1, 256, "one", ""])
def test_an_address_that_is_none_is_named(address: Any) -> None:
    with pytest.raises(ProfileError):
        layout_of(make({"register": 0}, address=address))


def test_every_encoding_has_a_column() -> None:
    for kind, column in COLUMNS.items():
        more: dict[str, Any] = {"length": 1} if kind == "text" else {}
        layout_of(make({"register": 0, "type": kind, "column": column, **more}))


def test_devices_that_share_their_points_share_requests_and_nothing_that_is_learned() -> None:
    first = make(*({"register": r} for r in (0, 1, 30)))
    second = msgspec.structs.replace(first, id="other", number=2, address=7)
    slower = msgspec.structs.replace(first, id="slow", quirks={"max_registers": 1})
    driver = ModbusDriver()
    one, two, three = (driver.plan(each) for each in (first, second, slower))
    assert two.layout.requests is one.layout.requests
    assert len(three.layout.requests) == 3
    assert two.layout.block(0, [b"\0\1\0\2", b"\0\3"]).device == 2
    assert one.layout.block(0, [b"\0\1\0\2", b"\0\3"]).device == 1
    assert (one.unit, two.unit) == (1, 7)
    one.neglect(0)
    one.split(0)
    assert two.mute == {}
    assert two.layout.device is second
