"""What a station answers: its clock, its state, its values now, and what it switches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from headgate_simulators.szy206_stations import wire
from headgate_simulators.szy206_stations.instruments import DOOR_CLOSED, PUMP_STOPPED

_SET_CLOCK, _SET_MODE, _SET_QUOTA = 0x11, 0x12, 0x34
_CARD_ON, _CARD_OFF, _QUOTA_ON, _QUOTA_OFF = 0x30, 0x31, 0x32, 0x33
_ASK_ADDRESS, _ASK_CLOCK, _ASK_MODE, _ASK_STATE = 0x50, 0x51, 0x52, 0x5E
_ASK_EVENTS, _ASK_REMAINING = 0x5D, 0x56
_RESET, _START, _STOP = 0x90, 0x92, 0x93
#: With a password and a time label behind their data.
_COMMANDS = (*range(0x10, 0x50), *range(0x90, 0xA3))


@dataclass(slots=True)
class Panel:
    """What a station switches and what it is set to."""

    password: bytes = bytes.fromhex("1234")
    mode: int = 0
    quota_on: bool = False
    quota_m3: int = 0
    pumps: dict[int, bool] = field(default_factory=dict)
    valves: dict[int, bool] = field(default_factory=dict)
    events: list[int] = field(default_factory=lambda: [0] * 32)
    #: What a centre changed, in order, as the truth tells it.
    done: list[dict[str, object]] = field(default_factory=list)
    #: What its clock was set to, until somebody takes it.
    clock_set: datetime | None = None

    @property
    def state(self) -> int:
        """The state word."""
        running = any(self.pumps.values())
        return self.mode | self.quota_on << 3 | (0 if running else PUMP_STOPPED) | DOOR_CLOSED

    def answer(self, told: wire.Told, clock: datetime, alarm: int) -> bytes | None:
        """The data of the answer; None: a wrong password, or what this station does not know."""
        data = told.data
        if told.afn in _COMMANDS:
            tail = 9 if len(data) >= 9 and data[-9:-7] == self.password else 7
            if data[-tail:][:2] != self.password:
                self.events[4] += 1
                return None
            return self._command(told.afn, data[:-tail])
        words = alarm.to_bytes(2, "little") + self.state.to_bytes(2, "little")
        answers = {
            _ASK_ADDRESS: told.station, _ASK_CLOCK: wire.clock(clock),
            _ASK_MODE: bytes([self.mode]), _ASK_STATE: words,
            _ASK_EVENTS: b"".join(each.to_bytes(2, "little") for each in self.events),
            _ASK_REMAINING: wire.bcd(100, 3) + wire.bcd(self.quota_m3, 5),
        }  # fmt: skip
        return answers.get(told.afn)

    def _command(self, afn: int, data: bytes) -> bytes | None:
        said: dict[str, object] = {"afn": f"{afn:02X}", "data": data.hex()}
        answer: bytes | None = data
        if afn == _SET_CLOCK:
            self.clock_set = wire.clock_of(data)
        elif afn == _SET_MODE:
            self.mode = data[0] & 3
        elif afn == _SET_QUOTA:
            self.quota_m3 = int(data[::-1].hex())
        elif afn in (_QUOTA_ON, _QUOTA_OFF):
            self.quota_on, answer = afn == _QUOTA_ON, b"\x5a"
        elif afn in (_CARD_ON, _CARD_OFF, _RESET):
            answer = b"\x5a"
        elif afn in (_START, _STOP):
            which = self.valves if data[0] >> 4 == 0xF else self.pumps
            which[data[0] & 15] = afn == _START
            answer = bytes([0xA0 | data[0] & 15])
        else:
            return None
        self.events[1] += 1
        self.done.append(said)
        return answer
