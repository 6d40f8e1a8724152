"""One frame of DL/T 645, in the edition of 2007 and of 1997 alike (clause 5.2): how it is read and written.

[FE ...] 68 | address 6, BCD, lowest first | 68 | control | length | data + 33H each | sum | 16

The sum covers everything from the first 68 to the data. Any number of FE may stand before a frame.
The editions differ in the codes of the functions and in identifiers of four bytes and of two.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate_drivers.dlt645.messages import Message

#: What can be wrong. `truncated` is said when the line ends, or when a later frame is whole already;
#: `device_error` and `not_supported` are whole frames.
Code = Literal[
    "bad_start", "bad_end", "bad_length", "bad_checksum", "bad_field", "truncated", "device_error",
    "not_supported",
]  # fmt: skip
Edition = Literal["2007", "1997"]

START, END, WAKE, OFFSET = 0x68, 0x16, 0xFE, 0x33
#: Bytes up to and with the length; all but the data; the most before a frame that belongs to it.
HEAD, LEAST, LONGEST_WAKE = 10, 12, 32
LONGEST = LONGEST_WAKE + LEAST + 255
#: Every meter takes this address for its own; what is sent to the other is answered by none.
EVERYBODY, BROADCAST = "AA" * 6, "99" * 6

REPLY, REFUSED, MORE, FUNCTION = 0x80, 0x40, 0x20, 0x1F
#: Functions of 1997. 08 is both editions', 03 is authentication where identifiers have four bytes.
_FUNCTIONS_1997 = frozenset({0x01, 0x02, 0x03, 0x04, 0x0A, 0x0C, 0x0F, 0x10})


class Frame(msgspec.Struct, frozen=True):
    """One frame whose end and sum are right.

    Attributes:
        address: twelve digits as on the meter's plate; AA where any digit will do.
        data: without the 33H on each byte.
        preamble: how many FE stood before it.
        message: what the data say.
    """

    address: str
    control: int
    data: bytes = b""
    preamble: int = 0
    message: Message | None = None

    @property
    def function(self) -> int:
        """What is asked for or answered: the lowest five bits of the control."""
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
    def more(self) -> bool:
        """Whether follow-up frames wait in the meter."""
        return bool(self.control & MORE)

    @property
    def edition(self) -> Edition:
        """By its function."""
        return edition_of(self.control)

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


def edition_of(control: int) -> Edition:
    """The edition that has such a function."""
    return "1997" if control & FUNCTION in _FUNCTIONS_1997 else "2007"


def read_frame(raw: bytes) -> Frame | Code:
    """The frame of exactly these bytes, from its first 68; its data not yet understood."""
    if raw[-1] != END:
        return "bad_end"
    if sum(raw[:-2]) & 0xFF != raw[-2]:
        return "bad_checksum"
    data = bytes((each - OFFSET) & 0xFF for each in raw[HEAD:-2])
    return Frame(raw[6:0:-1].hex().upper(), raw[8], data)


def encode(frame: Frame) -> bytes:
    """A frame as it goes out; `message` is not looked at.

    Raises:
        ValueError: an address that is not twelve digits, or more data than a frame holds.
    """
    address = bytes.fromhex(frame.address)[::-1]
    if len(address) != 6 or len(frame.data) > 255:
        raise ValueError(f"{frame.address}, {len(frame.data)} bytes")
    body = bytes([START, *address, START, frame.control, len(frame.data)])
    body += bytes((each + OFFSET) & 0xFF for each in frame.data)
    return bytes([WAKE]) * frame.preamble + body + bytes([sum(body) & 0xFF, END])


def same_meter(asked: str, answered: str) -> bool:
    """Whether an answer from this address may be the one that was asked: AA stands for any digits."""
    pairs = zip(_pairs(asked), _pairs(answered), strict=False)
    return len(asked) == len(answered) and all(a in ("AA", b) for a, b in pairs)


def _pairs(address: str) -> list[str]:
    return [address[at : at + 2].upper() for at in range(0, len(address), 2)]
