"""One frame of the link layer of DL/T 698.45 (clause 6): how it is read and written. Pure.

68 | length 2 | control | server address | client address | HCS 2 | APDU | FCS 2 | 16

Everything stands lowest byte first. The length counts all but the two marks; both checks are CRC-16/X-25,
one over the head from the length on, one over everything between the marks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import msgspec

Code = Literal["bad_start", "bad_end", "bad_length", "bad_checksum", "bad_field", "truncated"]

START, END = 0x68, 0x16
#: Bytes before the server's address; the shortest frame; the longest that is taken.
BEFORE, SHORTEST, LONGEST = 4, 12, 4096
_LENGTH, _KILO = 0x3FFF, 0x4000
#: Bytes before a part of an APDU: its number in the lowest 12 bits, its kind in the highest two.
_PART_HEAD = 2


class AddressType(IntEnum):
    """How a server's address is meant: the two highest bits of its first byte."""

    SINGLE = 0
    WILDCARD = 1
    GROUP = 2
    BROADCAST = 3


class PartKind(IntEnum):
    """What part of an APDU a frame brings: the two highest bits of the two bytes before it."""

    FIRST = 0
    LAST = 1
    CONFIRM = 2
    MIDDLE = 3


class Part(NamedTuple):
    """One part of an APDU that was split: which, and its bytes. A confirmation has none."""

    kind: PartKind
    number: int
    content: bytes


class Address(msgspec.Struct, frozen=True):
    """The server's address.

    Attributes:
        text: digits as on the meter's plate; A (any digit) in a wildcard, F at the end fills up.
        logical: which of several meters in one housing.
        extended: whether `logical` stands in a byte of its own.
    """

    text: str
    type: AddressType = AddressType.SINGLE
    logical: int = 0
    extended: bool = False


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and checks are right.

    Attributes:
        client: the client's address; 0 where it does not matter.
        apdu: what the frame carries, scrambled (33H on each byte) where `scrambled` says so.
    """

    control: int
    server: Address
    client: int = 0
    apdu: bytes = b""

    @property
    def from_server(self) -> bool:
        """Whether a meter says this."""
        return bool(self.control & 0x80)

    @property
    def started_by_client(self) -> bool:
        """Whether the exchange was begun by the client."""
        return bool(self.control & 0x40)

    @property
    def part(self) -> bool:
        """Whether the APDU is a part of one that was split."""
        return bool(self.control & 0x20)

    @property
    def split(self) -> Part | None:
        """The part that a frame with `part` brings; None where there is none, or half a header."""
        plain = self.plain
        if not self.part or len(plain) < _PART_HEAD:
            return None
        word = int.from_bytes(plain[:_PART_HEAD], "little")
        return Part(PartKind(word >> 14), word & 0xFFF, plain[_PART_HEAD:])

    @property
    def scrambled(self) -> bool:
        """Whether 33H is added to each byte of the APDU."""
        return bool(self.control & 0x08)

    @property
    def function(self) -> int:
        """1: the link itself (log in, heartbeat), 3: user data."""
        return self.control & 0x07

    @property
    def plain(self) -> bytes:
        """The APDU, unscrambled."""
        if not self.scrambled:
            return self.apdu
        return bytes((each - 0x33) & 0xFF for each in self.apdu)


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right frame; `consumed` were taken off the stream for it."""

    code: Code
    consumed: int
    detail: str = ""
    frame: Frame | None = None


def x25(data: bytes) -> int:
    """CRC-16/X-25: polynomial 1021 reflected, begun with FFFF, inverted at the end."""
    crc = 0xFFFF
    for each in data:
        crc = crc >> 8 ^ _X25[(crc ^ each) & 0xFF]
    return crc ^ 0xFFFF


def _x25_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0x8408 if byte & 1 else byte >> 1
    return byte


_X25 = tuple(map(_x25_of, range(256)))


def size_of(raw: bytes) -> int | Code:
    """How long the frame that begins with these (three) bytes is."""
    length = int.from_bytes(raw[1:3], "little")
    size = (length & _LENGTH) * (1024 if length & _KILO else 1) + 2
    if length & 0x8000 or not SHORTEST <= size <= LONGEST:
        return "bad_length"
    return size


def head_size(raw: bytes) -> int:
    """Bytes of the head with its check; five bytes must be there."""
    return BEFORE + 1 + (raw[4] & 0x0F) + 1 + 1 + 2


def head_right(raw: bytes) -> bool:
    """Whether the check of the head is right; `head_size` bytes must be there."""
    size = head_size(raw)
    return int.from_bytes(raw[size - 2 : size], "little") == x25(raw[1 : size - 2])


def read_frame(raw: bytes) -> Frame | Code:
    """The frame of exactly these bytes."""
    head = head_size(raw)
    if head + 3 > len(raw):
        return "bad_length"
    if not head_right(raw):
        return "bad_checksum"
    if raw[-1] != END:
        return "bad_end"
    if int.from_bytes(raw[-3:-1], "little") != x25(raw[1:-3]):
        return "bad_checksum"
    first, rest = raw[4], raw[5 : head - 3]
    extended, logical = bool(first & 0x20), first >> 4 & 1
    if extended:
        if len(rest) < 2:
            return "bad_field"
        logical, rest = rest[0], rest[1:]
    text = rest[::-1].hex().upper()
    server = Address(text, AddressType(first >> 6), logical, extended)
    return Frame(raw[3], server, raw[head - 3], raw[head:-3])


def encode(frame: Frame) -> bytes:
    """A frame as it goes out.

    Raises:
        ValueError: an address or an APDU that has no place in a frame.
    """
    server = bytes.fromhex(frame.server.text)[::-1]
    if frame.server.extended:
        server = bytes([frame.server.logical]) + server
    elif frame.server.logical not in (0, 1):
        raise ValueError(f"logical address {frame.server.logical} needs a byte of its own")
    if not 1 <= len(server) <= 16:
        raise ValueError(f"an address of {len(server)} bytes")
    first = frame.server.type << 6 | (len(server) - 1)
    first |= 0x20 if frame.server.extended else frame.server.logical << 4
    head = bytes([frame.control, first]) + server + bytes([frame.client])
    length = 2 + len(head) + 2 + len(frame.apdu) + 2
    if length + 2 > LONGEST:
        raise ValueError(f"{len(frame.apdu)} bytes of APDU")
    head = length.to_bytes(2, "little") + head
    body = head + x25(head).to_bytes(2, "little") + frame.apdu
    return bytes([START]) + body + x25(body).to_bytes(2, "little") + bytes([END])
