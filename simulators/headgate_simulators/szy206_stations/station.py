"""One station: it logs in, reports, counts FCB down until it is confirmed, hangs up, dials again.

The confirmation sets its clock. Faults: `resends` (it does not hear a confirmation, once for each report),
`hangs-up` (instead of hearing it), `glued` (each report twice in one segment), `wrong-check` (first
time), `clock-off=SECONDS`, `short-label` (Tp of five bytes).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from headgate_simulators.sl651_stations.line import Line
from headgate_simulators.szy206_stations import wire

_TRIES = 3


class Fault(Enum):
    """What a station does wrong."""

    RESENDS = "resends"
    HANGS_UP = "hangs-up"
    GLUED = "glued"
    WRONG_CHECK = "wrong-check"
    SHORT_LABEL = "short-label"


@dataclass(slots=True)
class Report:
    """What is kept until it is confirmed: a kind, and its bytes with words and label."""

    kind: int
    data: bytes
    faulty: bool = True


@dataclass(slots=True)
class Station:
    """One station; `run` until all that was kept is confirmed."""

    host: str
    port: int
    address: bytes
    faults: Collection[Fault] = ()
    clock_off_s: float = 0.0
    answer_s: float = 5.0
    redial_s: float = 0.05
    kept: deque[Report] = field(default_factory=deque)
    confirmed: int = 0
    dialled: int = 0
    #: What the last confirmation said of the time, and by how much it set the clock.
    told: bytes = b""

    def level(self, metres: float, at: datetime, alarm: int = 0) -> None:
        """A look at the gauge, to be reported."""
        value = wire.bcd(round(abs(metres) * 1000), 4, negative=metres < 0)
        self._keep(wire.LEVEL, value, at, alarm)

    def rain(self, millimetres: float, at: datetime) -> None:
        """What has fallen, to be reported."""
        self._keep(wire.RAIN, wire.bcd(round(millimetres * 10), 3), at, 0)

    def no_level(self, at: datetime) -> None:
        """A gauge that is gone: AA, and its fault."""
        self._keep(wire.LEVEL, b"\xaa" * 4, at, 0x80)

    def _keep(self, kind: int, value: bytes, at: datetime, alarm: int) -> None:
        own = at + timedelta(seconds=self.clock_off_s)
        label = wire.tag(own, long=Fault.SHORT_LABEL not in self.faults)
        words = alarm.to_bytes(2, "little") + b"\x20\x00"
        self.kept.append(Report(kind, value + words + label))

    async def run(self) -> None:
        """Dial until nothing is kept any more."""
        while self.kept:
            try:
                line = await Line.dial("tcp", self.host, self.port)
            except OSError:
                await asyncio.sleep(self.redial_s)
                continue
            self.dialled += 1
            try:
                await self._talk(line)
            except ConnectionError:
                pass
            finally:
                line.hang_up()
            await asyncio.sleep(self.redial_s)

    async def _talk(self, line: Line) -> None:
        buffer = bytearray()
        line.send(wire.frame(wire.up(0, 3), self.address, wire.LINK, bytes([wire.LOGIN])))
        if await self._heard(line, buffer, wire.LINK) is None:
            return
        while self.kept:
            if not await self._say(line, buffer, self.kept[0]):
                return
            self.kept.popleft()
            self.confirmed += 1

    async def _say(self, line: Line, buffer: bytearray, report: Report) -> bool:
        for tries in range(_TRIES, 0, -1):
            raw = wire.frame(wire.up(report.kind, tries), self.address, wire.REPORT, report.data)
            faulty, report.faulty = report.faulty, False
            if faulty and Fault.WRONG_CHECK in self.faults:
                line.send(raw[:-2] + bytes([raw[-2] ^ 0xFF, 0x16]))
                continue
            line.send(raw * 2 if Fault.GLUED in self.faults else raw)
            answer = await self._heard(line, buffer, wire.REPORT)
            if answer is None:
                continue
            if faulty and Fault.HANGS_UP in self.faults:
                return False
            if faulty and Fault.RESENDS in self.faults:
                continue
            self.told = answer[1:]
            return True
        return False

    async def _heard(self, line: Line, buffer: bytearray, afn: int) -> bytes | None:
        try:
            async with asyncio.timeout(self.answer_s):
                while True:
                    while (found := wire.heard(buffer)) is not None:
                        if found[1] == afn:
                            return found[2]
                    data = await line.heard.get()
                    if not data:
                        raise ConnectionResetError("the centre hung up")
                    buffer += data
        except TimeoutError:
            return None
