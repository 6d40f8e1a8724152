"""Frames as the standards have them: DL/T 645 clause 5.2, CJ/T 188 clause 6, MODBUS over Serial Line 2.5."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class Asked(NamedTuple):
    """A request that a meter of one of the three kinds understands."""

    protocol: str
    address: str
    control: int
    data: bytes
    #: CJ/T 188: the type of the meter that is meant.
    kind: int = 0


def bcd(number: int, size: int) -> bytes:
    """Digits, two in a byte, the lowest byte first."""
    text = f"{number:0{2 * size}d}"
    return bytes(int(text[at : at + 2], 16) for at in range(2 * size - 2, -2, -2))


def signed(number: int, size: int) -> bytes:
    """Digits with a sign in the highest bit."""
    raw = bcd(abs(number), size)
    return raw[:-1] + bytes([raw[-1] | 0x80]) if number < 0 else raw


def moment(at: datetime, *parts: str) -> bytes:
    """Digits of a time, the parts in the order of the wire: S, M, H, d, m, y, C (century), w (weekday)."""
    text = {
        "S": f"{at:%S}", "M": f"{at:%M}", "H": f"{at:%H}", "d": f"{at:%d}", "m": f"{at:%m}",
        "y": f"{at:%y}", "C": f"{at.year // 100}", "w": f"0{at.isoweekday() % 7}",
    }  # fmt: skip
    return bytes.fromhex("".join(text[part] for part in parts))


def requests_in(heard: bytes) -> tuple[list[Asked], bytes]:
    """The requests in what was heard, and what is left of it. Noise is passed over."""
    found, at = [], 0
    while at < len(heard):
        taken = _one(heard, at)
        if taken is None:
            at += 1
            continue
        asked, size = taken
        found.append(asked)
        at += size
    # What may still become a request: the last one begins at the last 68 or unit id, and is short.
    return found, b"" if found else heard[-64:]


def _one(heard: bytes, at: int) -> tuple[Asked, int] | None:
    rest = heard[at:]
    if len(rest) >= 12 and rest[0] == 0x68 and rest[7] == 0x68:
        size = 12 + rest[9]
        if _sums(rest, size):
            data = bytes((each + 0xCD) & 0xFF for each in rest[10 : size - 2])
            return Asked("dlt645", _text(rest[1:7]), rest[8], data), size
    if len(rest) >= 13 and rest[0] == 0x68:
        size = 13 + rest[10]
        if _sums(rest, size):
            return Asked("cjt188", _text(rest[2:9]), rest[9], rest[11 : size - 2], rest[1]), size
    if len(rest) >= 8 and rest[1] in (3, 4) and crc(rest[:6]) == rest[6:8]:
        return Asked("modbus", str(rest[0]), rest[1], rest[2:6]), 8
    # Who asks for an identification has another function, and is told that there is none.
    if len(rest) >= 7 and rest[1] == 0x2B and crc(rest[:5]) == rest[5:7]:
        return Asked("modbus", str(rest[0]), rest[1], rest[2:5]), 7
    return None


def _sums(rest: bytes, size: int) -> bool:
    whole = rest[:size]
    return len(whole) == size and whole[-1] == 0x16 and sum(whole[:-2]) % 256 == whole[-2]


def _text(raw: bytes) -> str:
    return "".join(f"{each:02X}" for each in reversed(raw))


def _closed(body: bytes) -> bytes:
    return body + bytes([sum(body) % 256, 0x16])


def answer_645(address: str, control: int, data: bytes) -> bytes:
    """What an electricity meter says, without the FE before it."""
    raw = bytes.fromhex(address)[::-1]
    masked = bytes((each + 0x33) & 0xFF for each in data)
    return _closed(b"\x68" + raw + b"\x68" + bytes([control, len(data)]) + masked)


def answer_188(kind: int, address: str, control: int, data: bytes) -> bytes:
    """What a water, heat or gas meter says, without the FE before it."""
    raw = bytes.fromhex(address)[::-1]
    return _closed(b"\x68" + bytes([kind]) + raw + bytes([control, len(data)]) + data)


def answer_modbus(unit: int, function: int, words: bytes) -> bytes:
    """Registers read."""
    body = bytes([unit, function, len(words)]) + words
    return body + crc(body)


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, lowest byte first."""
    value = 0xFFFF
    for each in data:
        value ^= each
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
