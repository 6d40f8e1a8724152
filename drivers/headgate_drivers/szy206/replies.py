"""What a centre says to a station: confirmations, answers to link tests, questions, commands.

Pure: the caller says what time it is. A confirmation repeats function, address and FCB (tables 52, B.101),
and holds the working mode and the centre's time: **the station sets its clock by it**. When to send one is
not said here: what it confirms must be durable first.
"""

from __future__ import annotations

from datetime import datetime

from headgate_drivers.szy206 import layouts, values
from headgate_drivers.szy206.body import REPORTS
from headgate_drivers.szy206.frames import PICTURES, Afn, Frame, Kind
from headgate_drivers.szy206.items import Label
from headgate_drivers.szy206.particulars import STORED

#: Working modes (7.3.1 c): both, reports only, answers only, maintenance.
BOTH, REPORTS_ONLY, ANSWERS_ONLY, MAINTENANCE = range(4)


def wants_answer(frame: Frame) -> bool:
    """Whether a right frame of a station is confirmed: its link tests, its reports, parts of pictures."""
    if not frame.up or frame.afn == Afn.ASK_VALUES:
        return False
    return frame.afn == Afn.LINK or frame.afn in REPORTS or frame.afn in PICTURES


def label_of(at: datetime, *, long: bool) -> Label:
    """A time label: seven bytes with month and year (SL/T 427), or five."""
    month, year = (at.month, at.year % 100) if long else (None, None)
    return Label(at.second, at.minute, at.hour, at.day, month, year)


def confirmation(frame: Frame, label: Label | None, mode: int = BOTH) -> Frame:
    """The confirmation of a link test, of a report, or of one part of a picture.

    Args:
        label: the centre's time, as long as the station's own; None: none, it keeps its clock.
        mode: the working mode that the station is to be in.
    """
    if frame.afn == Afn.LINK:
        said = frame.message.link if frame.message is not None else None
        data = b"" if said is None else bytes([said])
    else:
        data = bytes([mode]) + (b"" if label is None else values.label_bytes(label))
    return Frame(False, frame.tries, Kind.ACK, frame.address, frame.afn, data, frame.parts)


class Centre:
    """Writes what a centre begins with one station.

    Questions are those of annex A. Commands carry a password and the centre's time.

    Raises:
        ValueError: what has no place in a frame.
    """

    def __init__(self, address: str, password: str = "", *, long_label: bool = True) -> None:
        self.address, self.password, self.long_label = address, password, long_label

    def ask(self, afn: int, kind: Kind = Kind.ACK, data: bytes = b"") -> Frame:
        """A parameter, the clock, the state (50 to 65); with a kind, its values now (B0)."""
        return Frame(False, 3, kind, self.address, afn, data)

    def ask_values(self, kind: Kind) -> Frame:
        """What is measured now (B0)."""
        return self.ask(Afn.ASK_VALUES, kind)

    def ask_stored(self, name: str, start: datetime, end: datetime, number: int = 1) -> Frame:
        """What is in the store of one instrument from hour to hour (B1)."""
        names = [each and each[0] for each in STORED]
        if name not in names or not 0 <= number <= 15:
            raise ValueError(f"{name} {number} is in no store")
        what = names.index(name)
        hours = "".join(
            f"{at.hour:02d}{at.day:02d}{at.month:02d}{at.year % 100:02d}" for at in (start, end)
        )
        return self.ask(
            Afn.ASK_STORED, Kind(what + 1), bytes([what << 4 | number]) + bytes.fromhex(hours)
        )

    def set_clock(self, at: datetime) -> Frame:
        """The clock (11)."""
        return self.command(Afn.SET_CLOCK, values.clock_bytes(at), at)

    def set_mode(self, mode: int, at: datetime) -> Frame:
        """The working mode (12)."""
        return self.command(Afn.SET_MODE, bytes([mode]), at)

    def start(self, number: int, at: datetime, *, valve: bool = False) -> Frame:
        """Start a pump, or open a valve or gate (92). The station's controller decides."""
        return self.command(Afn.START, _which(number, valve), at)

    def stop(self, number: int, at: datetime, *, valve: bool = False) -> Frame:
        """Stop a pump, or close a valve or gate (93)."""
        return self.command(Afn.STOP, _which(number, valve), at)

    def quota(self, m3: float, at: datetime) -> Frame:
        """How much water may be taken (34)."""
        data = layouts.write(Afn.SET_QUOTA, {"quota": m3}, "slt427")
        return self.command(Afn.SET_QUOTA, data, at)

    def quota_control(self, at: datetime, *, on: bool) -> Frame:
        """Whether the quota is kept (32, 33)."""
        return self.command(Afn.QUOTA_ON if on else Afn.QUOTA_OFF, b"", at)

    def command(self, afn: int, data: bytes, at: datetime) -> Frame:
        """A setting or a control: its data, the password, the centre's time."""
        password = bytes.fromhex(self.password)
        if len(password) != 2:
            raise ValueError("a command needs a password of four digits")
        label = label_of(at, long=self.long_label)
        data += password + values.label_bytes(label)
        return Frame(False, 3, Kind.ACK, self.address, afn, data)


def _which(number: int, valve: bool) -> bytes:
    if not 0 <= number <= 15:
        raise ValueError(f"pump or valve {number}")
    return bytes([valve * 0xF0 | number])
