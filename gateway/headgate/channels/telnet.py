"""The telnet stream of a serial server: data, options, and the port's settings. Pure, never raises.

Sources: RFC 854 (commands, IAC doubled in data), RFC 855 (options, subnegotiation), RFC 856 (binary
transmission), RFC 2217 (COM-PORT-OPTION).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from headgate.sdk import LineSettings

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
#: What a server answers is the client's command and this.
FROM_SERVER = 100
#: No answer of RFC 2217 is longer but a signature, which nobody reads.
LONGEST = 64
#: PURGE-DATA: what the server has received, and what it has still to send.
BOTH_BUFFERS = 3

_PARITY = {"N": 1, "O": 2, "E": 3}
_STOP = {1.0: 1, 2.0: 2, 1.5: 3}


class Setting(IntEnum):
    """A command of COM-PORT-OPTION that we send."""

    BAUD = 1
    DATA_BITS = 2
    PARITY = 3
    STOP_BITS = 4
    CONTROL = 5
    LINE_STATE_MASK = 10
    MODEM_STATE_MASK = 11
    PURGE = 12


class Option(NamedTuple):
    """DO, DONT, WILL or WONT of an option."""

    verb: int
    option: int


class Answer(NamedTuple):
    """What the server says of its port: a command, without the 100, and the value in force."""

    command: int
    value: int


Said = Option | Answer


class Telnet:
    """Fed bytes as they came, gives the port's data and what the server said. Keeps `LONGEST` bytes."""

    def __init__(self) -> None:
        self._before = 0  # IAC or a verb that wants its next byte; 0: plain data
        self._told: bytearray | None = None  # a subnegotiation under way
        self._skip = False  # it is longer than anything we read

    def feed(self, data: bytes) -> tuple[bytes, list[Said]]:
        """(data of the port, what was said), in order each."""
        if not self._before and self._told is None and IAC not in data:
            return data, []  # nearly always
        plain = bytearray()
        said: list[Said] = []
        for byte in data:
            before, self._before = self._before, 0
            if before in (DO, DONT, WILL, WONT):
                said.append(Option(before, byte))
            elif before != IAC:
                if byte == IAC:
                    self._before = IAC
                else:
                    self._take(byte, plain)
            elif byte == IAC:
                self._take(byte, plain)
            elif byte in (DO, DONT, WILL, WONT):
                self._told = None  # a subnegotiation without an end is none
                self._before = byte
            elif byte == SB:
                self._told, self._skip = bytearray(), False
            elif byte == SE and self._told is not None:
                if (answer := _answer(self._told)) is not None and not self._skip:
                    said.append(answer)
                self._told = None
        return bytes(plain), said

    def _take(self, byte: int, plain: bytearray) -> None:
        if self._told is None:
            plain.append(byte)
        elif len(self._told) < LONGEST:
            self._told.append(byte)
        else:
            self._skip = True


def _answer(told: bytearray) -> Answer | None:
    if len(told) < 3 or told[0] != COM_PORT or told[1] <= FROM_SERVER:
        return None
    return Answer(told[1] - FROM_SERVER, int.from_bytes(told[2:], "big"))


def escaped(data: bytes) -> bytes:
    """Data of the port as it goes out."""
    return data.replace(b"\xff", b"\xff\xff")


def option(verb: int, which: int) -> bytes:
    """DO, DONT, WILL or WONT."""
    return bytes([IAC, verb, which])


def command(setting: Setting, value: int) -> bytes:
    """One command to the port."""
    raw = value.to_bytes(4 if setting is Setting.BAUD else 1, "big")
    return bytes([IAC, SB, COM_PORT, setting]) + escaped(raw) + bytes([IAC, SE])


def settings_of(line: LineSettings) -> dict[int, int]:
    """Line settings as the commands that make them so, and the values they must be answered with."""
    return {
        Setting.BAUD: line.baud,
        Setting.DATA_BITS: line.data_bits,
        Setting.PARITY: _PARITY[line.parity],
        Setting.STOP_BITS: _STOP[line.stop_bits],
    }
