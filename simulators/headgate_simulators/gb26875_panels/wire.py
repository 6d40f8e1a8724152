"""Frames of GB/T 26875.3 as a transmitter writes and reads them (tables 1 to 3, clause 8)."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import NamedTuple

CONTROL, SEND, ACK, REQUEST, REPLY, DENY = 1, 2, 3, 4, 5, 6
#: Bytes of a component's description.
_TEXT = 31
_HEAD = struct.Struct("<2sH2s6s6s6sHB")


class Part(NamedTuple):
    """A component: its system's type and number, its own type and address."""

    system: int
    number: int
    kind: int
    address: int

    @property
    def name(self) -> str:
        """As a person writes it: type and number of the system, address in hex."""
        return f"{self.system}.{self.number}.{self.address:08X}"


class Heard(NamedTuple):
    """A frame of the centre."""

    serial: int
    command: int
    source: int
    data: bytes


# ---------------------------------------------------------------- frames


def clock(at: datetime) -> bytes:
    """Second, minute, hour, day, month, year."""
    return bytes([at.second, at.minute, at.hour, at.day, at.month, at.year % 100])


def time_of(data: bytes) -> datetime:
    """What six bytes say. Raises ValueError: no time."""
    second, minute, hour, day, month, year = data[:6]
    return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall's


def frame(
    serial: int, source: int, command: int, data: bytes, at: datetime, target: int = 1
) -> bytes:
    """A frame to the centre."""
    raw = _HEAD.pack(
        b"@@", serial, b"\1\1", clock(at), source.to_bytes(6, "little"),
        target.to_bytes(6, "little"), len(data), command,
    ) + data  # fmt: skip
    return raw + bytes([sum(raw[2:]) % 256]) + b"##"


def heard(buffer: bytearray) -> Heard | None:
    """The next right frame of the centre, taken off the buffer; None while there is none."""
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
            number, source = (
                int.from_bytes(raw[2:4], "little"),
                int.from_bytes(raw[12:18], "little"),
            )
            return Heard(number, raw[26], source, raw[27:-3])
    return None


# ---------------------------------------------------------------- units


def unit(kind: int, *objects: bytes) -> bytes:
    """An application data unit (figure 5)."""
    return bytes([kind, len(objects)]) + b"".join(objects)


def system_state(system: int, number: int, word: int, at: datetime) -> bytes:
    """An object of type 1."""
    return struct.pack("<BBH", system, number, word) + clock(at)


def component_state(part: Part, word: int, words: str, at: datetime) -> bytes:
    """An object of type 2."""
    return struct.pack("<BBBIH", *part, word) + text(words) + clock(at)


def analogue(part: Part, kind: int, raw: int, at: datetime) -> bytes:
    """An object of type 3."""
    return struct.pack("<BBBIBh", *part, kind, raw) + clock(at)


def operation(system: int, number: int, flags: int, operator: int, at: datetime) -> bytes:
    """An object of type 4."""
    return struct.pack("<BBBB", system, number, flags, operator) + clock(at)


def transmitter_state(word: int, at: datetime) -> bytes:
    """An object of type 21."""
    return bytes([word]) + clock(at)


def transmitter_operation(flags: int, operator: int, at: datetime) -> bytes:
    """An object of type 24."""
    return bytes([flags, operator]) + clock(at)


def text(words: str) -> bytes:
    """31 bytes of GB 18030; what has no room is cut off between two characters."""
    raw = b""
    for letter in words:
        more = letter.encode("gb18030")
        if len(raw) + len(more) > _TEXT:
            break
        raw += more
    return raw.ljust(_TEXT, b"\0")


def long_text(words: str) -> bytes:
    """A length and so many bytes."""
    raw = words.encode("gb18030")
    return bytes([len(raw)]) + raw
