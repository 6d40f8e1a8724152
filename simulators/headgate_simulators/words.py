"""Numbers as 16-bit Modbus words, in the orders the manuals name.

`ABCD` sends the high word first, `CDAB` the low word first; inside a word the high byte leads.
"""

from __future__ import annotations

import struct
from typing import Literal

WordOrder = Literal["ABCD", "CDAB"]


def i16(value: int) -> int:
    """A signed number as one word (two's complement)."""
    return value & 0xFFFF


def u32(value: int, order: WordOrder) -> list[int]:
    """An unsigned 32-bit number as two words; it wraps at 2^32."""
    high, low = (value >> 16) & 0xFFFF, value & 0xFFFF
    return [high, low] if order == "ABCD" else [low, high]


def f32(value: float, order: WordOrder) -> list[int]:
    """A single-precision float (IEEE 754) as two words."""
    return u32(int.from_bytes(struct.pack(">f", value), "big"), order)


def as_f32(value: float) -> float:
    """What is left of `value` after single precision: the number the device really told."""
    told: float = struct.unpack(">f", struct.pack(">f", value))[0]
    return told


def text(value: str, words: int) -> list[int]:
    """ASCII text, two characters a word, padded with NUL."""
    raw = value.encode("ascii").ljust(2 * words, b"\0")[: 2 * words]
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
