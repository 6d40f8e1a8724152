"""The link layer of DL/T 698.45: published frames, however they are cut, whatever stands around them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_drivers.dlt645 import codec as dlt645
from headgate_drivers.dlt645.frames import Fault as Fault645
from headgate_drivers.dlt645.frames import Frame as Frame645
from headgate_drivers.dlt645.frames import encode as encode645
from headgate_drivers.dlt698.codec import Codec
from headgate_drivers.dlt698.frames import (
    LONGEST,
    Address,
    AddressType,
    Fault,
    Frame,
    PartKind,
    encode,
    read_frame,
    x25,
)

#: A request for the voltages, as published beside a parser; the meter's logical address in its own byte.
READS = bytes.fromhex("6818004326013001 00000000A183EE 05010220000201006BAF16".replace(" ", ""))
METER = Address("201711300001")
ANSWER = Frame(0xC3, METER, 0x10, bytes.fromhex("850100400102000100"))


def all_of(data: bytes, size: int = 0) -> list[Frame | Fault]:
    codec = Codec()
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    found = [event for piece in pieces for event in codec.feed(piece)]
    last = codec.end()
    return [*found, last] if last else found


def frames_in(data: bytes, size: int = 0) -> list[Frame]:
    return [event for event in all_of(data, size) if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_published_request_is_read(size: int) -> None:
    (frame,) = all_of(b"\xfe\xfe" + READS, size)
    assert isinstance(frame, Frame)
    assert (frame.from_server, frame.function, frame.client) == (False, 3, 0xA1)
    assert frame.server == Address("000000000130", AddressType.SINGLE, 1, extended=True)
    assert frame.apdu == bytes.fromhex("0501022000020100")
    assert encode(frame) == READS


def test_the_check_is_x25() -> None:
    assert x25(b"123456789") == 0x906E


@pytest.mark.parametrize("kind", list(AddressType))
@pytest.mark.parametrize(("logical", "extended"), [(0, False), (1, False), (7, True)])
def test_every_form_of_an_address(kind: AddressType, logical: int, *, extended: bool) -> None:
    text = "AA" if kind is AddressType.BROADCAST else "AAAAAA300001"
    frame = Frame(0x43, Address(text, kind, logical, extended), 0x10, b"\x05\x01")
    assert frames_in(encode(frame)) == [frame]


def test_what_is_scrambled_is_told_plain() -> None:
    frame = Frame(0x4B, METER, 0, bytes((each + 0x33) & 0xFF for each in b"\x05\x01"))
    assert frame.scrambled
    assert frames_in(encode(frame))[0].plain == b"\x05\x01"


@pytest.mark.parametrize(
    ("change", "code"),
    [({7: 0x11}, "bad_checksum"), ({17: 0xFF}, "bad_checksum"), ({-1: 0x17}, "bad_end"),
     ({1: 0x03}, "bad_length"), ({0: 0x67}, "bad_start")],
)  # fmt: skip
def test_each_part_has_its_fault_and_the_next_frame_is_found(
    change: dict[int, int], code: str
) -> None:
    raw = bytearray(READS)
    for at, byte in change.items():
        raw[at] = byte
    for size in (0, 1):
        events = all_of(bytes(raw) + READS, size)
        assert isinstance(events[0], Fault)
        assert events[0].code == code
        assert frames_in(bytes(raw) + READS, size) == frames_in(READS)


@pytest.mark.parametrize("cut", range(1, len(READS)))
def test_a_frame_cut_off_does_not_lose_the_next(cut: int) -> None:
    assert frames_in(READS[:cut] + encode(ANSWER), 1) == [ANSWER]


@given(st.binary(max_size=60), st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(apdu: bytes, control: int, client: int) -> None:
    frame = Frame(control, METER, client, apdu)
    assert frames_in(encode(frame)) == [frame]


@given(st.binary(max_size=400), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_hostile_bytes_are_bounded(noise: bytes, size: int) -> None:
    codec = Codec()
    raw = noise + READS[:20] + noise
    for at in range(0, len(raw), size):
        codec.feed(raw[at : at + size])
        assert codec.waiting <= LONGEST


def test_a_wrong_address_cannot_be_written() -> None:
    for server in (Address(""), Address("00" * 17), Address("00", logical=3)):
        with pytest.raises(ValueError, match="address"):
            encode(Frame(0x43, server))
    assert isinstance(read_frame(READS), Frame)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_master_of_645_passes_over_a_frame_of_698(size: int) -> None:
    meter = encode645(Frame645("000000000161", 0x91, bytes.fromhex("000101020110")))
    codec, raw = dlt645.Codec(), meter + READS + meter
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    first, passed, second = [event for piece in pieces for event in codec.feed(piece)]
    assert isinstance(passed, Fault645)
    assert (passed.code, passed.consumed) == ("not_supported", len(READS))
    assert isinstance(first, Frame645)
    assert first == second


@pytest.mark.parametrize(
    ("control", "head", "part"),
    [(0xE3, "0000", (PartKind.FIRST, 0)), (0xE3, "01c0", (PartKind.MIDDLE, 1)),
     (0xE3, "0740", (PartKind.LAST, 7)), (0x63, "0581", (PartKind.CONFIRM, 0x105)), (0xC3, "0000", None)],
)  # fmt: skip
def test_a_part_of_a_split_apdu_says_which_it_is(
    control: int, head: str, part: tuple[PartKind, int] | None
) -> None:
    content = b"" if part and part[0] is PartKind.CONFIRM else b"\x85\x01"
    frame = Frame(control, METER, 0x10, bytes.fromhex(head) + content)
    (found,) = frames_in(encode(frame))
    assert found.split == (None if part is None else (*part, content))
    scrambled = Frame(control | 8, METER, 0, bytes((b + 0x33) & 0xFF for b in frame.apdu))
    assert frames_in(encode(scrambled))[0].split == found.split
    assert Frame(0x63, METER, 0, b"\x00").split is None


@pytest.mark.parametrize("length", ["19", "8119", "820019"])
def test_a_frame_that_another_carries_to_a_meter_is_no_frame_of_this_line(length: str) -> None:
    carried = bytes.fromhex("09070001" + length) + encode(Frame(0x43, METER, 0, bytes(8)))
    assert len(encode(Frame(0x43, METER, 0, bytes(8)))) == 0x19
    outer = Frame(0x43, METER, 0x10, carried + b"\x00")
    for size in (0, 1, 7):
        assert all_of(encode(outer), size) == [outer]
