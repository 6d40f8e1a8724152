"""The check of SZY 206 and SL/T 427: CRC-8, polynomial x7+x6+x5+x2+1 (E5), begun with 0, not reflected."""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value << 1 ^ 0xE5) & 0xFF if value & 0x80 else value << 1
        table.append(value)
    return tuple(table)


_TABLE = _table()


def crc8(data: bytes) -> int:
    """The check of the user data: from the control byte to what stands before the check."""
    value = 0
    for byte in data:
        value = _TABLE[value ^ byte]
    return value
