"""DL/T 645 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import LONGEST, Fault, Frame, encode, same_meter
from headgate_drivers.dlt645.messages import understand

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "protocols" / "dlt645.json").read_text()
)["vectors"]
VALID = [v for v in VECTORS if v["kind"] == "valid"]
BROKEN = [v for v in VECTORS if v["kind"] == "broken"]
GOOD = bytes.fromhex("686101000000006891063334343534431016")
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


@pytest.mark.parametrize("vector", VALID, ids=names(VALID))
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


@pytest.mark.parametrize("vector", BROKEN, ids=names(BROKEN))
@pytest.mark.parametrize("size", [0, 1, 7])
def test_every_broken_frame_is_its_own_fault(vector: dict[str, Any], size: int) -> None:
    raw = bytes.fromhex(vector["hex"])
    codec = Codec("master")
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    events = [event for piece in pieces for event in codec.feed(piece)]
    if vector["expected_error"] == "truncated":
        assert events == []
        assert codec.waiting == len(raw)
        events = [last] if (last := codec.end()) else []
    assert isinstance(events[0], Fault)
    assert events[0].code == vector["expected_error"]
    if events[0].code == "not_supported":  # the echo of a request, and behind it the answer
        assert isinstance(events[1], Frame)
        assert fields(events[1])["voltage_A"] == 100.1


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


@pytest.mark.parametrize("count", range(9))
def test_any_number_of_fe_wakes_a_meter(count: int) -> None:
    (frame,) = all_of(b"\xfe" * count + GOOD)
    assert isinstance(frame, Frame)
    assert frame.preamble == count
    assert encode(frame) == b"\xfe" * count + GOOD


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_it_does_not_matter_how_a_stream_is_cut(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(VECTORS), min_size=1, max_size=4))
    raw = b"".join(bytes.fromhex(v["hex"]) for v in chosen)
    cut = [f for f in all_of(raw, data.draw(st.integers(1, 90))) if isinstance(f, Frame)]
    assert cut == [f for f in all_of(raw) if isinstance(f, Frame)]


@given(st.integers(0, 10**12 - 1), st.integers(0, 255), st.binary(max_size=255), st.integers(0, 8))
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read(address: int, control: int, data: bytes, wake: int) -> None:
    frame = Frame(f"{address:012d}", control, data, wake, understand(control, data))
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
    rng = random.Random(645)
    codec = Codec()
    for begins in (b"\xfe", b"\x68", GOOD[:10], b"\x68\xfd\x01\x01"):
        codec.feed(begins * 30_000)
        assert codec.waiting <= LONGEST
        codec.feed(begins + rng.randbytes(100_000))
        assert codec.waiting <= LONGEST


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
