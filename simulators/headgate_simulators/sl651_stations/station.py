"""One station: it observes, reports, waits for the confirmation, sends again, hangs up, dials again.

Table 15 and clause 6.3: in M1 nobody answers; in M2 each report is kept until it is confirmed, sent three
times on a line and then the line is given up; in M3 a body in packets is confirmed once, or one packet of it
is asked for again; in M4 the centre asks (36 to 51), sets the clock (4A), moves pumps and gates (4C to 4F).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from headgate_simulators.sl651_stations import reports, wire
from headgate_simulators.sl651_stations.faults import StationFault
from headgate_simulators.sl651_stations.line import Line, Transport
from headgate_simulators.sl651_stations.plant import ORDERS, Plant
from headgate_simulators.sl651_stations.reports import Instruments, Report
from headgate_simulators.world import WorldClock

Mode = Literal["m1", "m2"]
Kind = Literal["river", "pump"]
_TRIES = 3  # once, and again at most twice
_GONE = (OSError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Habits:
    """How stations behave. Real seconds but `every_s` and `hourly_s`, which are of the world's clock."""

    host: str = "127.0.0.1"
    port: int = 5651
    transport: Transport = "tcp"
    mode: Mode = "m2"
    centre: int = 1
    password: int = 0x1234
    every_s: float = 300.0
    hourly_s: float = 3600.0
    added_m: float = 0.05
    picture_s: float = 0.0
    picture_bytes: int = 6000
    keep_alive_s: float = 40.0
    answer_s: float = 10.0
    redial_s: float = 5.0
    #: World seconds of looks that a station has kept while its line was down.
    behind_s: float = 0.0
    serial: int = 1
    kind: Kind = "river"
    coding: Literal["bcd", "ascii"] = "bcd"


