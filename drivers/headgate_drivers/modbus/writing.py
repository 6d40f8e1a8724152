"""Values into registers and coils: what a write sends, and how it is read back. Pure.

Sources: MODBUS Application Protocol V1.1b3 sections 6.5 (coil), 6.6 (register), 6.11 (coils), 6.12
(registers), 6.16 (mask write).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from headgate.sdk import FORMAT, Value
from headgate_drivers.modbus.codec import (
    MASK_WRITE,
    READ_COILS,
    READ_HOLDING,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    WRITE_REGISTERS,
    Request,
)
from headgate_drivers.modbus.encoding import PLAIN, Encoding, in_order
from headgate_drivers.modbus.plan import Place


class NotWritable(Exception):
    """A value that cannot stand in this place, or a place that nothing can be written to."""


class Write(NamedTuple):
    """What to send, and what the registers or the coil then hold.

    `pdu` writes the whole; where only some bits of one register are meant, `keep` masks those that
    must stay, and `pdu` is a mask write: a device that does not know it is read, and written as a whole.
    """

    pdu: bytes
    readback: Request
    keep: int = 0
    bits: int = 0


def write_of(place: Place, value: Value, multiple: bool = False) -> Write:
    """The write of one raw value.

    Args:
        multiple: use functions 15 and 16 also for a single coil or register.

    Raises:
        NotWritable: an input, which Modbus cannot write; or a value of the wrong kind or size.
    """
    readback = Request(place.function, place.start, place.count)
    address = place.start.to_bytes(2, "big")
    if place.function == READ_COILS:
        on = _bool(value)
        if multiple:
            return Write(bytes((WRITE_COILS,)) + address + b"\0\1\1" + bytes((on,)), readback)
        return Write(bytes((WRITE_COIL,)) + address + (b"\xff\0" if on else b"\0\0"), readback)
    if place.function != READ_HOLDING:
        raise NotWritable("an input register or a discrete input")
    encoding = place.encoding
    if (part := _part(encoding, value)) is not None:
        keep, bits = part
        if not keep:  # the whole register after all
            return Write(_registers(address, bits.to_bytes(2, "big"), multiple), readback)
        mask = bytes((MASK_WRITE,)) + address + keep.to_bytes(2, "big") + bits.to_bytes(2, "big")
        return Write(mask, readback, keep, bits)
    data = encode(encoding, value)
    return Write(_registers(address, data, multiple), readback)


def whole(write: Write, now: bytes, multiple: bool = False) -> bytes:
    """The PDU that writes the part of a register over what it holds `now`."""
    word = int.from_bytes(now, "big") & write.keep | write.bits
    return _registers(write.pdu[1:3], word.to_bytes(2, "big"), multiple)


def encode(encoding: Encoding, value: Value) -> bytes:
    """A raw value as it stands in the frame: the inverse of `Encoding.decode`.

    Raises:
        NotWritable: it does not fit.
    """
    name, order = encoding.name, encoding.order
    try:
        if name in PLAIN:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise NotWritable(f"{value!r} is no number")
            letter = FORMAT[PLAIN[name][0]]
            number: int | float = value
            if letter not in "fd":
                if value != int(value):
                    raise NotWritable(f"{number} is not a whole number")
                number = int(value)
            raw = struct.pack(f">{letter}", number)
            return in_order(raw, order, len(raw))
        if name.startswith("bcd"):
            size = int(name[3:]) // 8
            digits = f"{_whole(value):0{size * 2}d}"
            if len(digits) > size * 2 or digits[0] == "-":
                raise NotWritable(f"it has no {size * 2} digits")
            return in_order(bytes.fromhex(digits), order, size)
        if name == "text":
            return _text(encoding, value)
    except (struct.error, OverflowError) as error:
        raise NotWritable(str(error)) from error
    raise NotWritable(f"{name} stands for a part of a register")


def _registers(address: bytes, data: bytes, multiple: bool) -> bytes:
    if len(data) == 2 and not multiple:
        return bytes((WRITE_REGISTER,)) + address + data
    count = len(data) // 2
    return bytes((WRITE_REGISTERS,)) + address + struct.pack(">HB", count, len(data)) + data


def _part(encoding: Encoding, value: Value) -> tuple[int, int] | None:
    """(bits to keep, bits to set) of a value that is a part of one register, else None."""
    swapped = encoding.order in ("BADC", "DCBA")
    if encoding.name == "bool":
        on = _bool(value)
        if encoding.bit is None:
            return 0, int(on)
        bit = 1 << (encoding.bit ^ 8 if swapped else encoding.bit)
        return 0xFFFF & ~bit, bit if on else 0
    if encoding.name.startswith(("uint8", "int8")):
        low, top = (-128, 127) if encoding.name.startswith("int8") else (0, 255)
        number = _whole(value)
        if not low <= number <= top:
            raise NotWritable(f"{number} is not {low} to {top}")
        high = encoding.name.endswith("_high") is not swapped
        return (0x00FF, (number & 0xFF) << 8) if high else (0xFF00, number & 0xFF)
    return None


def _bool(value: Value) -> bool:
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise NotWritable(f"{value!r} is neither on nor off")


def _whole(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise NotWritable(f"{value!r} is not a whole number")
    return int(value)


def _text(encoding: Encoding, value: Value) -> bytes:
    if not isinstance(value, str):
        raise NotWritable(f"{value!r} is no text")
    try:
        raw = value.encode(encoding.charset)
    except UnicodeError as error:
        raise NotWritable(f"it is not {encoding.charset}") from error
    if len(raw) > encoding.registers * 2:
        raise NotWritable(f"longer than {encoding.registers * 2} bytes")
    return in_order(raw.ljust(encoding.registers * 2, b"\0"), encoding.order, 2)
