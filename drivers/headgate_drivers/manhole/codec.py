"""Frames of a manhole concentrator. Pure, and never raises on what it is fed.

    7E 43 | length | address (4) | sequence | kind | items ... | rssi | CRC (2)

`length` counts what follows it, the CRC too. All numbers big-endian; the CRC is CRC-16/CCITT-FALSE
over everything before it. An item is a tag, a length and that many bytes; tags that are not known
are skipped. docs/reference/serial.md is the specification.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import msgspec

START = b"\x7e\x43"
ACKNOWLEDGE = b"\x7e\x41"
#: Address, sequence, kind, rssi and CRC: the least that `length` can say.
LEAST = 9
LONGEST = 3 + 255
#: How many later beginnings are looked at while one frame waits for more bytes.
LOOK_AHEAD = 16


class Kind(IntEnum):
    """Why a cover speaks."""

    HEARTBEAT = 1
    ALARM = 2
    POWER_ON = 3


class Tag(IntEnum):
    """What an item tells, and how many bytes it has: see `SIZES`."""

    FLAGS = 1
    TILT = 2
    LEVEL = 3
    BATTERY = 4
    TEMPERATURE = 5
    SAMPLE = 6


SIZES = {
    Tag.FLAGS: 2, Tag.TILT: 2, Tag.LEVEL: 2, Tag.BATTERY: 2, Tag.TEMPERATURE: 2, Tag.SAMPLE: 4,
}  # fmt: skip


class Word(msgspec.Struct, frozen=True):
    """What one cover said: raw numbers as they came, None where the frame has no such item."""

    address: int
    sequence: int
    kind: int
    rssi: int
    items: dict[int, int]
    #: The frame without rssi and CRC: the same in every repetition.
    said: bytes


class Codec:
    """Fed bytes, gives words. `damaged` counts frames whose CRC or items were wrong."""

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._buffer += data

    @property
    def waiting(self) -> int:
        """How many bytes of something unfinished are kept."""
        return len(self._buffer)

    def events(self) -> list[Word]:
        """What is complete by now, in order."""
        words: list[Word] = []
        buffer = self._buffer
        while True:
            at = buffer.find(START)
            if at < 0:
                del buffer[: len(buffer) - buffer.endswith(START[:1])]
                return words
            del buffer[:at]
            size = _size(buffer, 0)
            if size is None or len(buffer) < size:
                ahead = self._ahead()
                if ahead is None:
                    return words
                del buffer[:ahead]
                continue
            word = read(bytes(buffer[:size])) if size else None
            if word is None:
                # Not its whole length: a frame may begin inside what only looked like one.
                self.damaged += 1
                del buffer[:1]
            else:
                words.append(word)
                del buffer[:size]

    def _ahead(self) -> int | None:
        """Where a later frame begins that is complete and right."""
        at = 0
        for _ in range(LOOK_AHEAD):
            at = self._buffer.find(START, at + 1)
            if at < 0:
                return None
            size = _size(self._buffer, at)
            frame = bytes(self._buffer[at : at + (size or 0)])
            if size and len(frame) == size and read(frame) is not None:
                return at
        return None


def read(frame: bytes) -> Word | None:
    """The word of a whole frame; None when anything about it is wrong."""
    if len(frame) < 3 + LEAST or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "big"):
        return None
    items: dict[int, int] = {}
    at, end = 9, len(frame) - 3
    while at < end:
        tag, size = frame[at], frame[at + 1] if at + 1 < end else 255
        value = frame[at + 2 : at + 2 + size]
        at += 2 + size
        if at > end:
            return None
        if tag in SIZES:
            if size != SIZES[Tag(tag)]:
                return None
            items[tag] = int.from_bytes(value, "big")
    return Word(
        address=int.from_bytes(frame[3:7], "big"),
        sequence=frame[7],
        kind=frame[8],
        rssi=int.from_bytes(frame[-3:-2], "big", signed=True),
        items=items,
        said=frame[3:-3],
    )


def acknowledgement(word: Word) -> bytes:
    """What tells the concentrator that an alarm need not be repeated."""
    body = ACKNOWLEDGE + bytes([7]) + word.address.to_bytes(4, "big") + bytes([word.sequence])
    return body + crc16(body).to_bytes(2, "big")


def _size(buffer: bytearray, at: int) -> int | None:
    """The whole frame's size; None while its length is not there, 0 when it makes no sense."""
    if len(buffer) < at + 3:
        return None
    return 3 + buffer[at + 2] if buffer[at + 2] >= LEAST else 0


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, begun with FFFF."""
    table = _table()
    value = 0xFFFF
    for byte in data:
        value = value << 8 & 0xFFFF ^ table[value >> 8 ^ byte]
    return value


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)
