"""Frames of DL/T 698.45 that newer meters speak on the same pair: told apart, never read here. Pure.

68 | length 2 | control | addresses | check 2 | ... | check 2 | 16, both checks CRC-16/X-25.
"""

from __future__ import annotations

#: The length counts all but the two marks; its two highest bits say the unit.
_SHORTEST, _LONGEST = 9, 512


def size_of(buffer: bytearray, at: int) -> int | None:
    """How long such a frame beginning here would be; None where none begins."""
    if len(buffer) < at + 6 or buffer[at] != 0x68:
        return None
    length = buffer[at + 1] | buffer[at + 2] << 8
    # Functions are 1 (link) and 3 (user data); an address type has at most 16 bytes.
    if not _SHORTEST <= length <= _LONGEST or buffer[at + 3] & 0x07 not in (1, 3):
        return None
    head = 1 + 2 + 1 + 1 + (buffer[at + 4] & 0x0F) + 1 + 1
    if len(buffer) >= at + head + 2:
        said = buffer[at + head] | buffer[at + head + 1] << 8
        if said != x25(bytes(buffer[at + 1 : at + head])):
            return None
    return length + 2


def whole(buffer: bytearray, at: int, size: int) -> bool | None:
    """Whether the frame of this size is right; None when bytes are missing."""
    if len(buffer) < at + size:
        return None
    raw = bytes(buffer[at : at + size])
    return raw[-1] == 0x16 and int.from_bytes(raw[-3:-1], "little") == x25(raw[1:-3])


def x25(data: bytes) -> int:
    """CRC-16/X-25."""
    crc = 0xFFFF
    for each in data:
        crc ^= each
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return crc ^ 0xFFFF
