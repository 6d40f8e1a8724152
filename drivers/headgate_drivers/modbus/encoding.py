"""How a value stands in registers, and how many of them become a column at once.

`gather` values of plain encodings are moved as bytes, byte-swapped in C; the others (BCD, bits, half
registers, text) are decoded one by one. Order letters: A is the most significant byte, as it stands
in the frame. With four registers, CDAB reverses the registers, BADC the bytes within each, DCBA both.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Literal, NamedTuple

from headgate.sdk import FORMAT, WIDTH, Column, ColumnType, Value

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
ORDERS: tuple[Order, ...] = ("ABCD", "CDAB", "BADC", "DCBA")

#: Encodings whose bytes are the column's bytes, once in order: column type and registers.
PLAIN: dict[str, tuple[ColumnType, int]] = {
    "uint16": ("u16", 1), "int16": ("i16", 1), "bits": ("u16", 1), "uint32": ("u32", 2), "int32": ("i32", 2),
    "uint64": ("u64", 4), "int64": ("i64", 4), "float32": ("f32", 2), "float64": ("f64", 4),
}  # fmt: skip
#: Encodings that are decoded one by one: registers. Text says its length itself.
DECODED: dict[str, int] = {
    "bcd16": 1, "bcd32": 2, "bcd64": 4, "uint8_high": 1, "uint8_low": 1, "int8_high": 1, "int8_low": 1,
    "bool": 1, "text": 0,
}  # fmt: skip

_INTEGERS = ("u16", "i16", "u32", "i32", "u64", "i64")


class BadValue(Exception):
    """These bytes are no value of this encoding. Becomes bad quality; never leaves the driver."""


Decode = Callable[[bytes], Value]


class Encoding(NamedTuple):
    """One point's way of standing in registers."""

    name: str
    registers: int
    order: Order = "ABCD"
    bit: int | None = None
    charset: str = "utf-8"

    def fits(self, column: ColumnType) -> bool:
        """Whether this encoding can be announced as that column type."""
        if self.name in PLAIN:
            return PLAIN[self.name][0] == column
        if self.name == "text":
            return column == "text"
        if self.name == "bool":
            return column == "bool"
        return column in _INTEGERS

    def decode(self) -> Decode:
        """The function from the value's bytes, as framed, to the raw value. It raises BadValue."""
        name, order = self.name, self.order
        if name in PLAIN:
            unpack = struct.Struct(f">{FORMAT[PLAIN[name][0]]}").unpack
            return lambda raw: unpack(in_order(raw, order, len(raw)))[0]
        if name.startswith("bcd"):
            return lambda raw: _bcd(in_order(raw, order, len(raw)))
        if name == "text":
            charset = self.charset
            return lambda raw: _text(in_order(raw, order, 2), charset)
        swapped = order in ("BADC", "DCBA")
        if name == "bool":
            return _bool(self.bit, swapped)
        high = name.endswith("_high") is not swapped
        signed = name.startswith("int8")
        at = 0 if high else 1
        return lambda raw: int.from_bytes(raw[at : at + 1], "big", signed=signed)


def _bool(bit: int | None, swapped: bool) -> Decode:
    if bit is None:
        return lambda raw: raw != b"\0\0"
    if swapped:
        bit = bit ^ 8
    at, mask = 1 - bit // 8, 1 << bit % 8
    return lambda raw: bool(raw[at] & mask)


def _bcd(raw: bytes) -> int:
    text = raw.hex()
    if not text.isdecimal():
        raise BadValue(f"{text} is not BCD")
    return int(text)


def _text(raw: bytes, charset: str) -> str:
    try:
        return raw.split(b"\0", 1)[0].decode(charset).strip()
    except UnicodeError as error:
        raise BadValue(f"{raw.hex()} is not {charset}") from error


def in_order(data: bytes, order: Order, width: int) -> bytes:
    """`data`, values of `width` bytes each in the device's order, as big-endian values.

    Text passes a width of 2: its registers stand in reading order whatever the order letters say.
    """
    if order == "ABCD" or (order == "CDAB" and width == 2):
        return data
    if order == "BADC" or width == 2:
        return _reversed_each(data, 2)
    swapped = _reversed_each(data, width)
    # Reversing all bytes and then those of each register leaves the registers reversed.
    return swapped if order == "DCBA" else _reversed_each(swapped, 2)


_CODES = {array(code).itemsize: code for code in "HIQ"}


def _reversed_each(data: bytes, width: int) -> bytes:
    swap = array(_CODES[width], data)
    swap.byteswap()
    return swap.tobytes()


_EIGHT_BITS = tuple(bytes(value >> bit & 1 for bit in range(8)) for value in range(256))


def unpack_bits(data: bytes) -> bytes:
    """One byte, 0 or 1, for each bit, the lowest of the first byte first (V1.1b3 section 6.1)."""
    return b"".join(map(_EIGHT_BITS.__getitem__, data))


def blank(column: ColumnType, count: int) -> Column:
    """What stands in a column where there is no value."""
    if column == "text":
        return ("",) * count
    if column == "bytes":
        return (b"",) * count
    return bytes(WIDTH[column] * count)
