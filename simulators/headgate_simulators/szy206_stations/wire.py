"""Frames of SZY 206 as a station writes and reads them. Written from the standard, for a station alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

LOGIN, LOGOUT, ALIVE = 0xF0, 0xF1, 0xF2
RAIN, LEVEL, FLOW, GATE, ALARM, PRESSURE = 1, 2, 3, 5, 13, 15
LINK, PICTURE, ALARMED, VOLTAGE, REPORT = 0x02, 0x61, 0x81, 0x84, 0xC0
#: Of a picture so many bytes go in one part: L counts thousands of them.
THOUSAND = 1024


def crc(data: bytes) -> int:
    """The remainder by x8+x7+x6+x5+x2+1, bit after bit."""
    rest = 0
    for byte in data:
        for bit in range(7, -1, -1):
            top = rest >> 7 ^ byte >> bit & 1
            rest = rest << 1 & 0xFF
            if top:
                rest ^= 0xE5
    return rest


def address(county: str, number: int) -> bytes:
    """Form 1."""
    return bytes.fromhex(county) + struct.pack("<H", number)


def bcd(count: int, size: int, *, negative: bool = False) -> bytes:
    """Low byte first; F in the highest half byte below zero."""
    raw = bytearray.fromhex(f"{count:0{2 * size}d}")[::-1]
    if negative:
        raw[-1] |= 0xF0
    return bytes(raw)


def level(metres: float) -> bytes:
    """Table 34: millimetres."""
    return bcd(round(abs(metres) * 1000), 4, negative=metres < 0)


def flow(per_second: float, total_m3: int) -> bytes:
    """Tables 35 and 36: m3/s, and cubic metres."""
    told = bytearray(bcd(round(abs(per_second) * 1000), 5))
    if per_second < 0:
        told[-1] |= 0xC0
    return bytes(told) + bcd(total_m3, 5)


def tag(at: datetime, *, long: bool) -> bytes:
    """Tp: seven bytes, or five."""
    parts = [at.second, at.minute, at.hour, at.day]
    parts += [at.month, at.year % 100] if long else []
    return b"".join(bcd(part, 1) for part in parts) + b"\0"


def clock(at: datetime) -> bytes:
    """A clock as it is asked for (51): the weekday stands in the top bits of the month."""
    raw = bytearray(tag(at, long=True)[:6])
    raw[4] |= at.isoweekday() << 5
    return bytes(raw)


def clock_of(raw: bytes) -> datetime:
    """A clock as it is set (11)."""
    parts = [
        int(f"{byte & mask:02x}")
        for byte, mask in zip(raw, (255, 255, 255, 255, 31, 255), strict=True)
    ]
    second, minute, hour, day, month, year = parts
    return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001


def frame(control: int, station: bytes, afn: int, data: bytes, part: int = 0) -> bytes:
    """One frame; `part`: DIVS of a message in several."""
    user = bytes([control | (0x40 if part else 0)]) + (bytes([part]) if part else b"")
    user += station + bytes([afn]) + data
    return bytes([0x68, len(user), 0x68]) + user + bytes([crc(user), 0x16])


def picture_part(control: int, station: bytes, data: bytes, part: int) -> bytes:
    """A part of a picture: thousands of bytes in L, and how many they are behind AFN."""
    user = bytes([control | 0x40, part]) + station + bytes([PICTURE])
    user += struct.pack("<H", len(data)) + data
    return bytes([0x68, -(-len(data) // THOUSAND), 0x68]) + user + bytes([crc(user), 0x16])


def up(kind: int, tries: int) -> int:
    """C of what a station says."""
    return 0x80 | tries << 4 | kind


class Told(NamedTuple):
    """A frame of a centre."""

    kind: int
    tries: int
    part: int
    station: bytes
    afn: int
    data: bytes


def heard(buffer: bytearray) -> Iterator[Told]:
    """The frames of a centre that are whole, taken off the buffer. A centre writes no noise."""
    while len(buffer) >= 5:
        size = buffer[1] + 5
        if buffer[0] != 0x68 or buffer[2] != 0x68:
            del buffer[0]
            continue
        if len(buffer) < size:
            return
        raw = bytes(buffer[:size])
        del buffer[:size]
        if raw[-1] == 0x16 and crc(raw[3:-2]) == raw[-2] and not raw[3] & 0x80:
            rest = raw[5:] if raw[3] & 0x40 else raw[4:]
            part = raw[4] if raw[3] & 0x40 else 0
            yield Told(raw[3] & 15, raw[3] >> 4 & 3, part, rest[:5], rest[5], rest[6:-2])
