"""One frame of SL 651-2014 (clauses 6.2, 6.4, 6.5): its head, its ends, and how it is written.

HEX/BCD  7E7E | centre 1, station 5 | password 2 | function 1 | length 2 | 02 | body | end | CRC 2
ASCII    01   | the same as hex characters, 2 for each byte               | 02 | body | end | CRC 4

Down, the station stands before the centre and the highest four bits of the length are 8. In mode
M3 the body begins with SYN (16) instead of STX (02), and with how many packets there are and which
one this is. The length counts what stands between the start character and the end character.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from typing import Literal

import msgspec

from headgate_drivers.sl651.crc import crc16
from headgate_drivers.sl651.items import Message

#: What can be wrong. `truncated` is said when the line ends, or when a later frame is whole already.
Code = Literal["bad_start", "bad_length", "bad_end", "bad_checksum", "bad_field", "truncated"]

#: The largest body: the length has twelve bits (tables 16 and 20).
LONGEST_BODY = 4095


class Coding(Enum):
    """How a frame is written: bytes as they are, or as hex characters."""

    BCD = "bcd"
    ASCII = "ascii"


class Direction(IntEnum):
    """The highest four bits of the length."""

    UP = 0
    DOWN = 8


class Control(IntEnum):
    """Control characters (table 10, clause 6.2.2)."""

    STX = 0x02
    ETX = 0x03
    EOT = 0x04
    ENQ = 0x05
    ACK = 0x06
    NAK = 0x15
    SYN = 0x16
    ETB = 0x17
    ESC = 0x1B


ENDS = {
    Direction.UP: (Control.ETX, Control.ETB),
    Direction.DOWN: (Control.ENQ, Control.ACK, Control.NAK, Control.EOT, Control.ESC),
}

_ANY_END = frozenset(end for each in ENDS.values() for end in each)

MARK = {Coding.BCD: b"\x7e\x7e", Coding.ASCII: b"\x01"}
#: Bytes up to and with the start character; bytes of the check.
HEAD = {Coding.BCD: 14, Coding.ASCII: 24}
CHECK = {Coding.BCD: 2, Coding.ASCII: 4}
#: Bytes that say how many packets there are and which one this is.
COUNTS = {Coding.BCD: 3, Coding.ASCII: 6}
LONGEST = HEAD[Coding.ASCII] + LONGEST_BODY + 1 + CHECK[Coding.ASCII]

_HEX = re.compile(rb"[0-9A-Fa-f]*")


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and check are right.

    Attributes:
        address: of the station, ten characters: 00 and eight digits of a hydrological station, or six
            digits of the county and two bytes of the station's own number (tables 13 and 14).
        password: four hex characters.
        end: the end character: an answer is asked for, more follows, good night (`Control`).
        total, number: of a packet in mode M3; 0 and 0 otherwise.
        body: between the start and the end character, without the packet's counts.
        message: what the body says; None for a packet of several, whose body is only a part.
    """

    direction: Direction
    centre: int
    address: str
    password: str
    function: int
    end: Control
    body: bytes
    total: int = 0
    number: int = 0
    coding: Coding = Coding.BCD
    message: Message | None = None

    @property
    def body_length(self) -> int:
        """What the length in the head says."""
        return len(self.body) + (COUNTS[self.coding] if self.total else 0)

    @property
    def hydrological(self) -> bool:
        """Whether the address is a hydrological station's code, not a county with a number."""
        return self.address.startswith("00")


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right frame.

    Attributes:
        consumed: how many bytes were taken off the stream for it.
        frame: with `bad_field` the frame, whose check was right; what could be read is in its message.
    """

    code: Code
    consumed: int
    detail: str = ""
    frame: Frame | None = None


class Head(msgspec.Struct, frozen=True):
    """The beginning of a frame, up to its start character; `size` is the whole frame's."""

    direction: Direction
    centre: int
    address: str
    password: str
    function: int
    length: int
    multi: bool
    size: int


