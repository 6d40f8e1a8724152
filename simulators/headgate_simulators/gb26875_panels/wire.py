"""Frames of GB/T 26875.3 as a transmitter writes and reads them. Written from the standard."""

from __future__ import annotations

import struct
from datetime import datetime

SEND, ACK, DENY = 2, 3, 6
_HEAD = struct.Struct("<2sH2s6s6s6sHB")


def clock(at: datetime) -> bytes:
    """Second, minute, hour, day, month, year."""
    return bytes([at.second, at.minute, at.hour, at.day, at.month, at.year - 2000])


def frame(serial: int, source: int, command: int, data: bytes, at: datetime) -> bytes:
    """A frame to centre 1."""
    raw = _HEAD.pack(
        b"@@", serial, b"\1\1", clock(at), source.to_bytes(6, "little"),
        (1).to_bytes(6, "little"), len(data), command,
    ) + data  # fmt: skip
    return raw + bytes([sum(raw[2:]) % 256]) + b"##"


def component(address: int, word: int, text: str, at: datetime) -> bytes:
    """Type 2: one detector of fire alarm system 1.1, its state and its place in words."""
    place = text.encode("gb18030")[:31].ljust(31, b"\0")
    return b"\2\1" + struct.pack("<BBBIH", 1, 1, 42, address, word) + place + clock(at)


def heard(buffer: bytearray) -> tuple[int, int] | None:
    """The next frame of a centre, taken off the buffer: command and serial number."""
    while len(buffer) >= 30:
        if buffer[:2] != b"@@":
            del buffer[0]
            continue
        size = 30 + int.from_bytes(buffer[24:26], "little")
        if len(buffer) < size:
            return None
        raw = bytes(buffer[:size])
        del buffer[:size]
        if raw[-2:] == b"##" and sum(raw[2:-3]) % 256 == raw[-3]:
            return raw[26], int.from_bytes(raw[2:4], "little")
    return None
