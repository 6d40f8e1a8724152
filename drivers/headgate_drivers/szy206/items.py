"""What the data of a frame of SZY 206 says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

#: What data is read by. Where a station does not say it, the length of its time label does: seven bytes are
#: SL/T 427, five are SZY 206.
Edition = Literal["slt427", "szy206", "szy206-2012"]


class Value(msgspec.Struct, frozen=True):
    """One measured value.

    Attributes:
        name: what it is, and the number of the instrument where there may be several.
        value: None where the station has none (AA), or where the bytes are no number.
        wrong: whether the bytes are neither a number nor AA.
        depth_cm: of soil, how deep.
    """

    name: str
    value: float | None
    unit: str = ""
    wrong: bool = False
    depth_cm: float | None = None


class Label(msgspec.Struct, frozen=True):
    """The time label Tp: when a value was measured, or a frame was sent. No zone.

    SL/T 427 has seven bytes. SZY 206 has five, without month and year: `near` finds them.

    Attributes:
        delay_min: how late it may arrive; 0: nobody looks.
    """

    second: int
    minute: int
    hour: int
    day: int
    month: int | None = None
    year: int | None = None
    delay_min: int = 0

    @property
    def at(self) -> datetime | None:
        """The time, where month and year are said and it is one."""
        if self.month is None or self.year is None:
            return None
        try:
            return datetime(  # noqa: DTZ001
                2000 + self.year, self.month, self.day, self.hour, self.minute, self.second
            )
        except ValueError:
            return None

    def near(self, now: datetime) -> datetime | None:
        """The time; without month and year the one nearest to now. None: it is no time."""
        if self.month is not None:
            return self.at
        found = []
        for month in (now.replace(day=1) - timedelta(days=1), now, _next_month(now)):
            try:
                at = datetime(  # noqa: DTZ001
                    month.year, month.month, self.day, self.hour, self.minute, self.second
                )
            except ValueError:
                continue
            found.append(at)
        return min(found, key=lambda at: abs(at - now), default=None)


class Message(msgspec.Struct, frozen=True):
    """The data of a frame.

    Attributes:
        values: what was measured.
        raw: the bytes of the values, or of what is not read further.
        alarm, state: the two words of a station; None where it said none.
        label: Tp; None where there is none.
        link: of function 02: F0 log in, F1 log out, F2 still there.
        mode: of a confirmation: 0 both, 1 reports, 2 answers, 3 maintenance.
        texts: of a setting or an answer: what is no number (an address, a time), by its name.
        password: PW of a frame down, four hex digits as they stand; empty where there is none.
        edition: by which the data was read.
        words: where alarm and state word stand: behind the values, or around them (81).
        flaws: what does not fit together.
    """

    values: tuple[Value, ...] = ()
    raw: bytes = b""
    alarm: int | None = None
    state: int | None = None
    label: Label | None = None
    link: int | None = None
    mode: int | None = None
    texts: tuple[tuple[str, str], ...] = ()
    password: str = ""
    edition: Edition = "slt427"
    words: Literal["behind", "around"] = "behind"
    flaws: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        """The names of the alarms that are set."""
        word = self.alarm or 0
        return tuple(name for bit, name in ALARMS.items() if word >> bit & 1)

    @property
    def states(self) -> tuple[int, ...]:
        """The bits of the state word that are set."""
        return tuple(bit for bit in range(16) if (self.state or 0) >> bit & 1)


#: Bits of the alarm word (7.3.14). 14 and 15 are spare; in SZY 206 9 is, too.
ALARMS: dict[int, str] = {
    0: "ac_power_fail", 1: "battery_low", 2: "level_limit", 3: "flow_limit", 4: "quality_limit",
    5: "flow_meter_fault", 6: "pump_state", 7: "level_meter_fault", 8: "pressure_limit",
    9: "temperature_limit", 10: "ic_card", 11: "setpoint", 12: "remaining_water_low",
    13: "cabinet_open",
}  # fmt: skip
#: Words of function 02.
LINKS: dict[int, str] = {0xF0: "login", 0xF1: "logout", 0xF2: "keep_alive"}
LOG_IN, LOG_OUT, ALIVE = LINKS


def _next_month(now: datetime) -> datetime:
    return now.replace(day=28) + timedelta(days=4)
