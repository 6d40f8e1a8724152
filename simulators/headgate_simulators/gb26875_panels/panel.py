"""One transmitter with a panel: it says each event up to three times, hangs up, dials again.

Faults: `resends` (it does not hear a confirmation, once for each event), `hangs-up` (instead of hearing it),
`glued` (all that is kept in one segment), `wrong-sum` (first time: it is denied and sends again).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from headgate_simulators.gb26875_panels import wire
from headgate_simulators.sl651_stations.line import Line

_TRIES = 3


class Fault(Enum):
    """What a transmitter does wrong."""

    RESENDS = "resends"
    HANGS_UP = "hangs-up"
    GLUED = "glued"
    WRONG_SUM = "wrong-sum"


@dataclass(slots=True)
class Event:
    """What is kept until it is confirmed: its serial number and its frame."""

    serial: int
    raw: bytes
    faulty: bool = True


@dataclass(slots=True)
class Panel:
    """One transmitter; `run` until all that was kept is confirmed."""

    host: str
    port: int
    address: int
    faults: Collection[Fault] = ()
    serial: int = 1
    answer_s: float = 10.0
    redial_s: float = 0.05
    kept: deque[Event] = field(default_factory=deque)
    confirmed: int = 0
    denied: int = 0
    dialled: int = 0

    def tell(self, data: bytes, at: datetime) -> None:
        """Something to be sent: an application data unit."""
        raw = wire.frame(self.serial, self.address, wire.SEND, data, at)
        self.kept.append(Event(self.serial, raw))
        self.serial = (self.serial + 1) % 0x10000

    def burst(self, detectors: int, word: int, at: datetime) -> None:
        """So many detectors at once."""
        for number in range(1, detectors + 1):
            self.tell(wire.component(number, word, f"{number}号烟感 走廊", at), at)

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
        if Fault.GLUED in self.faults:
            line.send(b"".join(each.raw for each in self.kept))
        while self.kept:
            if not await self._say(line, buffer, self.kept[0]):
                return
            self.kept.popleft()
            self.confirmed += 1

    async def _say(self, line: Line, buffer: bytearray, event: Event) -> bool:
        for attempt in range(_TRIES):
            faulty, event.faulty = event.faulty, False
            wrong = faulty and self.dialled and Fault.WRONG_SUM in self.faults
            if wrong:
                line.send(event.raw[:-3] + bytes([event.raw[-3] ^ 1]) + b"##")
            elif attempt or Fault.GLUED not in self.faults:
                line.send(event.raw)
            answer = await self._heard(line, buffer, event.serial)
            if answer == wire.DENY:
                self.denied += 1
            elif answer == wire.ACK:
                if faulty and Fault.HANGS_UP in self.faults:
                    return False
                if not faulty or Fault.RESENDS not in self.faults:
                    return True
        return False

    async def _heard(self, line: Line, buffer: bytearray, serial: int) -> int | None:
        try:
            async with asyncio.timeout(self.answer_s):
                while True:
                    while (found := wire.heard(buffer)) is not None:
                        if found[1] == serial:
                            return found[0]
                    data = await line.heard.get()
                    if not data:
                        raise ConnectionResetError("the centre hung up")
                    buffer += data
        except TimeoutError:
            return None
