"""Frames: whole, byte by byte, with noise before and after, and hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sdk import DeviceRefused, Frame, Framing, ProtocolError
from headgate_drivers.modbus.codec import MbapFraming, Request, RtuFraming, answer_data, crc16

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "protocols" / "modbus.json").read_text()
)["vectors"]
VALID = [v for v in VECTORS if v["kind"] == "valid" and v["response"]]
BROKEN = [v for v in VECTORS if v["kind"] == "broken"]


def framing_of(vector: dict[str, object]) -> MbapFraming | RtuFraming:
    return MbapFraming() if "tcp" in str(vector["name"]) else RtuFraming()


def drain(framing: Framing, buffer: bytearray) -> list[Frame]:
    found = []
    while (frame := framing.next(buffer)) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_a_recorded_answer_is_one_frame(vector: dict[str, str]) -> None:
    framing = framing_of(vector)
    answer = bytes.fromhex(vector["response"])
    body = answer[6:] if isinstance(framing, MbapFraming) else answer[:-2]
    whole = drain(framing, bytearray(answer))
    assert [frame.payload for frame in whole] == [body]

    fed = bytearray()
    by_byte = []
    for byte in answer:
        fed.append(byte)
        by_byte += drain(framing, fed)
    assert by_byte == whole
    assert not fed

    trailing = bytearray(answer + b"\x01")
    assert drain(framing, trailing) == whole
    assert trailing == b"\x01"


@pytest.mark.parametrize(
    "vector",
    [v for v in VALID if int(v["request"][2:4], 16) in (1, 2, 3, 4)],
    ids=lambda v: v["name"],
)
def test_a_request_is_built_as_recorded(vector: dict[str, str]) -> None:
    sent = bytes.fromhex(vector["request"])
    framing = framing_of(vector)
    pdu = sent[7:] if isinstance(framing, MbapFraming) else sent[1:-2]
    unit = sent[6] if isinstance(framing, MbapFraming) else sent[0]
    request = Request(pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))
    assert request.pdu() == pdu
    frame, key = framing.wrap(1, unit, pdu)
    assert frame == sent
    answer = drain(framing, bytearray.fromhex(vector["response"]))[0]
    assert answer.key == key
    assert len(answer_data(answer.payload, unit, request)) == request.data_size()


@pytest.mark.parametrize("vector", BROKEN, ids=lambda v: v["name"])
def test_a_broken_answer_gives_no_value(vector: dict[str, str]) -> None:
    framing = framing_of(vector)
    frames = drain(framing, bytearray.fromhex(vector["response"]))
    request = Request(3, 0, 4 if "soil" in vector["name"] else 2)
    transaction = 7
    for frame in frames:
        if isinstance(framing, MbapFraming):
            assert frame.key != transaction
        else:
            assert frame.key != (1, 3)
            with pytest.raises(ProtocolError):
                answer_data(frame.payload, 1, request)


@pytest.mark.parametrize(
    "noise", [b"\x00", b"\xff\xff\xff", b"\x00\x00\x00\x00\x00", b"GET / HTTP\r\n", bytes(40)]
)
def test_mbap_finds_the_frame_behind_noise(noise: bytes) -> None:
    answer = bytes.fromhex("0007000000070103040292ff9b")
    frames = drain(MbapFraming(), bytearray(noise + answer))
    assert frames[-1] == Frame(7, answer[6:])


@pytest.mark.parametrize(
    "noise", [b"\x00", b"\x01\x03\xfa\x00", b"\xff" * 9, bytes(40), b"\x01\x83"]
)
def test_rtu_finds_the_frame_behind_noise(noise: bytes) -> None:
    answer = bytes.fromhex("0103040292FF9B5A3D")
    assert drain(RtuFraming(), bytearray(noise + answer))[-1] == Frame((1, 3), answer[:-2])


@given(st.binary(max_size=1200), st.lists(st.integers(1, 300), max_size=12))
def test_hostile_bytes_never_raise_and_never_pile_up(data: bytes, cuts: list[int]) -> None:
    for framing in (MbapFraming(), RtuFraming()):
        buffer = bytearray()
        rest = data
        for cut in [*cuts, len(data) + 1]:
            buffer += rest[:cut]
            rest = rest[cut:]
            drain(framing, buffer)
            assert len(buffer) <= 262


@given(st.binary(max_size=260), st.integers(0, 255))
def test_an_answer_is_either_exact_or_an_error(payload: bytes, unit: int) -> None:
    request = Request(3, 0, 2)
    try:
        data = answer_data(payload, unit, request)
    except (ProtocolError, DeviceRefused):
        return
    assert payload == bytes((unit, 3, 4)) + data


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ("0103060001000200 03", ProtocolError),  # three registers for two
        ("01030200 01", ProtocolError),
        ("0203040001 0002", ProtocolError),  # another unit
        ("0104040001 0002", ProtocolError),  # another function
        ("010304000100", ProtocolError),  # less than it says
        ("01", ProtocolError),
        ("", ProtocolError),
        ("018302", DeviceRefused),
        ("018402", ProtocolError),  # an exception for another function
        ("01830200", ProtocolError),
    ],
)
def test_what_was_not_asked_for_is_never_data(payload: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer_data(bytes.fromhex(payload), 1, Request(3, 0, 2))


def test_a_refusal_carries_the_exception_code() -> None:
    with pytest.raises(DeviceRefused) as refused:
        answer_data(b"\x01\x83\x04", 1, Request(3, 0, 2))
    assert refused.value.detail == 4


def test_the_crc_is_the_published_one() -> None:
    assert crc16(b"123456789") == 0x4B37
