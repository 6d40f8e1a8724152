"""One frame of GB/T 26875.3-2011 (clause 6.6, table 1): its head, its end, and how it is written.

40 40 | serial 2 | version 2 | time 6 | source 6 | target 6 | length 2 | command 1 | ADU | sum 1 | 23 23

Numbers of several bytes are low byte first. The sum counts everything between the start and itself.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Literal

import msgspec

from headgate_drivers.gb26875.items import Message

#: What can be wrong (clause 6.5.3). `truncated` is said when the line ends, or when a later frame is whole
#: already; `bad_field` of a right frame whose objects do not fit, which that clause counts among no failed
#: check. A command that nobody knows is its receiver's to deny.
Code = Literal["bad_start", "bad_length", "bad_end", "bad_checksum", "bad_field", "truncated"]

START, END = b"\x40\x40", b"\x23\x23"
#: The first of the commands that are a user's own.
OWN = 128
#: Bytes before the ADU; bytes behind it.
HEAD, TAIL = 27, 3
#: The longest ADU (table 1).
LONGEST_ADU = 1024
LONGEST = HEAD + LONGEST_ADU + TAIL


class Command(IntEnum):
    """What a frame is for (table 2). 0 and 7 to 127 are reserved, 128 and above a user's own."""

    CONTROL = 1
    SEND_DATA = 2
    ACK = 3
    REQUEST = 4
    REPLY = 5
    DENY = 6


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and sum are right.

    Attributes:
        version: main number, and the user's own (bytes 5 and 6 of a frame).
        stamp: six bytes as they stand, seconds first; `sent_at` reads them.
        source, target: addresses of 48 bits.
        command: `Command`, or another number.
        message: what the ADU says; None where there is none.
    """

    serial: int
    version: tuple[int, int]
    stamp: bytes
    source: int
    target: int
    command: int
    adu: bytes = b""
    message: Message | None = None

    @property
    def sent_at(self) -> datetime | None:
        """When it was sent, by the sender's clock; None where the six bytes are no time."""
        return moment(self.stamp)


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right frame.

    Attributes:
        consumed: how many bytes were taken off the stream for it.
        frame: with `bad_field` the frame, and what could be read in its message. With `bad_checksum`,
            `bad_end` and `bad_length` what the head says, which may be wrong itself: enough to deny it,
            for nothing else.
    """

    code: Code
    consumed: int
    detail: str = ""
    frame: Frame | None = None


def moment(stamp: bytes) -> datetime | None:
    """Six bytes: second, minute, hour, day, month, year of this century; no zone. None: no time."""
    second, minute, hour, day, month, year = stamp
    if year > 99:
        return None
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None


def stamp_of(at: datetime | None) -> bytes:
    """A time as it is sent; nothing but zeros where there is none."""
    if at is None:
        return bytes(6)
    return bytes([at.second, at.minute, at.hour, at.day, at.month, at.year % 100])


def length_in(head: bytes | bytearray) -> int:
    """How long the ADU is said to be; the head is all there."""
    return int.from_bytes(head[24:26], "little")


def check_of(raw: bytes) -> int:
    """The sum of a frame without its sum and end."""
    return sum(raw[2:]) & 0xFF


def parse(raw: bytes) -> Frame:
    """A frame of the right size, its ADU not yet read; nothing is checked."""
    return Frame(
        serial=int.from_bytes(raw[2:4], "little"),
        version=(raw[4], raw[5]),
        stamp=raw[6:12],
        source=int.from_bytes(raw[12:18], "little"),
        target=int.from_bytes(raw[18:24], "little"),
        command=raw[26],
        adu=raw[HEAD:-TAIL],
    )


def parse_head(raw: bytes) -> Frame:
    """What a head says; the ADU is left out, nothing is checked."""
    return parse(raw[:HEAD] + bytes(TAIL))


def read_frame(raw: bytes) -> Frame | Code:
    """The frame of exactly this size, its ADU not yet read; else what is wrong."""
    if raw[-2:] != END:
        return "bad_end"
    if raw[-TAIL] != check_of(raw[:-TAIL]):
        return "bad_checksum"
    return parse(raw)


def encode(frame: Frame) -> bytes:
    """A frame as it goes out, from `adu`; `message` is not looked at.

    Raises:
        ValueError: a number or an ADU that has no place in a frame.
    """
    if len(frame.adu) > LONGEST_ADU or len(frame.stamp) != 6:
        raise ValueError(f"{len(frame.adu)} bytes of data, {len(frame.stamp)} of time")
    try:
        raw = (
            START
            + frame.serial.to_bytes(2, "little")
            + bytes(frame.version)
            + frame.stamp
            + frame.source.to_bytes(6, "little")
            + frame.target.to_bytes(6, "little")
            + len(frame.adu).to_bytes(2, "little")
            + bytes([frame.command])
            + frame.adu
        )
    except OverflowError as error:
        raise ValueError(str(error)) from None
    return raw + bytes([check_of(raw)]) + END
