"""GB/T 26875.3 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.streams import Stream, StreamTests, vectors

from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import (
    LONGEST,
    LONGEST_ADU,
    Command,
    Fault,
    Frame,
    encode,
    moment,
    stamp_of,
)
from headgate_drivers.gb26875.items import (
    QUANTITIES,
    Analogue,
    Ask,
    Clock,
    Configuration,
    Item,
    Message,
    Operation,
    Order,
    Part,
    Raw,
    State,
    Version,
)
from headgate_drivers.gb26875.layouts import LAYOUTS, size_of
from headgate_drivers.gb26875.tables import COMPONENTS, SYSTEMS

VECTORS = vectors("gb26875")
VALID = [v for v in VECTORS if v["kind"] == "valid"]
GOOD = bytes.fromhex(VALID[5]["hex"])
NOISE = (
    b"",
    b"\r\n",
    b"+IPD,60:",
    b"#",
    b"##",
    b"\xfe\x68\x16",
    b"@\x00",
    b"@@ no frame ",
    b"\x7e@",
)
AT = datetime(2026, 7, 18, 14, 30, 15)  # noqa: DTZ001

STREAM = Stream(Codec, Frame)
all_of, frames_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, GOOD
    longest = LONGEST
    encode = staticmethod(encode)
    noise = NOISE


def iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def said(index: int, item: Item) -> dict[str, Any]:
    """An object in the words of the vectors."""
    match item:
        case State(part=None):
            return {"transmitter_status": f"{item.word:02X}"}
        case State(part=part) if part is not None and part.address is not None:
            return {
                f"component_{index}": {
                    "system_type": part.system, "system_address": part.number, "type": part.kind,
                    "address": part.address, "bits": list(item.bits), "text": item.text,
                    "time": iso(item.at),
                }
            }  # fmt: skip
        case Analogue():
            return {f"analog_{index}": item.value}
        case Operation(part=None):
            return {
                "transmitter_operation": {
                    "flag": f"{item.flags:02X}", "operator": item.operator, "time": iso(item.at),
                }
            }  # fmt: skip
        case Version(part=None):
            return {"transmitter_version": f"{item.main}.{item.minor}"}
        case Order():
            return {"command_object": f"{item.value:02X}"}
        case _:
            return {}


def fields(frame: Frame) -> dict[str, Any]:
    found: dict[str, Any] = {
        "serial": frame.serial,
        "version": f"{frame.version[0]}.{frame.version[1]}",
        "time": iso(frame.sent_at),
        "source": frame.source,
        "target": frame.target,
        "adu_length": len(frame.adu),
        "command": Command(frame.command).name.lower(),
    }
    if frame.message is not None:
        found |= {"type": frame.message.type, "objects": frame.message.count}
        for index, item in enumerate(frame.message.items):
            found |= said(index, item)
    return found


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_every_frame_says_what_it_says(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = frames_in(raw)
    found = fields(frame)
    assert {f["field"]: f["value"] for f in vector["fields"]}.items() <= found.items()
    for field in vector["fields"]:
        if field["field"].startswith("analog"):
            assert frame.message is not None
            (item,) = frame.message.items
            assert isinstance(item, Analogue)
            assert iso(item.at) == field["time"]
            assert item.part.address == field["component"]["address"]
    assert encode(frame) == raw
    if frame.message is not None:
        assert adu.write(frame.message) == frame.adu


def test_a_length_that_swallows_its_follower_does_not_lose_it() -> None:
    swallows = GOOD[:24] + b"\x00\x04" + GOOD[26:]
    events = all_of(swallows + GOOD)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("truncated", len(GOOD))
    assert events[1:] == all_of(GOOD)


def test_a_length_that_is_not_allowed_is_no_reason_to_wait() -> None:
    events = all_of(GOOD[:24] + b"\x01\x04" + GOOD[26:])
    assert isinstance(events[0], Fault)
    assert events[0].code == "bad_length"


@pytest.mark.parametrize("change", [b"\x02\x02", b"\x02\x00", b"\x15\x01"])
def test_objects_that_do_not_fit_what_is_said_are_told_with_their_frame(change: bytes) -> None:
    (frame,) = frames_in(GOOD)
    wrong = Frame(
        7, (1, 1), stamp_of(AT), 1, 2, Command.SEND_DATA, change + frame.adu[2:]
    )  # fmt: skip
    (found,) = all_of(encode(wrong))
    assert isinstance(found, Fault) and found.frame is not None
    assert (found.code, found.frame.adu) == ("bad_field", wrong.adu)
    assert found.frame.message is not None
    assert found.frame.message.flaws == (found.detail,)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (GOOD[:-3] + bytes([GOOD[-3] ^ 1]) + GOOD[-2:], "bad_checksum"),
        (GOOD[:-2] + b"#\x13", "bad_end"),
        (GOOD[:24] + b"\x01\x04" + GOOD[26:], "bad_length"),
    ],
)
def test_a_check_that_failed_says_enough_to_deny_it(broken: bytes, code: str) -> None:
    event = all_of(broken)[0]
    assert isinstance(event, Fault)
    assert event.code == code
    assert event.frame is not None
    assert (event.frame.serial, event.frame.target) == (0, 1108152157446)
    assert event.frame.command == Command.SEND_DATA


PARTS = st.builds(Part, st.integers(0, 255), st.integers(0, 255))
WITHIN = st.builds(
    Part, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1)
)
TIMES = st.none() | st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001
    max_value=datetime(2099, 12, 31),  # noqa: DTZ001
).map(lambda at: at.replace(microsecond=0))
TEXTS = st.text("烟感温度A区1层呷哺走廊", max_size=15)
BYTE, WORD = st.integers(0, 255), st.integers(0, 0xFFFF)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kinds: dict[int, st.SearchStrategy[Any]] = {
        1: st.builds(State, PARTS, WORD, TIMES),
        2: st.builds(State, WITHIN, WORD, TIMES, TEXTS),
        3: st.builds(Analogue, WITHIN, BYTE, st.integers(-32768, 32767), TIMES),
        4: st.builds(Operation, PARTS, BYTE, BYTE, TIMES),
        5: st.builds(Version, PARTS, BYTE, BYTE),
        6: st.builds(Configuration, PARTS, TEXTS),
        7: st.builds(Configuration, WITHIN, TEXTS),
        8: st.builds(Clock, PARTS, TIMES),
        21: st.builds(State, st.none(), BYTE, TIMES),
        24: st.builds(Operation, st.none(), BYTE, BYTE, TIMES),
        25: st.builds(Version, st.none(), BYTE, BYTE),
        26: st.builds(Configuration, st.none(), TEXTS),
        28: st.builds(Clock, st.none(), TIMES),
        61: st.builds(Ask, PARTS),
        64: st.builds(Ask, PARTS, BYTE, TIMES),
        81: st.just(Ask(None)),
        84: st.builds(Ask, st.none(), BYTE, TIMES),
        90: st.builds(Clock, st.none(), TIMES),
        91: st.builds(Order, BYTE),
        150: st.builds(Raw, st.binary(max_size=200)),
    }
    kind = draw(st.sampled_from(sorted(kinds)))
    most = min(LAYOUTS[kind].most, 4) if kind in LAYOUTS else 1
    items = draw(st.lists(kinds[kind], min_size=1, max_size=most))
    return Message(kind, len(items), tuple(items))


@given(messages(), WORD, st.integers(0, 2**48 - 1))
@settings(max_examples=120, deadline=None)
def test_what_is_written_is_read_again(message: Message, serial: int, source: int) -> None:
    frame = Frame(
        serial, (1, 2), stamp_of(AT), source, 1, Command.SEND_DATA, adu.write(message), message
    )
    assert all_of(encode(frame)) == [frame]


#: Clause 8.3: bytes of one object (text of no length), and how many of them a unit may hold.
SIZES = {
    1: (10, 102), 2: (46, 22), 3: (16, 63), 4: (10, 102), 5: (4, 1), 6: (3, 3), 7: (38, 26), 8: (8, 1),
    21: (7, 1), 24: (8, 127), 25: (2, 1), 26: (1, 1), 28: (6, 1),
    61: (2, 102), 62: (6, 22), 63: (6, 63), 64: (9, 1), 65: (2, 1), 66: (2, 3), 67: (6, 26), 68: (2, 1),
    81: (1, 1), 84: (7, 1), 85: (1, 1), 86: (1, 1), 88: (1, 1), 89: (1, 1), 90: (6, 1), 91: (1, 1),
}  # fmt: skip


def test_every_type_of_the_standard_has_its_layout() -> None:
    found = {kind: (size_of(each, bytes(64), 0), each.most) for kind, each in LAYOUTS.items()}
    assert found == SIZES
    for kind, (size, most) in SIZES.items():
        assert 2 + (255 + size if kind in (6, 26) else size) * most <= LONGEST_ADU


def test_more_objects_than_a_unit_may_hold_are_not_written() -> None:
    with pytest.raises(ValueError, match="holds 1, not 2"):
        adu.write(Message(90, 2, (Clock(None, AT), Clock(None, AT))))


def test_every_type_of_tables_4_and_5_has_its_name() -> None:
    reserved = {
        *range(2, 10), 14, 15, 19, 20, *range(26, 30), 38, 39, *range(45, 50), *range(54, 61),
        *range(63, 69), *range(70, 74), *range(75, 78), 80, 89, 90, 93, 94, 100, *range(107, 111), 112,
        119, 120, *range(122, 128),
    }  # fmt: skip
    assert set(COMPONENTS) == set(range(128)) - reserved
    assert set(SYSTEMS) == {0, 1, *range(10, 25)}
    assert set(QUANTITIES) == set(range(1, 13))


@pytest.mark.parametrize("stamp", ["000000000000", "3C0000010107", "0000000101C8", "00000000011A"])
def test_six_bytes_that_are_no_time_are_none(stamp: str) -> None:
    assert moment(bytes.fromhex(stamp)) is None
