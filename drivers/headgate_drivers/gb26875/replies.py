"""What a centre says to a transmitter: confirmations, denials, questions, its clock.

Pure: the caller says what time it is. A confirmation repeats the serial number (table 1) and swaps the
addresses. When to send one is not said here: what it confirms must be durable first.
"""

from __future__ import annotations

from datetime import datetime

from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.frames import Command, Frame, stamp_of
from headgate_drivers.gb26875.items import Clock, Message, Order

SET_CLOCK, GUARD = 90, 91
#: Clauses 6.5.4 and 6.5.5: how long to wait for an answer, how often to send again.
ANSWER_S = 10.0
RESENDS = 3


def wants_answer(frame: Frame) -> bool:
    """Whether a frame is confirmed: what a transmitter sends by itself, and a control of its own."""
    return frame.command in (Command.SEND_DATA, Command.CONTROL)


def confirmation(frame: Frame, at: datetime | None) -> Frame:
    """It is safe here."""
    return _answer(frame, Command.ACK, at)


def denial(frame: Frame, at: datetime | None) -> Frame:
    """It was not understood: send it again."""
    return _answer(frame, Command.DENY, at)


def _answer(frame: Frame, command: Command, at: datetime | None) -> Frame:
    # Without a trusted clock it gets its own time back. Some transmitters set their clocks by the time of
    # each confirmation: nobody is set wrong by it.
    stamp = frame.stamp if at is None else stamp_of(at)
    return Frame(frame.serial, frame.version, stamp, frame.target, frame.source, command)


class Centre:
    """Writes what one centre begins with one transmitter, and counts it.

    Table 1: whoever begins a matter numbers it, from 0 on, and an answer repeats the number.
    """

    def __init__(self) -> None:
        self._address = self._transmitter = 0
        self._version = (1, 1)
        self._stamp = bytes(6)
        self._serial = 0

    def heard(self, frame: Frame) -> None:
        """Who the transmitter is, whom it calls its centre, what its clock says."""
        self._address, self._transmitter = frame.target, frame.source
        self._version, self._stamp = frame.version, frame.stamp

    def number(self) -> int:
        """The serial number of the next matter; the same for each repetition of it."""
        serial, self._serial = self._serial, self._serial + 1 & 0xFFFF
        return serial

    def say(
        self, command: Command, message: Message, serial: int, at: datetime | None = None
    ) -> Frame:
        """A request (types 61 to 88) or a control (90, 91). `at` None: our clock is not trusted."""
        stamp = self._stamp if at is None else stamp_of(at)
        return Frame(
            serial, self._version, stamp, self._address, self._transmitter, command,
            adu.write(message), message,
        )  # fmt: skip


def set_clock(at: datetime) -> Message:
    """Its clock (type 90, clause 8.3.2.15)."""
    return Message(SET_CLOCK, 1, (Clock(None, at),))


def guard(minutes: int) -> Message:
    """Is somebody on duty? To be answered at the transmitter within so many minutes (type 91)."""
    return Message(GUARD, 1, (Order(minutes),))
