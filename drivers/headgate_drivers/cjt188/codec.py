"""Frames and values of CJ/T 188-2004. Pure, and never raises on what it is fed.

    68 | type | address (7, BCD, lowest first) | control | length | data | sum | 16

Any number of FE may stand before a frame. The sum covers everything from 68 to the data, modulo 256.
"""

from __future__ import annotations

from typing import NamedTuple

from headgate.sdk import Frame

START, END, WAKE = 0x68, 0x16, 0xFE
READ, ANSWER, REFUSED = 0x01, 0x81, 0xC1
READ_ADDRESS, ADDRESS_TOLD = 0x03, 0x83
#: The address that every meter takes for its own.
EVERYBODY = "AA" * 7
#: What is read of whoever is there (table "data identifiers"): its address.
ADDRESS = 0x810A
#: What a read asks for (table "data identifiers"): the meter's present data.
PRESENT = 0x901F
LEAST, LONGEST = 13, 13 + 255
#: Length of the data of a water or gas meter: identifier, serial, two volumes with units, time, status.
VOLUMES = 22
#: Litres of one count of a volume by its unit: BCD with two decimals.
LITRES = {0x29: 0.01, 0x2C: 10.0}


class Telegram(NamedTuple):
    """One whole frame."""

    type: int
    #: Fourteen digits as printed on the meter; hex letters where a meter has them.
    address: str
    control: int
    data: bytes


class Volumes(NamedTuple):
    """What a water or gas meter tells. A volume is None where its digits are none (FF: no data)."""

    total_m3: float | None
    settlement_m3: float | None
    status: int


def write(kind: int, address: str, control: int, data: bytes) -> bytes:
    """A frame as it goes out. Raises ValueError when the address is not fourteen digits."""
    raw = bytes.fromhex(address)[::-1]
    if len(raw) != 7:
        raise ValueError(address)
    body = bytes([START, kind]) + raw + bytes([control, len(data)]) + data
    return body + bytes([sum(body) & 0xFF, END])


def read(frame: bytes) -> Telegram | None:
    """A frame without what stands before it; None when anything about it is wrong."""
    if len(frame) < LEAST or frame[0] != START or len(frame) != LEAST + frame[10]:
        return None
    if frame[-1] != END or sum(frame[:-2]) & 0xFF != frame[-2]:
        return None
    return Telegram(frame[1], frame[8:1:-1].hex().upper(), frame[9], frame[11:-2])


class Telegrams:
    """Cuts telegrams out of what comes; the key is the address. `damaged` counts what was none."""

    unique_keys = False

    def __init__(self) -> None:
        self.damaged = 0

    def next(self, buffer: bytearray) -> Frame | None:
        """The next whole telegram of any meter."""
        while True:
            at = buffer.find(START)
            del buffer[: at if at >= 0 else len(buffer)]
            if len(buffer) < LEAST:
                return None
            size = LEAST + buffer[10]
            if len(buffer) < size:
                ahead = self._ahead(buffer)
                if ahead is None:
                    return None
                del buffer[:ahead]
                continue
            telegram = read(bytes(buffer[:size]))
            if telegram is not None:
                payload = bytes(buffer[:size])
                del buffer[:size]
                return Frame(telegram.address, payload)
            self.damaged += 1
            del buffer[:1]

    def _ahead(self, buffer: bytearray) -> int | None:
        """Where a later telegram begins that is complete and right."""
        at = 0
        for _ in range(16):
            at = buffer.find(START, at + 1)
            if at < 0 or len(buffer) < at + LEAST:
                return None
            if read(bytes(buffer[at : at + LEAST + buffer[at + 10]])) is not None:
                return at
        return None


def volumes(data: bytes) -> Volumes | None:
    """What the present data of a water or gas meter say; None when they are something else."""
    if len(data) != VOLUMES or data[:2] not in (b"\x1f\x90", b"\x90\x1f"):
        return None
    # The status as printed: the first byte says valve and battery, the second is the maker's.
    return Volumes(_volume(data[3:8]), _volume(data[8:13]), data[20] << 8 | data[21])


def _volume(raw: bytes) -> float | None:
    digits, litres = raw[3::-1].hex(), LITRES.get(raw[4])
    if litres is None or not digits.isdecimal():
        return None
    # Divided, not multiplied: 29 counts of 10 l are 0.29 m3 and nothing else.
    return int(digits) / round(1000 / litres)
