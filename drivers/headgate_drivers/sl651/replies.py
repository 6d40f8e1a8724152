"""What a centre says to a station: confirmations, questions, settings, commands (clause 6.6.4).

Pure: the caller says what time it is. A confirmation repeats the serial number, what a centre begins
has 0 (clause 6.6.2.4). When to send one is not said here: a reading must be durable first.

Modes (table 15): M1 has no answer; in M2 each report is confirmed; in M3 the whole is, or one packet is
asked for again; in M4 the centre begins, with ENQ, and confirms the answer without data (clause 6.3.1.2 d).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headgate_drivers.sl651 import values
from headgate_drivers.sl651.codec import compose
from headgate_drivers.sl651.elements import ELEMENTS, SLOTS
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Coding, Control, Direction, Frame
from headgate_drivers.sl651.items import (
    Asked,
    Element,
    Gates,
    Item,
    Message,
    Quota,
    Raw,
    Span,
    Status,
    Step,
    Switches,
)
from headgate_drivers.sl651.parameters import CLEAR_STORAGE, FACTORY_RESET, PARAMETERS, PASSWORD

#: What says that a station may sleep, or stays on the line to be asked (clause 6.3.2.4).
SLEEP, STAY = Control.EOT, Control.ESC


def wants_answer(frame: Frame) -> bool:
    """Whether a right frame of a station is confirmed at all: a keep-alive never is."""
    return frame.direction is Direction.UP and frame.function != Function.KEEP_ALIVE


def confirmation(frame: Frame, at: datetime, end: Control = STAY) -> Frame:
    """The confirmation of a report, or of all the packets of one: EOT, ESC, or ACK where more follows.

    Args:
        frame: as it came; of packets the whole that an `Assembly` gave.
        at: now, in the station's zone.
    """
    if frame.end == Control.ETB and not frame.total:
        end = Control.ACK
    serial = frame.message.serial if frame.message else 0
    return _down(frame, serial, at, end, (), frame.total, frame.total)


def again(packet: Frame, number: int, at: datetime, serial: int = 0) -> Frame:
    """What asks for one packet again: NAK, and the number of the one that is missing."""
    return _down(packet, serial, at, Control.NAK, (), packet.total, number)


def _down(
    frame: Frame,
    serial: int,
    at: datetime,
    end: Control,
    items: Sequence[Item],
    total: int = 0,
    number: int = 0,
) -> Frame:
    message = Message(serial, values.moment_digits(at), tuple(items))
    return Frame(
        direction=Direction.DOWN,
        centre=frame.centre,
        address=frame.address,
        password=frame.password,
        function=frame.function,
        end=end,
        body=compose(message, frame.coding),
        total=total,
        number=number,
        coding=frame.coding,
        message=message,
    )


class Centre:
    """Writes what one centre begins with one station (mode M4); all end with ENQ.

    Raises:
        ValueError: from each method, where what is asked for has no place in a frame.
    """

    def __init__(
        self, centre: int, address: str, password: str, coding: Coding = Coding.BCD
    ) -> None:
        self.centre, self.address, self.password, self.coding = centre, address, password, coding

    def ask(self, function: Function, at: datetime, items: Sequence[Item] = ()) -> Frame:
        """Any question; without items 36, 37, 39, 44, 45, 46, 50, 51, and 4A, which sets the clock."""
        message = Message(0, values.moment_digits(at), tuple(items))
        return Frame(
            direction=Direction.DOWN,
            centre=self.centre,
            address=self.address,
            password=self.password,
            function=function,
            end=Control.ENQ,
            body=compose(message, self.coding),
            coding=self.coding,
            message=message,
        )

    def set_clock(self, at: datetime) -> Frame:
        """Twice where the station is more than five minutes off (clause 6.6.4.24)."""
        return self.ask(Function.SET_CLOCK, at)

    def elements(self, codes: Sequence[int], at: datetime) -> Frame:
        """What these elements are now (3A)."""
        return self.ask(Function.ASK_ELEMENTS, at, [_asked(code) for code in codes])

    def period(self, code: int, start: datetime, end: datetime, step: Step, at: datetime) -> Frame:
        """What one element was, from hour to hour (38)."""
        span = Span(values.moment_digits(start, 4), values.moment_digits(end, 4))
        return self.ask(Function.ASK_PERIOD, at, [span, step, _asked(code)])

    def read_parameters(self, codes: Sequence[int], at: datetime) -> Frame:
        """Parameters of the basic configuration (41) or of the running one (43)."""
        function = Function.READ_BASIC if codes[0] < 0x10 else Function.READ_RUNNING
        return self.ask(function, at, [_parameter(code) for code in codes])

    def set_parameters(self, settings: dict[int, int | float | bytes], at: datetime) -> Frame:
        """Set parameters of the basic configuration (40) or of the running one (42)."""
        basic = next(iter(settings)) < 0x10
        items = [self._setting(code, value) for code, value in settings.items()]
        return self.ask(Function.SET_BASIC if basic else Function.SET_RUNNING, at, items)

    def set_password(self, old: str, new: str, at: datetime) -> Frame:
        """Both are four hex characters (49)."""
        items = [Raw(PASSWORD, bytes.fromhex(each)) for each in (old, new)]
        return self.ask(Function.SET_PASSWORD, at, items)

    def clear_storage(self, at: datetime) -> Frame:
        """The station forgets its history (47)."""
        return self.ask(Function.CLEAR_STORAGE, at, [Asked(CLEAR_STORAGE, parameter=True)])

    def factory_reset(self, at: datetime) -> Frame:
        """The station forgets its configuration (48)."""
        return self.ask(Function.FACTORY_RESET, at, [Asked(FACTORY_RESET, parameter=True)])

    def set_card(self, word: int, at: datetime) -> Frame:
        """Only bit 9 is heeded (4B)."""
        return self.ask(Function.SET_CARD, at, [Status(word)])

    def pumps(self, on: Sequence[bool], at: datetime) -> Frame:
        """Which pumps run, number 1 first (4C). The station passes it on, its controller decides."""
        return self.ask(Function.PUMPS, at, [_switches(on)])

    def valves(self, on: Sequence[bool], at: datetime) -> Frame:
        """Which valves are open, number 1 first (4D)."""
        return self.ask(Function.VALVES, at, [_switches(on)])

    def gates(self, on: Sequence[bool], openings: Sequence[int | None], at: datetime) -> Frame:
        """Which gates are open, and how far in centimetres (4E)."""
        return self.ask(Function.GATES, at, [Gates(tuple(on), tuple(openings))])

    def quota(self, at: datetime, *, on: bool) -> Frame:
        """Whether the quota of water is enforced (4F)."""
        return self.ask(Function.QUOTA, at, [Quota(on)])

    def _setting(self, code: int, value: float | bytes) -> Item:
        known = PARAMETERS.get(code)
        if isinstance(value, bytes):
            return Raw(code, value)
        if known is None or known.digits is None:
            raise ValueError(f"{code:02X} is no number")
        if self.coding is Coding.ASCII:
            return Element(code, f"{value:.{known.decimals}f}", parameter=True)
        size = (known.digits + 1) // 2 + (value < 0)
        return Element(
            code, values.digits_of(value, size, known.decimals), known.decimals, parameter=True
        )


def _switches(on: Sequence[bool]) -> Switches:
    data = bytearray((len(on) + 7) // 8)
    for number, each in enumerate(on):
        data[number // 8] |= bool(each) << number % 8
    return Switches(bytes(data))


def _asked(code: int) -> Asked:
    if code in SLOTS:
        return Asked(code, (12 if code == 0xF4 else 24) << 3)
    known = ELEMENTS[code]
    return Asked(code, (known.digits + 1) // 2 << 3 | known.decimals)


#: Bytes of parameters that are no numbers and always have as many (table D.1).
_SIZES = {0x01: 4, 0x02: 5, 0x03: 2, 0x0D: 8}


def _parameter(code: int) -> Asked:
    known = PARAMETERS.get(code)
    size = (known.digits + 1) // 2 if known and known.digits else _SIZES.get(code, 0)
    return Asked(code, size << 3 | (known.decimals if known else 0), parameter=True)