class Station:
    """One station; `run` until cancelled. `write` takes lines of the truth."""

    def __init__(
        self,
        name: str,
        habits: Habits,
        instruments: Instruments,
        clock: WorldClock,
        now: Callable[[], float],
        write: Callable[[Mapping[str, Any]], None],
        source: str | None = None,
        plant: Plant | None = None,
    ) -> None:
        self.name = name
        self.plant = plant or Plant()
        self.faults: dict[StationFault, float] = {}
        self.kept: deque[Report] = deque()
        self._habits, self._instruments = habits, instruments
        self._clock, self._now, self._write = clock, now, write
        self._source = source
        self._serial = habits.serial
        self._random = random.Random(name)
        self._line: Line | None = None
        self._due = asyncio.Event()
        self._set_s = 0.0  # what a 4A put the clock right by
        self._level: float | None = None

    # ------------------------------------------------------------ what it observes

    @property
    def ahead_s(self) -> float:
        """How far its clock is before the world's."""
        return self.faults.get(StationFault.CLOCK, 0.0) + self._set_s

    def _world(self) -> float:
        return self._clock.world_time(self._now())

    def _keep(self, function: int, content: bytes, told: dict[float, Any]) -> Report:
        report = Report(function, self._serial, content, told)
        self._serial = self._serial % 0xFFFF + 1
        self.kept.append(report)
        self._write(
            {
                "t": self._now(), "device": self.name, "serial": report.serial,
                "function": f"{function:02X}",
                "told": [[at, values] for at, values in told.items()],
            }
        )  # fmt: skip
        self._due.set()
        return report

    def look(self, function: int, t: float | None = None) -> None:
        """One look, into what is to be reported."""
        at = self._world() if t is None else t
        self._level = self._instruments.level_m(at)
        self._keep(function, *self._instruments.look(at, self.ahead_s))

    def picture(self) -> None:
        """One picture."""
        size = self._habits.picture_bytes
        self._keep(reports.PICTURE, *self._instruments.picture(self._world(), self.ahead_s, size))

    async def _observe(self) -> None:
        habits, now = self._habits, self._world()
        begin = now - habits.behind_s
        # Stations are not all due in the same second.
        offset = self._random.random() * min(habits.every_s, 60.0)
        timed = _next(begin, habits.every_s)
        by_hour = habits.hourly_s and self._instruments.hourly
        hourly = _next(begin, habits.hourly_s) if by_hour else float("inf")
        seen = _next(now, habits.picture_s) if habits.picture_s else float("inf")
        while True:
            due = min(timed, hourly, seen)
            wait = (due + offset - self._world()) / self._clock.speed
            if wait > 0:
                await asyncio.sleep(wait)
            if StationFault.HUSH in self.faults:
                pass
            elif due == hourly:
                self._keep(reports.HOURLY, *self._instruments.hour(due, self.ahead_s))
            elif due == seen:
                self.picture()
            else:
                level = self._instruments.level_m(due)
                jump = self._level is not None and abs(level - self._level) >= habits.added_m
                self.look(reports.ADDED if jump else reports.TIMED, due)
            if due == hourly:
                hourly += habits.hourly_s
            elif due == seen:
                seen += habits.picture_s
            else:
                timed += habits.every_s

    # ------------------------------------------------------------ its line

    async def run(self) -> None:
        """Observe and report until cancelled."""
        watching = asyncio.create_task(self._observe(), name=f"{self.name} observes")
        try:
            while True:
                try:
                    self._line = await Line.dial(
                        self._habits.transport, self._habits.host, self._habits.port, self._source
                    )
                    self._write({"t": self._now(), "device": self.name, "dialled": True})
                    await self._talk(self._line)
                except _GONE:
                    pass
                finally:
                    if self._line is not None:
                        self._line.hang_up()
                await asyncio.sleep(self._habits.redial_s * self._random.uniform(0.5, 1.0))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def hang_up(self) -> None:
        """Give up the line: it dials again soon."""
        if self._line is not None:
            self._line.hang_up()
            self._line.heard.put_nowait(b"")

    async def _talk(self, line: Line) -> None:
        reader = wire.Reader()
        for each in self.kept:
            each.tries = 0
        self._keep_alive(line)
        alive = self._now()
        while True:
            report = self._first()
            if report is not None and report.tries < _TRIES:
                self._send(line, report)
                if self._habits.mode == "m1" and report.function != reports.PICTURE:
                    self.kept.remove(report)
                    continue
                wait = self._habits.answer_s
            elif report is not None:
                return  # nobody answers here: hang up
            else:
                wait = max(0.05, alive + self._habits.keep_alive_s - self._now())
            if not await self._listen(line, reader, report, wait):
                return
            if self._now() - alive >= self._habits.keep_alive_s:
                alive = self._now()
                self._keep_alive(line)

    def _first(self) -> Report | None:
        if StationFault.SILENT in self.faults or not self.kept:
            return None
        return self.kept[0]

    async def _listen(
        self, line: Line, reader: wire.Reader, report: Report | None, wait: float
    ) -> bool:
        """Until `report` is confirmed, something is due, or the time is over; False: hung up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        while (left := end - loop.time()) > 0:
            if report is None:
                self._due.clear()
                if self._first() is not None:
                    return True
            heard = await self._heard(line, left, wakes=report is None)
            if heard is None:
                continue
            if not heard:
                return False
            for told in reader.feed(heard):
                if self._told(line, told):
                    if report is None or report not in self.kept:
                        return True
                    end = loop.time() + wait  # a packet was asked for again: it goes on
        return True

    async def _heard(self, line: Line, left: float, *, wakes: bool) -> bytes | None:
        """What the centre says, None when the time is over or something became due."""
        if not line.heard.empty():
            return line.heard.get_nowait()
        waiting: set[asyncio.Task[Any]] = {asyncio.create_task(line.heard.get())}
        if wakes:
            waiting.add(asyncio.create_task(self._due.wait()))
        try:
            done, _ = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            return next((x.result() for x in done if isinstance(x.result(), bytes)), None)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    # ------------------------------------------------------------ what it says

    def _frame(self, function: int, body: bytes, **more: Any) -> bytes:
        habits = self._habits
        return self._instruments.coding.up(
            habits.centre, self._instruments.address, habits.password, function, body, **more
        )

    def _begin(self, serial: int) -> bytes:
        at = reports.local(self._world() + self.ahead_s)
        return self._instruments.coding.begin(serial, at)

    def _keep_alive(self, line: Line) -> None:
        if StationFault.SILENT not in self.faults:
            line.send(self._frame(reports.KEEP_ALIVE, self._begin(self._serial)))

    def _send(self, line: Line, report: Report) -> None:
        report.tries += 1
        report.first_sent = report.first_sent or self._now()
        # The time of sending is this sending's own; serial number and content are the report's.
        body = self._begin(report.serial) + report.content
        if report.function == reports.PICTURE:
            parts = reports.packets(body)
            for number in range(1, len(parts) + 1):
                line.send(self._packet(report.function, parts, number))
            return
        data = self._frame(report.function, body)
        if StationFault.WRONG_CRC in self.faults and report.tries == 1:
            data = data[:-1] + bytes([data[-1] ^ 0x5A])
        if StationFault.GLUE in self.faults:
            data = self._frame(reports.KEEP_ALIVE, self._begin(report.serial)) + data
        size = int(self.faults.get(StationFault.SPLIT, 0)) or len(data)
        for at in range(0, len(data), size):
            line.send(data[at : at + size])

    def _packet(self, function: int, parts: list[bytes], number: int) -> bytes:
        end = wire.ETX if number == len(parts) else wire.ETB
        return self._frame(function, parts[number - 1], end=end, packet=(len(parts), number))

    # ------------------------------------------------------------ what it is told

    def _told(self, line: Line, told: wire.Told) -> bool:
        """One frame of the centre; True when it concerned a report."""
        if told.station != self._instruments.address or StationFault.DEAF in self.faults:
            return False
        if told.end == wire.ENQ:
            self._asked(line, told)
            return False
        report = self._first()
        if report is None or told.function != report.function:
            return False
        if told.end == wire.NAK:
            parts = reports.packets(self._begin(report.serial) + report.content)
            if 1 <= told.packet <= len(parts):
                line.send(self._packet(report.function, parts, told.packet))
            return True
        if told.serial != report.serial:
            return False
        self.kept.popleft()
        sent = report.first_sent or self._now()
        self._write(
            {
                "t": self._now(), "device": self.name, "confirmed": report.serial,
                "after_s": self._now() - sent, "tries": report.tries,
            }
        )  # fmt: skip
        return True

    def _asked(self, line: Line, told: wire.Told) -> None:
        """Mode M4: what the centre asks is answered with the same function."""
        said: dict[str, Any] = {"t": self._now(), "device": self.name}
        if told.function == reports.SET_CLOCK:
            self._write({**said, "clock_set": told.sent})
            self.faults.pop(StationFault.CLOCK, None)
            content: bytes | None = self._instruments.coding.station(self._instruments.address)
        elif told.function in (reports.ASK_NOW, reports.ASK_ELEMENTS):
            self._write({**said, "asked": f"{told.function:02X}"})
            content, _ = self._instruments.look(self._world(), self.ahead_s)
        elif told.function == reports.PICTURE:
            self._write({**said, "asked": f"{told.function:02X}"})
            size = self._habits.picture_bytes
            content, _ = self._instruments.picture(self._world(), self.ahead_s, size)
        else:
            content = self._answer(told, said)
        if content is None or line is not self._line:
            return
        body = self._begin(self._serial) + content
        parts = reports.packets(body) if len(body) > reports.LONGEST else []
        if not parts:
            line.send(self._frame(told.function, body))
        for number in range(1, len(parts) + 1):
            line.send(self._packet(told.function, parts, number))

    def _answer(self, told: wire.Told, said: dict[str, Any]) -> bytes | None:
        """Orders are done, and written down before anything is said; None: it says nothing."""
        if told.function in ORDERS:
            self.plant.ignores = StationFault.IGNORE in self.faults
            self.plant.order(told)
            stands = self.plant.standing(told.function).hex()
            order = {"ordered": f"{told.function:02X}", "data": told.data.hex(), "stands": stands}
            self._write({**said, **order})
            if StationFault.RESET in self.faults:
                self.hang_up()
                return None
            if StationFault.MUTE in self.faults:
                return None
        else:
            self._write({**said, "asked": f"{told.function:02X}"})
        at = reports.local(self._world() + self.ahead_s)
        return self.plant.answer(
            told, self._instruments.coding, self._instruments.address, at, self._level_at
        )

    def _level_at(self, at: datetime) -> float:
        return self._instruments.level_m((at - reports.ZONE).replace(tzinfo=UTC).timestamp())


def _next(t: float, step: float) -> float:
    return t - t % step + step
