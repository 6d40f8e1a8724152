"""Checksums as sensors use them: sums, XOR, and CRCs by polynomial. Pure.

CRC parameters are named as in Ross Williams, "A Painless Guide to CRC Error Detection Algorithms"
(1993), section 15: width, poly, init, refin, refout, xorout.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec


class Checksum(msgspec.Struct, frozen=True):
    """One way to compute a check value of `width` bits; the CRC fields matter to `crc` alone."""

    kind: Literal["sum", "xor", "crc"]
    width: int = 8
    poly: int = 0
    init: int = 0
    reflect_in: bool = False
    reflect_out: bool = False
    xorout: int = 0
    #: A sum is sent as its two's complement: all covered bytes and the sum add up to 0.
    negate: bool = False

    def of(self, data: bytes) -> int:
        """The check value of `data`."""
        mask = (1 << self.width) - 1
        if self.kind == "sum":
            total = sum(data)
            return ((-total if self.negate else total) & mask) ^ self.xorout
        if self.kind == "xor":
            value = self.init
            for byte in data:
                value ^= byte
            return value ^ self.xorout
        return self._crc(data, mask)

    def _crc(self, data: bytes, mask: int) -> int:
        table = _table(self.width, self.poly, self.reflect_in)
        if self.reflect_in:
            value = _mirrored(self.init, self.width)
            for byte in data:
                value = value >> 8 ^ table[(value ^ byte) & 0xFF]
        else:
            value, shift = self.init, self.width - 8
            for byte in data:
                value = value << 8 & mask ^ table[value >> shift & 0xFF ^ byte]
        if self.reflect_in != self.reflect_out:
            value = _mirrored(value, self.width)
        return value ^ self.xorout


@lru_cache(maxsize=64)
def _table(width: int, poly: int, reflected: bool) -> tuple[int, ...]:
    """What each byte does to the register."""
    mask, top = (1 << width) - 1, 1 << (width - 1)
    table = []
    for byte in range(256):
        value = (_mirrored(byte, 8) if reflected else byte) << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ poly if value & top else value << 1) & mask
        table.append(_mirrored(value, width) if reflected else value)
    return tuple(table)


def _mirrored(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


def _crc(width: int, poly: int, init: int = 0, reflect: bool = False, xorout: int = 0) -> Checksum:
    return Checksum("crc", width, poly, init, reflect, reflect, xorout)


#: What `check` may name. `crc8`, `crc16` and `crc32` alone want a `crc_poly` beside them.
ALGORITHMS: dict[str, Checksum] = {
    "sum8": Checksum("sum"),
    "sum8-negated": Checksum("sum", negate=True),
    "sum8-inverted": Checksum("sum", xorout=0xFF),
    "sum16": Checksum("sum", 16),
    "xor8": Checksum("xor"),
    "crc8": _crc(8, 0),
    "crc16": _crc(16, 0),
    "crc32": _crc(32, 0),
    "crc8-smbus": _crc(8, 0x07),
    "crc8-maxim": _crc(8, 0x31, reflect=True),
    "crc8-nrsc5": _crc(8, 0x31, init=0xFF),
    "crc16-modbus": _crc(16, 0x8005, 0xFFFF, reflect=True),
    "crc16-arc": _crc(16, 0x8005, reflect=True),
    "crc16-ccitt-false": _crc(16, 0x1021, 0xFFFF),
    "crc16-xmodem": _crc(16, 0x1021),
    "crc16-kermit": _crc(16, 0x1021, reflect=True),
    "crc16-x25": _crc(16, 0x1021, 0xFFFF, reflect=True, xorout=0xFFFF),
    "crc32-iso-hdlc": _crc(32, 0x04C11DB7, 0xFFFFFFFF, reflect=True, xorout=0xFFFFFFFF),
}
