"""DL/T 645 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.streams import Stream, StreamTests, Vector, vectors

from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import LONGEST, Fault, Frame, encode, same_meter
from headgate_drivers.dlt645.messages import understand

VECTORS = vectors("dlt645")
VALID = [v for v in VECTORS if v["kind"] == "valid"]
GOOD = bytes.fromhex("686101000000006891063334343534431016")

STREAM = Stream(Codec, Frame, holding="frame")
all_of, frames_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, GOOD
    longest = LONGEST
    exact = False
    floods = (b"\xfe", b"\x68\xfd\x01\x01")

    def said(self, frame: Frame) -> object:
        return frame.address, frame.data  # not how many FE stood before it

    @pytest.mark.parametrize("size", [0, 1, 7])
    def test_every_broken_frame_is_its_own_fault(self, broken: Vector, size: int) -> None:
        raw = bytes.fromhex(broken["hex"])
        codec = Codec("master")
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
        events = [event for piece in pieces for event in codec.feed(piece)]
        if broken["expected_error"] == "truncated":
            assert events == []
            assert codec.waiting == len(raw)
            events = [last] if (last := codec.end()) else []
        assert isinstance(events[0], Fault)
        assert events[0].code == broken["expected_error"]
        if events[0].code == "not_supported":  # the echo of a request, and behind it the answer
            assert isinstance(events[1], Frame)
            assert fields(events[1])["voltage_A"] == 100.1


def fields(frame: Frame) -> dict[str, Any]:
    """A frame in the words of the vectors."""
    message = frame.message
    assert message is not None
    return {
        "preamble_FE": frame.preamble,
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "direction": "reply" if frame.reply else "request",
        "error_flag": frame.refused,
        "more_frames": frame.more,
        "function": f"{frame.function:02X}",
        "DI": message.identifier,
        **{field.name: field.value for field in message.fields},
    }


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
@pytest.mark.parametrize("size", [0, 1])
def test_every_frame_says_what_it_says(vector: dict[str, Any], size: int) -> None:
    raw = bytes.fromhex(vector["hex"])
    (event,) = all_of(raw, size)
    expected = vector.get("expected_error")
    assert (event.code if isinstance(event, Fault) else None) == expected
    (frame,) = frames_in(raw, size)
    found = fields(frame)
    assert {f["field"]: f["value"] for f in vector["fields"]}.items() <= found.items()
    assert frame.message is not None
    units = {field.name: field.unit for field in frame.message.fields}
    assert {f["field"]: f["unit"] for f in vector["fields"] if "unit" in f}.items() <= units.items()
    assert frame.edition == vector["edition"]
    assert encode(frame) == raw


@pytest.mark.parametrize("count", range(9))
def test_any_number_of_fe_wakes_a_meter(count: int) -> None:
    (frame,) = all_of(b"\xfe" * count + GOOD)
    assert isinstance(frame, Frame)
    assert frame.preamble == count
    assert encode(frame) == b"\xfe" * count + GOOD


@given(st.integers(0, 10**12 - 1), st.integers(0, 255), st.binary(max_size=255), st.integers(0, 8))
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read(address: int, control: int, data: bytes, wake: int) -> None:
    frame = Frame(f"{address:012d}", control, data, wake, understand(control, data))
    assert frames_in(encode(frame)) == [frame]


def test_a_length_that_swallows_its_follower_does_not_lose_it() -> None:
    swallows = GOOD[:9] + b"\xc8" + GOOD[10:]
    events = all_of(swallows + GOOD)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("truncated", len(GOOD))
    assert events[1:] == all_of(GOOD)


def test_an_address_may_hold_every_byte_of_a_frame() -> None:
    frame = Frame("686868681668", 0x11, bytes.fromhex("00000100"))
    raw = encode(frame)
    assert [f.address for f in frames_in(b"\x68" + raw + raw)] == [frame.address] * 2


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("AAAAAAAAAAAA", "000000000161", True),
        ("AAAAAAAA0161", "000000000161", True),
        ("AAAAAAAA0162", "000000000161", False),
        ("000000000161", "000000000161", True),
    ],
)
def test_an_address_may_be_written_in_short(asked: str, answered: str, *, same: bool) -> None:
    assert same_meter(asked, answered) is same