def head_of(raw: bytes, coding: Coding) -> Head | Code:
    """The head of a frame, of which at least `HEAD[coding]` bytes are there; else what is wrong."""
    plain = raw[2 : HEAD[coding] - 1]
    if coding is Coding.ASCII:
        digits = raw[1 : HEAD[coding] - 1]
        if _HEX.fullmatch(digits) is None:
            return "bad_start"
        plain = bytes.fromhex(digits.decode())
    start = raw[HEAD[coding] - 1]
    if start not in (Control.STX, Control.SYN):
        return "bad_start"
    length = int.from_bytes(plain[9:11], "big")
    if length >> 12 not in (0, 8):
        return "bad_length"
    direction, length, multi = Direction(length >> 12), length & 0xFFF, start == Control.SYN
    if length < (COUNTS[coding] if multi else 1):
        return "bad_length"
    up = direction is Direction.UP
    return Head(
        direction=direction,
        centre=plain[0] if up else plain[5],
        address=(plain[1:6] if up else plain[:5]).hex().upper(),
        password=plain[6:8].hex().upper(),
        function=plain[8],
        length=length,
        multi=multi,
        size=HEAD[coding] + length + 1 + CHECK[coding],
    )


def read_frame(raw: bytes, coding: Coding, head: Head) -> Frame | Code:
    """The frame of exactly `head.size` bytes, its body not yet read; else what is wrong."""
    check = CHECK[coding]
    end = raw[-check - 1]
    if end not in _ANY_END:
        return "bad_end"
    said = raw[-check:]
    if coding is Coding.ASCII:
        said = bytes.fromhex(said.decode()) if _HEX.fullmatch(said) else b""
    if len(said) != CHECK[Coding.BCD] or int.from_bytes(said, "big") != crc16(raw[:-check]):
        return "bad_checksum" if end in ENDS[head.direction] else "bad_end"
    # The other direction's end with a right check is a frame: some software ends answers with ENQ.
    body, total, number = raw[HEAD[coding] : -check - 1], 0, 0
    if head.multi:
        counts, body = body[: COUNTS[coding]], body[COUNTS[coding] :]
        if coding is Coding.ASCII:
            if _HEX.fullmatch(counts) is None:
                return "bad_field"
            counts = bytes.fromhex(counts.decode())
        total, number = counts[0] << 4 | counts[1] >> 4, (counts[1] & 0x0F) << 8 | counts[2]
        if not 1 <= number <= total:
            return "bad_field"
    return Frame(
        direction=head.direction,
        centre=head.centre,
        address=head.address,
        password=head.password,
        function=head.function,
        end=Control(end),
        body=body,
        total=total,
        number=number,
        coding=coding,
    )


def encode(frame: Frame) -> bytes:
    """A frame as it goes out, from `body`; `message` is not looked at.

    Raises:
        ValueError: an address, a password or a number that has no place in a frame.
    """
    length = frame.body_length
    station, password = bytes.fromhex(frame.address), bytes.fromhex(frame.password)
    if len(station) != 5 or len(password) != 2 or not 0 < length <= LONGEST_BODY:
        raise ValueError(f"{frame.address} {frame.password}, {length} bytes")
    if not 0 <= frame.number <= frame.total <= 0xFFF or (frame.total and not frame.number):
        raise ValueError(f"packet {frame.number} of {frame.total}")
    centre = bytes([frame.centre])
    plain = centre + station if frame.direction is Direction.UP else station + centre
    plain += password + bytes([frame.function])
    plain += (frame.direction << 12 | length).to_bytes(2, "big")
    counts = (frame.total << 12 | frame.number).to_bytes(3, "big") if frame.total else b""
    if frame.coding is Coding.ASCII:
        plain, counts = plain.hex().upper().encode(), counts.hex().upper().encode()
    start = Control.SYN if frame.total else Control.STX
    raw = MARK[frame.coding] + plain + bytes([start]) + counts + frame.body + bytes([frame.end])
    check = crc16(raw).to_bytes(2, "big")
    return raw + (check.hex().upper().encode() if frame.coding is Coding.ASCII else check)
