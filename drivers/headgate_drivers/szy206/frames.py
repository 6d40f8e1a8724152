"""One frame of SZY 206-2016 and SL/T 427-2021: its head, its end, and how it is written.

68 | L | 68 | C 1 (+ DIVS 1) | A 5 | AFN 1 | data | CS | 16

L counts from C to what stands before CS. A frame of a picture is the one exception: there L counts
thousands of bytes (1024), and two bytes behind AFN, low byte first, say how many there are.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

from headgate_drivers.szy206.crc import crc8
from headgate_drivers.szy206.items import Message

#: What can be wrong. `truncated` is said when the line ends, or when a later frame is whole already.
Code = Literal["bad_start", "bad_length", "bad_end", "bad_checksum", "bad_field", "truncated"]

START, END = 0x68, 0x16
#: Bytes before the user data; bytes behind it.
HEAD, TAIL = 3, 2
#: C, A and AFN: less than this is none.
SHORTEST = 7
#: C, DIVS, A, AFN, and the two bytes that say how long a part of a picture is.
PICTURE_HEAD = 10
LONGEST_PICTURE = 0xFFFF
LONGEST = HEAD + PICTURE_HEAD + LONGEST_PICTURE + TAIL

_UP, _DIV = 0x80, 0x40
#: What comes before the second byte of a function that is a maker's own.
OWN = 0xFF


class Afn(IntEnum):
    """Functions (annex A). 5B and 5C differ between the editions; FF is a maker's own."""

    LINK = 0x02
    # Settings: with password and time label, answered with the same function.
    SET_ADDRESS = 0x10
    SET_CLOCK = 0x11
    SET_MODE = 0x12
    SET_RECHARGE = 0x15
    SET_REMAINING_ALARM = 0x16
    SET_LEVEL_LIMITS = 0x17
    SET_PRESSURE_LIMITS = 0x18
    SET_QUALITY_HIGH = 0x19
    SET_QUALITY_LOW = 0x1A
    SET_TOTALS = 0x1B
    SET_RELAY_LEAD = 0x1C
    SET_RELAY_ADDRESSES = 0x1D
    SET_RELAY_SWITCH = 0x1E
    SET_FLOW_LIMITS = 0x1F
    SET_THRESHOLD = 0x20
    CARD_ON = 0x30
    CARD_OFF = 0x31
    QUOTA_ON = 0x32
    QUOTA_OFF = 0x33
    SET_QUOTA = 0x34
    # Questions: with neither.
    ASK_ADDRESS = 0x50
    ASK_CLOCK = 0x51
    ASK_MODE = 0x52
    ASK_REPORTS = 0x53
    ASK_KINDS = 0x54
    ASK_RECHARGE = 0x55
    ASK_REMAINING = 0x56
    ASK_LEVEL_LIMITS = 0x57
    ASK_PRESSURE_LIMITS = 0x58
    ASK_QUALITY_HIGH = 0x59
    ASK_QUALITY_LOW = 0x5A
    ASK_DAYS = 0x5C
    ASK_EVENTS = 0x5D
    ASK_STATE = 0x5E
    ASK_PUMPS = 0x5F
    ASK_RELAY_LEAD = 0x60
    PICTURE_RECORD = 0x61
    ASK_RELAY_ADDRESSES = 0x62
    ASK_RELAY_STATE = 0x63
    ASK_FLOW_LIMITS = 0x64
    ASK_CHANNELS = 0x65
    # What a station says by itself.
    ALARM = 0x81
    BY_HAND = 0x82
    PICTURE = 0x83
    VOLTAGE = 0x84
    REPORT = 0xC0
    # Control: as settings.
    RESET = 0x90
    CLEAR = 0x91
    START = 0x92
    STOP = 0x93
    SWITCH_MODEM = 0x94
    SWITCH_RELAY = 0x95
    SET_PASSWORD = 0x96
    SET_KINDS = 0xA0
    SET_REPORTS = 0xA1
    SET_CHANNELS = 0xA2
    # Values now, out of the store, out of memory.
    ASK_VALUES = 0xB0
    ASK_STORED = 0xB1
    ASK_MEMORY = 0xB2


PICTURES = (Afn.PICTURE_RECORD, Afn.PICTURE)


