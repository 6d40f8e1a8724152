"""What a station lets a centre move and read: pumps, a valve, a gate, the quota, parameters, counters.

The log of what was moved is the station's own: `write` is called with every order that arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from headgate_simulators.sl651_stations.coding import Coding
from headgate_simulators.sl651_stations.wire import Told

(ASK_PERIOD, ASK_TYPED_IN, READ_BASIC, READ_RUNNING, ASK_MOTORS, ASK_VERSION, ASK_STATE, PUMPS, VALVES, GATES,
 QUOTA, ASK_EVENTS, ASK_CLOCK) = (
    0x38, 0x39, 0x41, 0x43, 0x44, 0x45, 0x46, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x51,
)  # fmt: skip
ORDERS = (PUMPS, VALVES, GATES, QUOTA)
#: Bit 10 of the state: the pumps stand still.
_PUMPS_STOPPED = 10
PUMP_STATION = 0x44
#: Parameters that can be read: definition, data (annex D).
PARAMETERS = {
    0x01: (0x20, bytes([1, 0, 0, 0])), 0x04: (0x50, bytes.fromhex("02127000000001005651")),
    0x05: (0x40, bytes.fromhex("01A13012345678")), 0x0C: (0x08, b"\x02"),
    0x0D: (0x40, bytes.fromhex("8001000000000000")), 0x20: (0x08, b"\x01"),
    0x28: (0x23, bytes.fromhex("00010000")),
}  # fmt: skip


@dataclass(slots=True)
class Plant:
    """Three pumps, one valve, one gate. `ignores`: it answers what was so before, and moves nothing."""

    pumps: int = 0
    valve: bool = False
    gate_cm: int = 0
    quota: bool = False
    ignores: bool = False
    orders: int = 0
    params: dict[int, tuple[int, bytes]] = field(default_factory=lambda: dict(PARAMETERS))

    @property
    def state(self) -> int:
        """The word of table 58."""
        return 0 if self.pumps else 1 << _PUMPS_STOPPED

    def order(self, told: Told) -> None:
        """Do what a centre says (4C to 4F); the number of it is counted."""
        self.orders += 1
        data = told.data
        if self.ignores or not data:
            return
        if told.function == PUMPS:
            self.pumps = int.from_bytes(data[1 : 1 + data[0]], "little") & 0b111
        elif told.function == VALVES:
            self.valve = bool(data[1] & 1)
        elif told.function == GATES:
            digits = data[2:4].hex()
            self.gate_cm = int(digits) if digits.isdecimal() else 300 * (data[1] & 1)
        elif told.function == QUOTA:
            self.quota = data[0] == 0xFF

    def standing(self, function: int) -> bytes:
        """What an answer to an order says: how it is now (tables 71, 74, 77, 80)."""
        if function == PUMPS:
            return bytes([1, self.pumps])
        if function == VALVES:
            return bytes([1, self.valve])
        if function == GATES:
            return bytes([1, self.gate_cm > 0]) + bytes.fromhex(f"{self.gate_cm:04}")
        return b"\xff" if self.quota else b"\x00"

    def answer(
        self,
        told: Told,
        coding: Coding,
        address: bytes,
        at: datetime,
        level: Callable[[datetime], float],
    ) -> bytes | None:
        """What is behind serial number and time in the answer; None: a question that it does not know."""
        station, function = coding.station(address), told.function
        classed = coding.station(address, PUMP_STATION)
        if function in ORDERS:
            return station + coding.data(self.standing(function))
        if function == ASK_MOTORS:
            volts, amps = (
                (230.1, 229.8, 231.0),
                (41.2, 40.9, 41.0) if self.pumps else (0.0, 0.0, 0.0),
            )
            said = [coding.element(0x70 + n, v, 2, 1) for n, v in enumerate((*volts, *amps))]
            return classed + coding.observed(at) + b"".join(said)
        if function == ASK_VERSION:
            return station + coding.version("SIM-SL651-V1.0")
        if function == ASK_STATE:
            return station + coding.state(self.state)
        if function == ASK_EVENTS:
            counts = [0] * 32
            counts[2] = self.orders
            return station + coding.data(b"".join(n.to_bytes(2, "big") for n in counts))
        if function == ASK_CLOCK:
            return station
        if function == ASK_TYPED_IN:
            return coding.typed_in("Q 1.234")
        if function in (READ_BASIC, READ_RUNNING):
            asked = [code for code in told.asked() if code in self.params]
            return station + b"".join(coding.parameter(code, *self.params[code]) for code in asked)
        if function == ASK_PERIOD:
            begin, end, step = told.period()
            moments: list[datetime] = []
            when = begin
            length = timedelta(days=step[0], hours=step[1], minutes=step[2]) or timedelta(hours=1)
            while when <= end and len(moments) < 200:
                moments.append(when)
                when += length
            values = [round(level(moment), 3) for moment in moments]
            return classed + coding.observed(begin) + coding.series(0x39, step, values, 4, 3)
        return None
