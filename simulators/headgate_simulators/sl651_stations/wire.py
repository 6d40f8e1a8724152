"""Frames of SL 651-2014 in HEX/BCD coding (clauses 6.2 to 6.6), as a station writes and reads them.

up    7E7E | centre 1 | station 5 | password 2 | function 1 | length 2 | 02 or 16 | body | 03 or 17 | CRC 2
down  7E7E | station 5 | centre 1 | the same, the length's highest four bits are 8    | 04 05 06 15 1B | CRC 2
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

STX, ETX, EOT, ENQ, ACK, NAK, SYN, ETB, ESC = 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x16, 0x17, 0x1B
MARK = b"\x7e\x7e"
_DOWN = 8
_HEAD = 14  # up to and with the start character


def crc(data: bytes) -> int:
    """CRC-16 with the polynomial 8005, bits reflected, begun with FFFF."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (0xA001 if index & 1 else 0)
    return index


_TABLE = tuple(_entry(index) for index in range(256))


def bcd(value: float, size: int, decimals: int = 0) -> bytes:
    """A number as `size` bytes of digits; below zero a leading FF stands for the sign."""
    whole = round(value * 10**decimals)
    if whole < 0:
        return b"\xff" + bytes.fromhex(str(-whole).zfill(2 * size - 2))
    return bytes.fromhex(str(whole).zfill(2 * size))


def element(code: int, value: float | None, size: int, decimals: int) -> bytes:
    """Identifier, definition (length in the upper five bits, decimals below), data; None is all F."""
    data = b"\xff" * size if value is None else bcd(value, size, decimals)
    return bytes([code, size << 3 | decimals]) + data


def when(at: datetime, size: int) -> bytes:
    """A time: six bytes to the second, five to the minute."""
    return bytes.fromhex(at.strftime("%y%m%d%H%M%S")[: 2 * size])


def up(
    centre: int,
    station: bytes,
    password: int,
    function: int,
    body: bytes,
    end: int = ETX,
    packet: tuple[int, int] | None = None,
) -> bytes:
    """One frame of a station. `packet`: how many there are, and which one this is, from 1."""
    start = STX
    if packet is not None:
        start, (total, number) = SYN, packet
        body = (total << 12 | number).to_bytes(3, "big") + body
    raw = MARK + bytes([centre]) + station + password.to_bytes(2, "big") + bytes([function])
    raw += len(body).to_bytes(2, "big") + bytes([start]) + body + bytes([end])
    return raw + crc(raw).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Told:
    """What a centre said. `packet` is the number that a NAK or a confirmation names, 0 without one."""

    station: bytes
    function: int
    serial: int
    end: int
    packet: int
    body: bytes


class Reader:
    """Frames of a centre out of a stream; what is no frame is passed over."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Told]:
        """Every whole frame that is there now."""
        self._kept += data
        told: list[Told] = []
        while True:
            begin = self._kept.find(MARK)
            if begin < 0:
                del self._kept[:-1]
                return told
            del self._kept[:begin]
            if len(self._kept) < _HEAD:
                return told
            length = int.from_bytes(self._kept[11:13], "big")
            size = _HEAD + (length & 0xFFF) + 3
            if length >> 12 != _DOWN or self._kept[13] not in (STX, SYN):
                del self._kept[:1]
                continue
            if len(self._kept) < size:
                return told
            raw = bytes(self._kept[:size])
            if crc(raw[:-2]) != int.from_bytes(raw[-2:], "big"):
                del self._kept[:1]
                continue
            del self._kept[:size]
            told.append(_told(raw))


def _told(raw: bytes) -> Told:
    body, packet = raw[_HEAD:-3], 0
    if raw[13] == SYN:
        packet, body = int.from_bytes(body[:3], "big") & 0xFFF, body[3:]
    return Told(raw[2:7], raw[10], int.from_bytes(body[:2], "big"), raw[-3], packet, body)
