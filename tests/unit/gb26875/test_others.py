"""Frames that others made and captured, read as they say; where makers stray, the standard decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import Command, Fault, encode
from headgate_drivers.gb26875.items import (
    Ask,
    Clock,
    Item,
    Message,
    Operation,
    Order,
    Raw,
    State,
    Version,
)
from headgate_drivers.gb26875.points import name_of
from headgate_drivers.gb26875.tables import called

OTHERS = json.loads((Path(__file__).parent / "others.json").read_text())


def said(item: Item, kind: int) -> str:
    """An object in the words of the file."""
    match item:
        case State(part=part):
            what = "" if part is None else called(part)
            words = [name_of(part), what, *item.bits, item.text, item.at and item.at.isoformat()]
        case Operation(part=part):
            at = item.at and item.at.isoformat()
            words = [name_of(part), *item.acts, f"operator {item.operator}", at]
        case Version(part=part):
            words = [name_of(part), f"{item.main}.{item.minor}"]
        case Clock(part=part):
            words = [name_of(part), item.at and item.at.isoformat()]
        case Ask(part=part):
            words = [name_of(part), "?"]
        case Order():
            words = ["order", str(item.value)]
        case Raw():
            words = [str(kind), item.data.hex().upper()]
        case _:
            words = [type(item).__name__]
    return " ".join(filter(None, words))


def says(message: Message | None) -> list[str] | None:
    if message is None:
        return None
    return [
        *(said(item, message.type) for item in message.items), *(f"! {f}" for f in message.flaws)
    ]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS["frames"], ids=lambda other: other["what"])
@pytest.mark.parametrize("size", [1, 0])
def test_what_others_send_is_read_as_they_say(other: dict[str, Any], size: int) -> None:
    raw, codec = bytes.fromhex(other["hex"]), Codec()
    pieces = [raw[at : at + 1] for at in range(len(raw))] if size else [raw]
    (found,) = [event for piece in pieces for event in codec.feed(piece)]
    if "fault" in other:
        assert isinstance(found, Fault)
        assert (found.code, found.consumed) == (other["fault"], len(raw))
        return
    if isinstance(found, Fault):  # right, but for its objects
        assert found.code == "bad_field" and found.frame is not None
        assert found.frame.message is not None and found.frame.message.flaws
        found = found.frame
    # Table 1, read once more: bytes are counted from 1 there.
    assert raw[2:4] == bytes([found.serial & 0xFF, found.serial >> 8])
    assert (raw[4], raw[5]) == found.version
    assert found.sent_at is not None
    at = found.sent_at
    assert list(raw[6:12]) == [at.second, at.minute, at.hour, at.day, at.month, at.year - 2000]
    assert sum(byte << 8 * place for place, byte in enumerate(raw[12:18])) == found.source
    assert sum(byte << 8 * place for place, byte in enumerate(raw[18:24])) == found.target
    assert found.command == Command(raw[26])
    assert sum(raw[2:-3]) % 256 == raw[-3]
    assert says(found.message) == other["says"]
    assert encode(found) == raw


@pytest.mark.parametrize("other", OTHERS["units"], ids=lambda other: other["hex"])
def test_what_others_ask_is_read_and_written_the_same(other: dict[str, Any]) -> None:
    raw = bytes.fromhex(other["hex"])
    message = adu.read(raw)
    assert message is not None
    assert says(message) == other["says"]
    assert adu.write(message) == raw


def test_objects_without_their_times_are_read_and_said_to_lack_them() -> None:
    """Figure 5 lets a unit leave them out, clause 8.3.1 does not; a platform in Erlang reads both."""
    message = adu.read(bytes.fromhex("0102" + "01010300" + "01020500"))
    assert message is not None
    assert [(s.word, s.at) for s in message.items if isinstance(s, State)] == [(3, None), (5, None)]
    assert message.flaws == ("type 1: objects without their times",)


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        ("19010102" + "0A0B0C0D0C15", "transmitter 1.2"),
        ("15010A" + "0A0B0C0D0C15" * 2, "transmitter fire main_power_fault 2021-12-13T12:11:10"),
        ("050101020304" + "0A0B0C0D0C15", "system/1.2 3.4"),
        ("1A0102" + "3132" + "0A0B0C0D0C15", "Configuration"),
    ],
)
def test_a_time_more_than_the_standard_has_is_said_and_harms_nothing(
    unit: str, wanted: str
) -> None:
    """A simulator of one transmitter (JK-GH2013G) ends every object with the time of figure 5."""
    message = adu.read(bytes.fromhex(unit))
    assert message is not None
    assert [said(item, message.type) for item in message.items] == [wanted]
    assert message.flaws == (f"type {message.type}: objects bear one more time",)


@pytest.mark.parametrize(
    ("unit", "flaw"),
    [
        ("01050101030000000C01011A" + "01020500" + "00000C01011A", "5 objects are said, 2 are there"),
        ("1502010A0B0C0D0C15" + "030A0B0C0D0C15", "2 objects, at most 1 are allowed"),
    ],
)  # fmt: skip
def test_a_number_that_is_wrong_is_no_other_layout(unit: str, flaw: str) -> None:
    message = adu.read(bytes.fromhex(unit))
    assert message is not None
    assert len(message.items) == 2
    assert message.flaws == (f"type {message.type}: {flaw}",)
