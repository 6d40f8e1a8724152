"""Frames of SL 651-2014 (clauses 6.2 to 6.6): written in HEX/BCD, read in both codings.

up    7E7E | centre 1 | station 5 | password 2 | function 1 | length 2 | 02 or 16 | body | 03 or 17 | CRC 2
down  7E7E | station 5 | centre 1 | the same, the length's highest four bits are 8    | 04 05 06 15 1B | CRC 2
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

STX, ETX, EOT, ENQ, ACK, NAK, SYN, ETB, ESC = 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x16, 0x17, 0x1B
MARK, SOH = b"\x7e\x7e", 0x01
_DOWN = 8
_HEAD, _HEAD_ASCII = 14, 24  # up to and with the start character


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
    """What a centre said. `packet` is the number that a NAK or a confirmation names, 0 without one.

    `sent` are the digits of its time, `rest` is what stands behind them; `words`: in ASCII coding.
    """

    station: bytes
    function: int
    serial: int
    end: int
    packet: int
    sent: str
    rest: bytes
    words: bool = False

    @property
    def data(self) -> bytes:
        """Data without an identifier, as bytes."""
        return bytes.fromhex(self.rest.decode().replace(" ", "")) if self.words else self.rest

    def asked(self) -> list[int]:
        """The identifiers of parameters that are asked for."""
        if self.words:
            return [int(word, 16) for word in self.rest.decode().split()]
        return list(self.rest[::2])

    def period(self) -> tuple[datetime, datetime, tuple[int, int, int]]:
        """From when, to when, by which step (days, hours, minutes)."""
        if self.words:
            first, last, step = self.rest.decode().split()[:3]
            count = {"D": 0, "H": 1, "N": 2}[step[2]]
            parts = tuple(int(step[3:]) if n == count else 0 for n in range(3))
        else:
            first, last = self.rest[:4].hex(), self.rest[4:8].hex()
            digits = self.rest[10:13].hex()
            parts = tuple(int(digits[at : at + 2]) for at in (0, 2, 4))
        begin, end = (datetime.strptime(each, "%y%m%d%H") for each in (first, last))  # noqa: DTZ007
        return begin, end, (parts[0], parts[1], parts[2])


class Reader:
    """Frames of a centre out of a stream, in either coding; what is no frame is passed over."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Told]:
        """Every whole frame that is there now."""
        self._kept += data
        told: list[Told] = []
        while self._kept:
            words = self._kept[0] == SOH
            if not words and self._kept[:2] != MARK[: len(self._kept)]:
                del self._kept[:1]
                continue
            head, check = (_HEAD_ASCII, 4) if words else (_HEAD, 2)
            if len(self._kept) < head:
                break
            field = bytes(self._kept[19:23] if words else self._kept[11:13])
            length = _plain(field, words)
            if length is None or length >> 12 != _DOWN or self._kept[head - 1] not in (STX, SYN):
                del self._kept[:1]
                continue
            size = head + (length & 0xFFF) + 1 + check
            if len(self._kept) < size:
                break
            raw = bytes(self._kept[:size])
            if crc(raw[:-check]) != _plain(raw[-check:], words):
                del self._kept[:1]
                continue
            del self._kept[:size]
            told.append(_told(raw, head, check, words=words))
        return told


def _plain(field: bytes, words: bool) -> int | None:
    try:
        return int(field, 16) if words else int.from_bytes(field, "big")
    except ValueError:
        return None


def _told(raw: bytes, head: int, check: int, *, words: bool) -> Told:
    body, packet = raw[head : -check - 1], 0
    if raw[head - 1] == SYN:
        count = 6 if words else 3
        packet = (_plain(body[:count], words) or 0) & 0xFFF
        body = body[count:]
    end = raw[-check - 1]
    if words:
        plain = bytes.fromhex(raw[1 : head - 1].decode())
        serial, sent, rest = int(body[:4], 16), body[4:16].decode(), body[16:]
    else:
        plain = raw[2 : head - 1]
        serial, sent, rest = int.from_bytes(body[:2], "big"), body[2:8].hex(), body[8:]
    return Told(plain[:5], plain[8], serial, end, packet, sent, rest, words)
