"""What the street's devices say, byte for byte, and what they are asked."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

HEARTBEAT, ALARM, POWER_ON = 1, 2, 3
COVER_OPEN, WATER_HIGH, BATTERY_LOW = 1, 2, 4


@dataclass(frozen=True, slots=True)
class CoverState:
    """What a cover measures, in the units of its frame."""

    flags: int
    tilt_tenths: int
    level_mm: int
    battery_mv: int
    temperature_tenths: int
    sample: int


def cover_word(address: int, sequence: int, kind: int, state: CoverState, rssi: int) -> bytes:
    """A cover's words as the concentrator hands them on."""
    items = (
        struct.pack(">BBH", 1, 2, state.flags)
        + struct.pack(">BBH", 2, 2, state.tilt_tenths)
        + struct.pack(">BBH", 3, 2, state.level_mm)
        + struct.pack(">BBH", 4, 2, state.battery_mv)
        + struct.pack(">BBh", 5, 2, state.temperature_tenths)
        + struct.pack(">BBI", 6, 4, state.sample)
    )
    body = struct.pack(">IBB", address, sequence & 0xFF, kind) + items + struct.pack(">b", rssi)
    frame = b"\x7e\x43" + bytes([len(body) + 2]) + body
    return frame + struct.pack(">H", binascii.crc_hqx(frame, 0xFFFF))


def acknowledged(buffer: bytearray) -> list[tuple[int, int]]:
    """(address, sequence) of each whole acknowledgement, taken from `buffer`."""
    found = []
    while (at := buffer.find(b"\x7e\x41\x07")) >= 0 and len(buffer) >= at + 10:
        frame = bytes(buffer[at : at + 10])
        del buffer[: at + 10]
        if binascii.crc_hqx(frame, 0xFFFF) == 0:
            found.append(struct.unpack(">IB", frame[3:8]))
    del buffer[:-10]
    return found


def probe_answer(address: int, distance_mm: int, temperature_tenths: int, sample: int) -> bytes:
    """An ultrasonic probe of firmware 2: metres, degrees, a counter, a CRC in hex."""
    body = f"#{address:02d} D={distance_mm / 1000:.3f} T={temperature_tenths / 10:+.1f} N={sample}"
    return f"{body}*{crc16_modbus(body.encode()):04X}\r\n".encode()


def probe_question(line: bytes) -> int | None:
    """The address that a request `#01R` asks; None when it is none."""
    text = line.strip(b"\r\n\0 ")
    if len(text) == 4 and text[:1] == b"#" and text[3:] == b"R" and text[1:3].isdigit():
        return int(text[1:3])
    return None


def gas_answer(ppm_tenths: int, temperature_c: int, status: int) -> bytes:
    """A gas head: FF 86, nine bytes, the sum of bytes 1 to 7 negated."""
    body = struct.pack(">BBHBBBB", 0xFF, 0x86, ppm_tenths, temperature_c + 40, status, 0, 0)
    return body + bytes([-sum(body[1:]) & 0xFF])


def sentence(text: str) -> bytes:
    """An NMEA 0183 sentence with its checksum."""
    value = 0
    for letter in text.encode():
        value ^= letter
    return f"${text}*{value:02X}\r\n".encode()


def crc16_modbus(data: bytes) -> int:
    """CRC-16 of MODBUS over serial line V1.02, section 6.2.2, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
