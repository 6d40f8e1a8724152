"""CJ/T 188 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.streams import Stream, StreamTests, vectors

from headgate_drivers.cjt188.codec import Codec
from headgate_drivers.cjt188.frames import LONGEST, Fault, Frame, encode
from headgate_drivers.cjt188.messages import identifier_of, understand, wire_of
from headgate_drivers.cjt188.units import UNITS, in_base

VECTORS = vectors("cjt188")
VALID = [v for v in VECTORS if v["kind"] == "valid"]
GOOD = bytes.fromhex(VALID[1]["hex"])

STREAM = Stream(Codec, Frame, holding="frame")
all_of, frames_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, GOOD
    longest = LONGEST
    exact = False
    floods = (b"\xfe", GOOD[:11])

    def said(self, frame: Frame) -> object:
        return frame.address, frame.data  # not how many FE stood before it


def fields(frame: Frame) -> dict[str, Any]:
    """A frame in the words of the vectors."""
    message = frame.message
    assert message is not None
    return {
        "type": f"{frame.type:02X}",
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "DI_wire": message.wire,
        "serial": message.serial,
        "layout": message.layout,
        **{field.name: field.value for field in message.fields},
    }


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
@pytest.mark.parametrize("size", [0, 1])
def test_every_frame_says_what_it_says(vector: dict[str, Any], size: int) -> None:
    raw = bytes.fromhex(vector["hex"])
    (event,) = all_of(raw, size)
    assert (event.code if isinstance(event, Fault) else None) == vector.get("expected_error")
    (frame,) = frames_in(raw, size)
    found = fields(frame)
    assert {f["field"]: f["value"] for f in vector["fields"]}.items() <= found.items()
    assert frame.message is not None
    units = {field.name: field.unit for field in frame.message.fields}
    for field in vector["fields"]:
        if field.get("unit"):
            assert units[field["field"]] == field["unit"]
        for beside in ("valve", "battery_low"):
            if beside in field:
                assert found[beside] == field[beside]
    assert encode(frame) == raw


@given(
    st.integers(0, 255), st.integers(0, 10**14 - 1), st.integers(0, 255),
    st.binary(max_size=255), st.integers(0, 8),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read(
    kind: int, address: int, control: int, data: bytes, wake: int
) -> None:
    frame = Frame(kind, f"{address:014d}", control, data, wake, understand(control, data))
    assert frames_in(encode(frame)) == [frame]


@pytest.mark.parametrize("identifier", ["901F", "D120", "8102", "810A", "A017", "A018"])
@pytest.mark.parametrize("order", ["901F", "1F90"])
def test_an_identifier_is_known_in_either_order(identifier: str, order: str) -> None:
    raw = wire_of(identifier, "901F" if order == "901F" else "1F90")
    assert identifier_of(raw) == (identifier, order)


def test_a_value_is_the_same_in_every_unit_that_it_may_stand_in() -> None:
    gj = next(unit for unit in UNITS.values() if unit.text == "GJ")
    assert in_base(3600, 2, gj.text) == 10000.0
    assert in_base(29, 2, "m3") == 0.29
    assert in_base(123456, 2, "L") == 1.23456
    assert in_base(150, 2, "MW") == 1500.0


def test_temperatures_below_zero_have_the_highest_bit() -> None:
    heat = bytearray(
        bytes.fromhex(next(v for v in VALID if v["name"] == "T25_C81_1912_0fab")["hex"])[11:-2]
    )
    heat[28:31] = bytes.fromhex("500380")
    message = understand(0x81, bytes(heat))
    assert {f.name: f.value for f in message.fields}["supply_temperature"] == -3.5
    assert message.flaws == ()


def test_units_of_tens_and_of_joules_an_hour_are_what_they_say() -> None:
    assert in_base(150, 2, UNITS[0x06].text) == 15.0
    assert in_base(150, 2, UNITS[0x2D].text) == 15.0
    assert in_base(36, 1, UNITS[0x49].text) == 1000.0
    assert {UNITS[code].quantity for code in range(0x40, 0x4C) if code in UNITS} == {"power"}
    assert len(UNITS) == 50
    for code in (0x00, 0x1D, 0x28, 0x38, 0x41, 0x4C, 0xFF):
        assert code not in UNITS


def test_a_time_asked_for_alone_and_a_confirmed_write_are_told() -> None:
    time = understand(0x81, bytes.fromhex("7F900130201018072620"))
    assert time.identifier == "907F"
    assert [f.value for f in time.fields] == ["2026-07-18T10:20:30"]
    confirmed = understand(0x84, bytes.fromhex("A01101"))
    assert (confirmed.flaws, confirmed.fields) == ((), ())
    assert understand(0x84, bytes.fromhex("A010010100")).status == 0x0100


def test_a_refusal_may_have_an_identifier_before_its_state() -> None:
    assert understand(0xC1, bytes.fromhex("070102")).status == 0x0102
    assert understand(0xC1, bytes.fromhex("1F90070102")).status == 0x0102
    assert understand(0xC1, b"").flaws
