"""The check of HJ 212 (annex A). Not the CRC of Modbus: a byte meets the register's high byte only."""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    table = []
    for low in range(256):
        value = low
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_TABLE = _table()


def crc16(data: bytes) -> int:
    """The check of the data segment; it is written as four hex characters."""
    value = 0xFFFF
    for byte in data:
        # The high byte is shifted down and meets the next byte; the low byte is thrown away.
        value = _TABLE[value >> 8 ^ byte]
    return value
