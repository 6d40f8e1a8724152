"""Frames of meters that others have published: Java, C#, Go, Python, Delphi and Lua sources, manuals, logs.

Each says what it is by the standards; checks are computed here, not by the codecs. Some were broken where
they were found, and must be found out; `the sum put right` follows such a frame, mended.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headgate_drivers.cjt188.codec import Codec as Codec188
from headgate_drivers.cjt188.frames import Frame as Frame188
from headgate_drivers.cjt188.frames import encode as encode188
from headgate_drivers.dlt645.codec import Codec as Codec645
from headgate_drivers.dlt645.frames import Frame as Frame645
from headgate_drivers.dlt645.frames import encode as encode645
from headgate_drivers.dlt698.codec import Codec as Codec698
from headgate_drivers.dlt698.frames import Frame as Frame698
from headgate_drivers.dlt698.frames import encode as encode698

PATH = Path(__file__).parents[1] / "vectors" / "protocols" / "meters_found.json"
FOUND: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))
CODECS = {"dlt645": Codec645, "cjt188": Codec188, "dlt698": Codec698}


def _crc(data: bytes) -> int:
    """CRC-16/X-25, bit by bit: the reversed polynomial 8408, begun with ones and inverted."""
    register = 0xFFFF
    for bit in (byte >> at & 1 for byte in data for at in range(8)):
        register = register >> 1 ^ (0x8408 if (register ^ bit) & 1 else 0)
    return register ^ 0xFFFF


def right(protocol: str, raw: bytes) -> bool:
    """Whether bytes are a frame with right checks, by nothing but the standards' first pages."""
    if raw[0] != 0x68 or raw[-1] != 0x16:
        return False
    if protocol == "dlt698":
        head = 4 + 1 + (raw[4] & 15) + 1 + 1
        return (
            int.from_bytes(raw[1:3], "little") + 2 == len(raw)
            and int.from_bytes(raw[head : head + 2], "little") == _crc(raw[1:head])
            and int.from_bytes(raw[-3:-1], "little") == _crc(raw[1:-3])
        )
    begins = 10 if protocol == "dlt645" else 11
    return len(raw) == begins + raw[begins - 1] + 2 and sum(raw[:-2]) % 256 == raw[-2]


def encode(frame: Any) -> bytes:
    if isinstance(frame, Frame645):
        return encode645(frame)
    return encode188(frame) if isinstance(frame, Frame188) else encode698(frame)


def fields(frame: Any) -> dict[str, Any]:
    """A frame in the words of the list."""
    if isinstance(frame, Frame698):
        server = frame.server
        said: dict[str, Any] = {
            "control": f"{frame.control:02X}", "server": server.text, "type": server.type.name.lower(),
            "logical": server.logical, "client": frame.client, "apdu": frame.apdu.hex().upper(),
        }  # fmt: skip
        if frame.split is not None:
            said["part"] = [frame.split.kind.name.lower(), frame.split.number]
        return said
    said = {"address": frame.address, "control": f"{frame.control:02X}"}
    if isinstance(frame, Frame188):
        said["type"] = f"{frame.type:02X}"
    assert frame.message is not None
    if frame.message.identifier:
        said["identifier"] = frame.message.identifier
    for field in frame.message.fields:
        said[field.name] = [field.value, field.unit] if field.unit else field.value
    return said


def events(protocol: str, raw: bytes, size: int) -> list[Any]:
    codec = CODECS[protocol]()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    found: list[Any] = [event for piece in pieces for event in codec.feed(piece)]
    last = codec.end()
    return [*found, last] if last else found


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("found", FOUND, ids=[f"{f['protocol']}-{f['hex'][:40]}" for f in FOUND])
def test_a_frame_of_another_maker_says_what_it_says(found: dict[str, Any], size: int) -> None:
    raw = bytes.fromhex(found["hex"])
    told, whole = [], []
    for event in events(found["protocol"], raw, size):
        frame = event if not hasattr(event, "code") else event.frame
        one = {"fault": event.code} if hasattr(event, "code") else {}
        told.append(one | ({"frame": fields(frame)} if frame is not None else {}))
        whole += [frame] if frame is not None else []
    if size:  # noise that comes bit by bit is more than one fault
        assert [one for one in told if "frame" in one] == [
            one for one in found["events"] if "frame" in one
        ]
        assert told[0] == found["events"][0]
    else:
        assert told == found["events"]
    for frame in whole:  # what was read is what stood there, and its checks are right
        again = encode(frame)
        assert again in raw
        assert right(found["protocol"], again.lstrip(b"\xfe"))


def test_what_is_called_broken_is_broken() -> None:
    for found in FOUND:
        faults = {event.get("fault") for event in found["events"] if "frame" not in event}
        raw = bytes.fromhex(found["hex"]).lstrip(b"\xfe")
        if right(found["protocol"], raw):
            assert not faults, found["hex"]
        elif len(found["events"]) == 1:
            assert faults, found["hex"]


def test_there_are_enough_of_each() -> None:
    count = Counter(found["protocol"] for found in FOUND)
    assert count["dlt645"] >= 90
    assert count["cjt188"] >= 60
    assert count["dlt698"] >= 30
