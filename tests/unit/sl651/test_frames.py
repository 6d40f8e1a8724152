"""SL 651 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from kit.streams import Stream, StreamTests, vectors

from headgate_drivers.sl651.codec import Codec, compose
from headgate_drivers.sl651.crc import crc16
from headgate_drivers.sl651.elements import ELEMENTS
from headgate_drivers.sl651.frames import LONGEST, Coding, Control, Direction, Fault, Frame, encode
from headgate_drivers.sl651.items import (
    Element,
    Item,
    Message,
    Observed,
    Picture,
    Raw,
    Slots,
    Station,
    Status,
    Step,
    Text,
)  # fmt: skip
from headgate_drivers.sl651.packets import Assembly

VECTORS = vectors("sl651")
VALID = [v for v in VECTORS if v["kind"] == "valid" and "hex" in v]
PICTURE = next(v for v in VECTORS if "packets" in v)
GOOD = bytes.fromhex(VALID[1]["hex"])
NOISE = (b"", b"\r\n", b"+IPD,60:", b"~", b"\x01", b"\xfe\xfe\x68\x7e\x00", b"\x7e\x7e\x7e", b"01A")

STREAM = Stream(Codec, Frame)
all_of, frames_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, GOOD
    longest = LONGEST
    encode = staticmethod(encode)
    noise = NOISE


def said(item: Item) -> list[tuple[str, Any]]:
    """An item in the words of the vectors."""
    match item:
        case Station():
            kind = [] if item.kind is None else [("station_class", f"{item.kind:02X}")]
            return [("station_address", item.address), *kind]
        case Observed():
            return [("observation_time", f"{item.at:%Y-%m-%dT%H:%M}" if item.at else None)]
        case Element(parameter=True):
            return [(f"param_{item.code:02X}", item.value)]
        case Element() if item.code in ELEMENTS:
            return [(f"{item.code:02X}_{ELEMENTS[item.code].ascii}", item.value)]
        case Element():  # in no table, or a user's own
            return [(f"{item.code:02X}", item.value)]
        case Raw(code=3):
            return [("new_password", item.data.hex().upper()), ("param_03", _hex(item.data))]
        case Raw():
            return [(f"param_{item.code:02X}", _hex(item.data))]
        case Slots(code=0xF4):
            return [("F4_rain_5min_x12", list(item.values))]
        case Slots():
            return [(f"{item.code:02X}_relative_level_5min_x12", list(item.values))]
        case Step():
            step = {"day": item.days, "hour": item.hours, "minute": item.minutes}
            return [("04_step_code", step)]
        case Status():
            return [("45_station_status", f"0x{item.word:08X}")]
        case Text():
            return [("F2_manual_text", item.text)]
        case _:
            return []


def _hex(data: bytes) -> str:
    return "hex:" + data.hex().upper()


def fields(frame: Frame) -> list[tuple[str, Any]]:
    message = frame.message
    assert message is not None
    assert message.sent_at is not None
    return [
        ("center", frame.centre),
        ("address", frame.address),
        (
            "address_form",
            "hydrological_station_code" if frame.hydrological else "admin_code+terminal",
        ),
        ("password", frame.password),
        ("function", f"{frame.function:02X}"),
        ("body_length", frame.body_length),
        ("start_char", "SYN" if frame.total else "STX"),
        ("end_char", frame.end.name),
        ("serial", message.serial),
        ("send_time", message.sent_at.isoformat()),
        *(pair for item in message.items for pair in said(item)),
        ("body_rest", frame.body[8:].hex().upper()),
    ]


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_every_frame_says_what_it_says(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = frames_in(raw)
    found = fields(frame)
    at = 0
    for field in vector["fields"]:
        # In the order of the wire: an observation time holds for what follows it.
        wanted = (field["field"], field["value"])
        assert wanted in found[at:]
        at = found.index(wanted, at)
        if "bits_set" in field:
            status = next(i for i in frame.message.items if isinstance(i, Status))  # type: ignore[union-attr]
            assert list(status.bits) == field["bits_set"]
    assert frame.direction is (Direction.UP if vector["direction"] == "up" else Direction.DOWN)
    assert encode(frame) == raw
    assert frame.message is not None
    assert compose(frame.message, frame.coding) == frame.body


def test_a_length_that_swallows_its_follower_does_not_lose_it() -> None:
    swallows = GOOD[:11] + b"\x0f\xff" + GOOD[13:]
    events = all_of(swallows + GOOD)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("truncated", len(GOOD))
    assert events[1:] == all_of(GOOD)


def test_a_frame_is_found_inside_of_one_whose_length_ends_with_it() -> None:
    length = 2 * len(GOOD) - 14 - 3
    swallows = GOOD[:11] + length.to_bytes(2, "big") + GOOD[13:]
    events = all_of(swallows + GOOD)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("bad_checksum", len(GOOD))
    assert events[1:] == all_of(GOOD)


@pytest.mark.parametrize(
    ("at", "byte", "code"),
    [(11, 0x40, "bad_length"), (13, 0x04, "bad_start"), (55, 0x05, "bad_end")],
)
def test_each_part_of_a_frame_has_its_fault(at: int, byte: int, code: str) -> None:
    at = at if at < 50 else len(GOOD) - 3
    event = all_of(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])[0]
    assert isinstance(event, Fault)
    assert event.code == code


def test_a_length_of_nothing_is_none() -> None:
    head = GOOD[:11] + b"\x00\x00\x02\x03"
    event = all_of(head + crc16(head).to_bytes(2, "big"))[0]
    assert isinstance(event, Fault)
    assert event.code == "bad_length"


def test_a_run_of_start_characters_is_one_fault_and_hides_nothing() -> None:
    events = all_of(b"\x7e" * 3000 + GOOD)
    assert len(events) <= 3
    assert events[-1:] == all_of(GOOD)


def test_what_is_good_in_a_bad_body_can_be_used() -> None:
    body = bytes.fromhex("0001260718143005F1F1006151204548F0F026071814303923000A187038121236")
    frame = Frame(Direction.UP, 1, "0061512045", "1234", 0x32, Control.ETX, body)
    (event,) = all_of(encode(frame))
    assert isinstance(event, Fault)
    assert event.code == "bad_field"
    assert event.frame is not None
    assert event.frame.message is not None
    values = [i.value for i in event.frame.message.items if isinstance(i, Element)]
    assert values == [None, 12.36]


def assembled(order: list[int]) -> tuple[Assembly, Frame | None]:
    assembly, whole = Assembly(), None
    for number in order:
        (packet,) = frames_in(bytes.fromhex(PICTURE["packets"][number]))
        whole = assembly.add(packet) or whole
    return assembly, whole


@pytest.mark.parametrize("order", [list(range(13)), list(range(12, -1, -1)), [0, 0, *range(13)]])
def test_a_picture_is_whole_in_whatever_order_its_packets_come(order: list[int]) -> None:
    _, whole = assembled(order)
    assert whole is not None
    assert whole.message is not None
    wanted = {field["field"]: field["value"] for field in PICTURE["fields"]}
    picture = next(item for item in whole.message.items if isinstance(item, Picture))
    assert whole.total == wanted["packet_total"]
    assert whole.message.serial == wanted["serial"]
    assert len(picture.data) == wanted["picture_length"]
    assert hashlib.sha256(picture.data).hexdigest() == wanted["picture_sha256"]
    assert ("observation_time", wanted["observation_time"]) in fields(whole)


def test_a_packet_that_is_missing_is_named() -> None:
    assembly, whole = assembled([n for n in range(13) if n not in (3, 7)])
    assert whole is None
    assert assembly.missing() == (4, 8)


def test_packets_of_too_much_are_dropped() -> None:
    assembly = Assembly(most_bytes=300)
    for text in PICTURE["packets"]:
        assert assembly.add(frames_in(bytes.fromhex(text))[0]) is None
        assert assembly.size <= 300


def test_both_codings_share_a_line() -> None:
    message = Message(7, "260718143005", (Station("0061512045", 0x48), Observed("2607181430")))
    frames = [
        Frame(
            Direction.UP, 1, "0061512045", "1234", 0x32, Control.ETX,
            compose(message, coding), coding=coding,
        )
        for coding in (Coding.ASCII, Coding.BCD, Coding.ASCII)
    ]  # fmt: skip
    raw = b"".join(encode(frame) for frame in frames)
    for size in (0, 1, 13):
        found = frames_in(b"\x01\x01noise" + raw, size)
        assert [frame.coding for frame in found] == [frame.coding for frame in frames]
        assert [frame.message for frame in found] == [message] * 3
