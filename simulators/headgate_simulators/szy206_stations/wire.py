"""Frames of SZY 206 as a station writes and reads them. Written from the standard, for a station alone."""

from __future__ import annotations

import struct
from datetime import datetime

LOGIN, ALIVE = 0xF0, 0xF2
RAIN, LEVEL, FLOW = 1, 2, 3
REPORT, LINK = 0xC0, 0x02


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


def tag(at: datetime, *, long: bool) -> bytes:
    """Tp: seven bytes, or five."""
    parts = [at.second, at.minute, at.hour, at.day]
    parts += [at.month, at.year % 100] if long else []
    return b"".join(bcd(part, 1) for part in parts) + b"\0"


def frame(control: int, station: bytes, afn: int, data: bytes) -> bytes:
    """A frame of one part."""
    user = bytes([control]) + station + bytes([afn]) + data
    return bytes([0x68, len(user), 0x68]) + user + bytes([crc(user), 0x16])


def up(kind: int, tries: int) -> int:
    """C of what a station says."""
    return 0x80 | tries << 4 | kind


def heard(buffer: bytearray) -> tuple[int, int, bytes] | None:
    """The next frame of a centre, taken off the buffer: C, AFN, data. A centre writes no noise."""
    while len(buffer) >= 5:
        size = buffer[1] + 5
        if buffer[0] != 0x68 or buffer[2] != 0x68:
            del buffer[0]
            continue
        if len(buffer) < size:
            return None
        raw = bytes(buffer[:size])
        del buffer[:size]
        if raw[-1] == 0x16 and crc(raw[3:-2]) == raw[-2] and not raw[3] & 0x80:
            return raw[3], raw[9], raw[10:-2]
    return None