class Kind(IntEnum):
    """What the lowest four bits of C say that the data is (tables 5 and 6)."""

    ACK = 0
    RAIN = 1
    LEVEL = 2
    FLOW = 3
    VELOCITY = 4
    GATE = 5
    POWER = 6
    WEATHER = 7
    ELECTRICITY = 8  # SZY 206: wind
    WATER_TEMPERATURE = 9
    QUALITY = 10
    SOIL = 11
    EVAPORATION = 12
    ALARM = 13
    STATISTICS = 14  # of rain; in an answer: several kinds at once
    PRESSURE = 15


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and check are right.

    Attributes:
        up: from a station (DIR).
        parts: DIVS, counted down to 1, of a message in several frames; 0 where it is one.
        tries: FCB, 3 at first and one less with each time it is sent again.
        address: ten hex characters, as they stand.
        own: second byte of a function that is a maker's own (AFN FF).
        data: everything behind AFN, a password and the time label too.
        picture: whether L counts thousands of bytes, and `data` is the picture alone.
        message: what the data says; None for a part of a picture.
    """

    up: bool
    tries: int
    kind: Kind
    address: str
    afn: int
    data: bytes = b""
    parts: int = 0
    own: int | None = None
    picture: bool = False
    message: Message | None = None

    @property
    def hydrological(self) -> bool:
        """Whether the address is a hydrological station's code (form 2)."""
        return self.address.startswith("00")

    @property
    def admin_code(self) -> str:
        """Of form 1, six digits of the county; empty otherwise."""
        return "" if self.hydrological else self.address[:6]

    @property
    def station(self) -> int | str:
        """Of form 1 its number in the county; of form 2 its code of eight characters."""
        if self.hydrological:
            return self.address[2:]
        return int.from_bytes(bytes.fromhex(self.address[6:]), "little")


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


def sizes(head: bytes | bytearray) -> tuple[int, ...] | None:
    """How long a frame may be that begins like this, likeliest first; None: more must be there to know."""
    said = head[1]
    plain = (HEAD + said + TAIL,) if said >= SHORTEST else ()
    if len(head) < HEAD + 1:
        return None
    if head[3] & (_UP | _DIV) != _UP | _DIV:
        return plain
    if len(head) < HEAD + PICTURE_HEAD:
        return None
    count = int.from_bytes(head[11:13], "little")
    if head[10] in PICTURES and (said - 1) * 1024 < count <= said * 1024:
        return (*plain, HEAD + PICTURE_HEAD + count + TAIL)
    return plain


def read_frame(raw: bytes) -> Frame | Code:
    """The frame of exactly this size, its data not yet read; else what is wrong."""
    if raw[-1] != END:
        return "bad_end"
    user = raw[HEAD:-TAIL]
    if crc8(user) != raw[-2]:
        return "bad_checksum"
    control, rest, parts = user[0], user[1:], 0
    if control & _DIV:
        parts, rest = rest[0], rest[1:]
    if len(rest) < 6:
        return "bad_length"
    address, afn, data, own = rest[:5], rest[5], rest[6:], None
    picture = len(raw) != HEAD + raw[1] + TAIL
    if picture:
        data = data[2:]
    elif afn == OWN and data:
        own, data = data[0], data[1:]
    return Frame(
        up=bool(control & _UP),
        tries=control >> 4 & 3,
        kind=Kind(control & 15),
        address=address.hex().upper(),
        afn=afn,
        data=data,
        parts=parts,
        own=own,
        picture=picture,
    )


def encode(frame: Frame) -> bytes:
    """A frame as it goes out, from `data`; `message` is not looked at.

    Raises:
        ValueError: an address, a number or data that has no place in a frame.
    """
    address = bytes.fromhex(frame.address)
    if len(address) != 5 or not 0 <= frame.tries <= 3 or not 0 <= frame.parts <= 0xFF:
        raise ValueError(f"{frame.address}, {frame.tries} tries, part {frame.parts}")
    split = bool(frame.parts) or frame.picture
    control = frame.up * _UP | split * _DIV | frame.tries << 4 | frame.kind
    user = bytes([control]) + (bytes([frame.parts]) if split else b"") + address
    user += bytes([frame.afn]) + (b"" if frame.own is None else bytes([frame.own]))
    if frame.picture:
        if not 0 < len(frame.data) <= LONGEST_PICTURE:
            raise ValueError(f"{len(frame.data)} bytes of a picture")
        user += len(frame.data).to_bytes(2, "little")
    user += frame.data
    length = -(-len(frame.data) // 1024) if frame.picture else len(user)
    if not frame.picture and length > 0xFF:
        raise ValueError(f"{length} bytes in one frame")
    return bytes([START, length, START]) + user + bytes([crc8(user), END])
