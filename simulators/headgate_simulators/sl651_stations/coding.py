"""The two ways in which a station writes: bytes as they are, or words in characters (clauses 6.4 to 6.6).

A body is put together of groups; each coding spells a group in its own way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime

from headgate_simulators.sl651_stations import wire

#: The names of annex C for what these stations measure.
NAMES = {
    0x09: "GH", 0x19: "NS", 0x20: "PJ", 0x26: "PT", 0x27: "Q", 0x38: "VT", 0x39: "Z", 0x3A: "ZB",
    0x3B: "ZU", 0x70: "VTA", 0x71: "VTB", 0x72: "VTC", 0x73: "VIA", 0x74: "VIB", 0x75: "VIC",
    0xF4: "DRP", 0xF5: "DRZ1",
}  # fmt: skip
_STATE = 0x45


class Coding(ABC):
    """How the groups of a body, and a frame around it, are written."""

    @abstractmethod
    def begin(self, serial: int, at: datetime) -> bytes:
        """Serial number and time of sending."""

    @abstractmethod
    def station(self, address: bytes, kind: int | None = None) -> bytes:
        """Whose data follow, and its class where the function has one."""

    @abstractmethod
    def observed(self, at: datetime) -> bytes:
        """When what follows was observed."""

    @abstractmethod
    def element(self, code: int, value: float | None, size: int, decimals: int) -> bytes:
        """One number; None: there is none."""

    @abstractmethod
    def state(self, word: int) -> bytes:
        """The state and alarms of table 58."""

    @abstractmethod
    def slots(self, code: int, data: bytes, each: int) -> bytes:
        """An hour in slots."""

    @abstractmethod
    def picture(self, data: bytes) -> bytes:
        """A picture, to the end of the body."""

    @abstractmethod
    def typed_in(self, text: str) -> bytes:
        """What somebody typed in, to the end of the body."""

    @abstractmethod
    def data(self, data: bytes) -> bytes:
        """Data without an identifier: pumps, gates, quota, events."""

    @abstractmethod
    def version(self, text: str) -> bytes:
        """The software's version with its length."""

    @abstractmethod
    def parameter(self, code: int, definition: int, data: bytes) -> bytes:
        """A parameter of annex D whose digits or bytes are `data`."""

    @abstractmethod
    def series(self, code: int, step: tuple[int, int, int], values: list[float], size: int,
               decimals: int) -> bytes:  # fmt: skip
        """A step (days, hours, minutes), and one element's values at it."""

    @abstractmethod
    def up(
        self, centre: int, station: bytes, password: int, function: int, body: bytes,
        end: int = wire.ETX, packet: tuple[int, int] | None = None,
    ) -> bytes:  # fmt: skip
        """One frame. `packet`: how many there are, and which one this is, from 1."""


class Hex(Coding):
    """HEX/BCD: 7E7E, no separators, an identifier says the length."""

    def begin(self, serial: int, at: datetime) -> bytes:
        return serial.to_bytes(2, "big") + wire.when(at, 6)

    def station(self, address: bytes, kind: int | None = None) -> bytes:
        return b"\xf1\xf1" + address + (b"" if kind is None else bytes([kind]))

    def observed(self, at: datetime) -> bytes:
        return b"\xf0\xf0" + wire.when(at, 5)

    def element(self, code: int, value: float | None, size: int, decimals: int) -> bytes:
        return wire.element(code, value, size, decimals)

    def state(self, word: int) -> bytes:
        return bytes([_STATE, 0x20]) + word.to_bytes(4, "big")

    def slots(self, code: int, data: bytes, each: int) -> bytes:
        return bytes([code, len(data) << 3]) + data

    def picture(self, data: bytes) -> bytes:
        return b"\xf3\xf3" + data

    def typed_in(self, text: str) -> bytes:
        return b"\xf2\xf2" + text.encode()

    def data(self, data: bytes) -> bytes:
        return data

    def version(self, text: str) -> bytes:
        return bytes([len(text)]) + text.encode()

    def parameter(self, code: int, definition: int, data: bytes) -> bytes:
        return bytes([code, definition]) + data

    def series(self, code: int, step: tuple[int, int, int], values: list[float], size: int,
               decimals: int) -> bytes:  # fmt: skip
        head = b"\x04\x18" + b"".join(wire.bcd(part, 1) for part in step)
        head += bytes([code, size << 3 | decimals])
        return head + b"".join(wire.bcd(value, size, decimals) for value in values)

    def up(
        self, centre: int, station: bytes, password: int, function: int, body: bytes,
        end: int = wire.ETX, packet: tuple[int, int] | None = None,
    ) -> bytes:  # fmt: skip
        return wire.up(centre, station, password, function, body, end, packet)


class Characters(Coding):
    """ASCII: SOH, words with a blank behind each, bytes as hex characters."""

    def begin(self, serial: int, at: datetime) -> bytes:
        return f"{serial:04X}{at:%y%m%d%H%M%S}".encode()

    def station(self, address: bytes, kind: int | None = None) -> bytes:
        return f"ST {address.hex().upper()} {'' if kind is None else chr(kind) + ' '}".encode()

    def observed(self, at: datetime) -> bytes:
        return f"TT {at:%y%m%d%H%M} ".encode()

    def element(self, code: int, value: float | None, size: int, decimals: int) -> bytes:
        said = "M" if value is None else f"{value:.{decimals}f}"
        return f"{NAMES[code]} {said} ".encode()

    def state(self, word: int) -> bytes:
        return f"ZT {word:08X} ".encode()

    def slots(self, code: int, data: bytes, each: int) -> bytes:
        return f"{NAMES[code]} {data.hex().upper()} ".encode()

    def picture(self, data: bytes) -> bytes:
        return b"PIC " + data + b" "

    def typed_in(self, text: str) -> bytes:
        return f"RGZS {text} ".encode()

    def data(self, data: bytes) -> bytes:
        return f"{data.hex().upper()} ".encode()

    def version(self, text: str) -> bytes:
        return f"{len(text):02X}{text} ".encode()

    def parameter(self, code: int, definition: int, data: bytes) -> bytes:
        decimals = definition & 7
        digits = data.hex().upper()
        if decimals and digits.isdecimal():
            digits = f"{int(digits) / 10**decimals:.{decimals}f}"
        return f"{code:02X} {digits} ".encode()

    def series(self, code: int, step: tuple[int, int, int], values: list[float], size: int,
               decimals: int) -> bytes:  # fmt: skip
        unit, count = next((u, n) for u, n in zip("DHN", step, strict=True) if n)
        words = [f"DR{unit}{count:02}", NAMES[code], *(f"{value:.{decimals}f}" for value in values)]
        return "".join(f"{word} " for word in words).encode()

    def up(
        self, centre: int, station: bytes, password: int, function: int, body: bytes,
        end: int = wire.ETX, packet: tuple[int, int] | None = None,
    ) -> bytes:  # fmt: skip
        start = wire.STX
        if packet is not None:
            start, body = wire.SYN, f"{packet[0]:03X}{packet[1]:03X}".encode() + body
        head = f"{centre:02X}{station.hex().upper()}{password:04X}{function:02X}{len(body):04X}"
        raw = b"\x01" + head.encode() + bytes([start]) + body + bytes([end])
        return raw + f"{wire.crc(raw):04X}".encode()
