"""The check of SL 651 (table 11): CRC-16, polynomial 8005 reflected, begun with FFFF, high byte first."""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_TABLE = _table()


def crc16(data: bytes) -> int:
    """The check of everything before it, the start characters too."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value
