"""CJ/T 188 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_drivers.cjt188.codec import Codec
from headgate_drivers.cjt188.frames import LONGEST, Fault, Frame, encode
from headgate_drivers.cjt188.messages import identifier_of, understand, wire_of
from headgate_drivers.cjt188.units import UNITS, in_base

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "protocols" / "cjt188.json").read_text()
)["vectors"]
VALID = [v for v in VECTORS if v["kind"] == "valid"]
BROKEN = [v for v in VECTORS if v["kind"] == "broken"]
GOOD = bytes.fromhex(VALID[1]["hex"])
NOISE = (b"", b"\xfe\xfe\xfe", b"\x68", b"\x00\xff\x16", b"AT+OK\r\n", b"\x68\x68\x68")


def names(vectors: list[dict[str, Any]]) -> list[str]:
    return [v["name"] for v in vectors]


def all_of(data: bytes, size: int = 0) -> list[Frame | Fault]:
    """What comes out of a stream that then ends; in pieces of `size` bytes."""
    codec = Codec()
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    found = [event for piece in pieces for event in codec.feed(piece)]
    last = codec.end()
    return [*found, last] if last else found


def frames_in(data: bytes, size: int = 0) -> list[Frame]:
    """Whole frames, also those in which a meter refuses."""
    events = all_of(data, size)
    found = [event if isinstance(event, Frame) else event.frame for event in events]
    return [frame for frame in found if frame is not None]


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


@pytest.mark.parametrize("vector", VALID, ids=names(VALID))
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


@pytest.mark.parametrize("vector", BROKEN, ids=names(BROKEN))
@pytest.mark.parametrize("size", [0, 1, 7])
def test_every_broken_frame_is_its_own_fault(vector: dict[str, Any], size: int) -> None:
    raw = bytes.fromhex(vector["hex"])
    events = all_of(raw, size)
    assert isinstance(events[0], Fault)
    assert events[0].code == vector["expected_error"]
    assert sum(event.consumed for event in events if isinstance(event, Fault)) == len(raw)
    if vector["expected_error"] == "truncated":
        codec = Codec()
        assert codec.feed(raw) == []
        assert codec.waiting == len(raw)


@pytest.mark.parametrize("vector", BROKEN, ids=names(BROKEN))
def test_the_frame_behind_a_broken_one_is_found(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    for size in (0, 1, 11):
        assert frames_in(raw + GOOD + GOOD, size)[-2:] == frames_in(GOOD) * 2


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_a_frame_cut_off_does_not_lose_the_next(cut: int) -> None:
    for size in (0, 1):
        assert frames_in(GOOD[:cut] + GOOD * 2, size)[-1:] == frames_in(GOOD)


@pytest.mark.parametrize("before", NOISE)
@pytest.mark.parametrize("behind", NOISE)
def test_noise_around_frames_changes_nothing(before: bytes, behind: bytes) -> None:
    raw = [bytes.fromhex(v["hex"]) for v in VALID[1:5]]
    wanted = [(f.address, f.data) for each in raw for f in frames_in(each)]
    stream = before + raw[0] + raw[1] + behind + raw[2] + behind + raw[3]
    for size in (0, 1):
        assert [(f.address, f.data) for f in frames_in(stream, size)] == wanted


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_it_does_not_matter_how_a_stream_is_cut(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(VECTORS), min_size=1, max_size=4))
    raw = b"".join(bytes.fromhex(v["hex"]) for v in chosen)
    cut = [f for f in all_of(raw, data.draw(st.integers(1, 90))) if isinstance(f, Frame)]
    assert cut == [f for f in all_of(raw) if isinstance(f, Frame)]


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


@given(st.binary(max_size=300), st.integers(1, 50))
@settings(max_examples=80, deadline=None)
def test_hostile_bytes_are_counted_and_bounded(noise: bytes, size: int) -> None:
    codec = Codec()
    raw = noise + GOOD[:9] + noise + GOOD
    taken = 0
    for at in range(0, len(raw), size):
        for event in codec.feed(raw[at : at + size]):
            taken += event.consumed if isinstance(event, Fault) else event.size
        assert codec.waiting <= LONGEST
    assert taken + codec.waiting == len(raw)


def test_a_flood_is_not_kept() -> None:
    rng = random.Random(188)
    codec = Codec()
    for begins in (b"\xfe", b"\x68", GOOD[:11]):
        codec.feed(begins * 30_000)
        assert codec.waiting <= LONGEST
        codec.feed(begins + rng.randbytes(100_000))
        assert codec.waiting <= LONGEST


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
