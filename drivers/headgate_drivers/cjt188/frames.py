"""One frame of CJ/T 188 (data link layer), of 2004 and of 2018 alike: how it is read and written.

[FE ...] 68 | type | address 7, BCD, lowest first | control | length | data | sum | 16

The sum covers everything from 68 to the data, modulo 256. Any number of FE may stand before a frame.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate_drivers.cjt188.messages import Message

#: What can be wrong. `truncated` is said when the line ends, or when a later frame is whole already;
#: `device_error` and `not_supported` are whole frames.
Code = Literal[
    "bad_start", "bad_end", "bad_length", "bad_checksum", "bad_field", "truncated", "device_error",
    "not_supported",
]  # fmt: skip

START, END, WAKE = 0x68, 0x16, 0xFE
#: Bytes up to and with the length; all but the data; the most FE before a frame that belong to it.
HEAD, LEAST, LONGEST_WAKE = 11, 13, 32
LONGEST = LONGEST_WAKE + LEAST + 255
#: The address, and the type, that every meter takes for its own.
EVERYBODY, ANY_TYPE = "AA" * 7, 0xAA

REPLY, REFUSED, FUNCTION = 0x80, 0x40, 0x3F


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and sum are right.

    Attributes:
        type: of the meter: 10 to 19 water, 20 to 29 heat, 30 to 39 gas, 40 to 49 others.
        address: fourteen digits as printed on the meter; hex letters where a meter has them.
        preamble: how many FE stood before it.
        message: what the data say.
    """

    type: int
    address: str
    control: int
    data: bytes = b""
    preamble: int = 0
    message: Message | None = None

    @property
    def function(self) -> int:
        """What is asked for or answered: the lowest six bits of the control."""
        return self.control & FUNCTION

    @property
    def reply(self) -> bool:
        """Whether a meter says this, not its master."""
        return bool(self.control & REPLY)

    @property
    def refused(self) -> bool:
        """Whether the meter answers that it will not, or cannot."""
        return bool(self.control & REFUSED)

    @property
    def size(self) -> int:
        """Bytes on the line, with what woke the meter."""
        return self.preamble + LEAST + len(self.data)


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right frame, or a frame that brings no value.

    Attributes:
        consumed: how many bytes were taken off the stream for it.
        frame: with `bad_field`, `device_error` and `not_supported` the frame, whose sum was right.
    """

    code: Code
    consumed: int
    detail: str = ""
    frame: Frame | None = None


def read_frame(raw: bytes) -> Frame | Code:
    """The frame of exactly these bytes, from its 68; its data not yet understood."""
    if raw[-1] != END:
        return "bad_end"
    if sum(raw[:-2]) & 0xFF != raw[-2]:
        return "bad_checksum"
    return Frame(raw[1], raw[8:1:-1].hex().upper(), raw[9], raw[HEAD:-2])


def encode(frame: Frame) -> bytes:
    """A frame as it goes out; `message` is not looked at.

    Raises:
        ValueError: an address that is not fourteen digits, or more data than a frame holds.
    """
    address = bytes.fromhex(frame.address)[::-1]
    if len(address) != 7 or len(frame.data) > 255:
        raise ValueError(f"{frame.address}, {len(frame.data)} bytes")
    body = bytes([START, frame.type, *address, frame.control, len(frame.data)]) + frame.data
    return bytes([WAKE]) * frame.preamble + body + bytes([sum(body) & 0xFF, END])
