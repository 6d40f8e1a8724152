"""What a centre says to a transmitter: confirmations, denials, questions, its clock.

Pure: the caller says what time it is. A confirmation repeats the serial number and swaps the addresses
(clause 6.1). When to send one is not said here: what it confirms must be durable first.
"""

from __future__ import annotations

from datetime import datetime

from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.frames import Command, Frame, stamp_of
from headgate_drivers.gb26875.items import Ask, Clock, Item, Message, Order

SET_CLOCK, GUARD = 90, 91


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
    # Without a trusted clock it gets its own time back: nobody is set wrong by it.
    stamp = frame.stamp if at is None else stamp_of(at)
    return Frame(frame.serial, frame.version, stamp, frame.target, frame.source, command)


class Centre:
    """Writes what one centre begins with one transmitter."""

    def __init__(self, centre: int, transmitter: int, version: tuple[int, int] = (1, 1)) -> None:
        self.centre, self.transmitter, self.version = centre, transmitter, version

    def ask(self, kind: int, item: Ask, serial: int, at: datetime) -> Frame:
        """A question (types 61 to 68, 81 to 88)."""
        return self._begin(Command.REQUEST, kind, item, serial, at)

    def set_clock(self, serial: int, at: datetime) -> Frame:
        """Its clock (type 90)."""
        return self._begin(Command.CONTROL, SET_CLOCK, Clock(None, at), serial, at)

    def guard(self, minutes: int, serial: int, at: datetime) -> Frame:
        """Is somebody on duty? To be answered at the panel within so many minutes (type 91)."""
        return self._begin(Command.CONTROL, GUARD, Order(minutes), serial, at)

    def _begin(self, command: Command, kind: int, item: Item, serial: int, at: datetime) -> Frame:
        message = Message(kind, 1, (item,))
        stamp, data = stamp_of(at), adu.write(message)
        return Frame(
            serial, self.version, stamp, self.centre, self.transmitter, command, data, message
        )
