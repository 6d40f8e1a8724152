"""One object of an application data unit, read and written by its layout."""

from __future__ import annotations

import struct

from headgate_drivers.gb26875.frames import moment, stamp_of
from headgate_drivers.gb26875.items import (
    Analogue,
    Ask,
    Clock,
    Configuration,
    Item,
    Operation,
    Order,
    Part,
    State,
    Version,
)
from headgate_drivers.gb26875.layouts import TEXT, Layout, What, Whose


def read(layout: Layout, raw: bytes) -> Item:
    """An object of exactly its size."""
    whose, what = layout.whose, layout.what
    part, data = _part(whose, raw), raw[whose.value :]
    at = moment(data[-6:]) if len(data) >= 6 else None
    match what:
        case What.STATE_8:
            return State(part, data[0], at)
        case What.STATE_16:
            return State(part, int.from_bytes(data[:2], "little"), at)
        case What.STATE_TEXT:
            return State(part, int.from_bytes(data[:2], "little"), at, text(data[2 : 2 + TEXT]))
        case What.ANALOGUE:
            assert part is not None
            return Analogue(part, data[0], int.from_bytes(data[1:3], "little", signed=True), at)
        case What.OPERATION:
            return Operation(part, data[0], data[1], at)
        case What.VERSION:
            return Version(part, data[0], data[1])
        case What.LONG_TEXT:
            return Configuration(part, text(data[1:]))
        case What.TEXT:
            return Configuration(part, text(data))
        case What.TIME:
            return Clock(part, at)
        case What.HISTORY:
            return Ask(part, data[0], at)
        case What.NUMBER:
            return Order(data[0])
        case _:
            return Ask(part)


def write(layout: Layout, item: Item) -> bytes:
    """The bytes of an object.

    Raises:
        ValueError: an item that has no place here, a number or a text that has no room.
    """
    whose, what = layout.whose, layout.what
    try:
        return _part_bytes(whose, getattr(item, "part", None)) + _bytes(what, item)
    except struct.error as error:
        raise ValueError(str(error)) from None


def _bytes(what: What, item: Item) -> bytes:
    match what, item:
        case What.STATE_8, State():
            return struct.pack("B", item.word) + stamp_of(item.at)
        case What.STATE_16, State():
            return struct.pack("<H", item.word) + stamp_of(item.at)
        case What.STATE_TEXT, State():
            return struct.pack("<H", item.word) + _padded(item.text) + stamp_of(item.at)
        case What.ANALOGUE, Analogue():
            return struct.pack("<Bh", item.kind, item.raw) + stamp_of(item.at)
        case What.OPERATION, Operation():
            return struct.pack("BB", item.flags, item.operator) + stamp_of(item.at)
        case What.VERSION, Version():
            return struct.pack("BB", item.main, item.minor)
        case What.LONG_TEXT, Configuration():
            raw = item.text.encode("gb18030")
            return struct.pack("B", len(raw)) + raw
        case What.TEXT, Configuration():
            return _padded(item.text)
        case What.TIME, Clock():
            return stamp_of(item.at)
        case What.HISTORY, Ask():
            return struct.pack("B", item.count or 0) + stamp_of(item.since)
        case What.NUMBER, Order():
            return struct.pack("B", item.value)
        case What.RESERVED, Ask():
            return b"\0"
        case What.NOTHING, Ask():
            return b""
        case _:
            raise ValueError(f"{type(item).__name__} is not {what.value}")


def text(raw: bytes) -> str:
    """Words as they stand in a frame: GB 18030, nothing behind the first zero, no padding."""
    return raw.partition(b"\0")[0].decode("gb18030", "replace").rstrip()


def _padded(words: str) -> bytes:
    raw = words.encode("gb18030")
    if len(raw) > TEXT:
        raise ValueError(f"{len(raw)} bytes of text, {TEXT} have room")
    return raw.ljust(TEXT, b"\0")


def _part(whose: Whose, raw: bytes) -> Part | None:
    match whose:
        case Whose.TRANSMITTER:
            return None
        case Whose.SYSTEM:
            return Part(raw[0], raw[1])
        case Whose.ASKED:
            return Part(raw[0], raw[1], None, int.from_bytes(raw[2:6], "little"))
        case Whose.COMPONENT:
            return Part(raw[0], raw[1], raw[2], int.from_bytes(raw[3:7], "little"))


def _part_bytes(whose: Whose, part: Part | None) -> bytes:
    if whose is Whose.TRANSMITTER:
        return b""
    if part is None:
        raise ValueError("an object of a system says which one")
    match whose:
        case Whose.SYSTEM:
            return struct.pack("BB", part.system, part.number)
        case Whose.ASKED:
            return struct.pack("<BBI", part.system, part.number, part.address or 0)
        case _:
            kind, address = part.kind or 0, part.address or 0
            return struct.pack("<BBBI", part.system, part.number, kind, address)
