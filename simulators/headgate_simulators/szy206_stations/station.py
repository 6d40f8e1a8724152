"""One station: it logs in, reports, counts FCB down until it is confirmed, hangs up, dials again.

A report is said with FCB 3, 2 and 1 (clause 6.3); unanswered, the line is given up and all begins anew.
The confirmation sets its clock and its working mode. Faults of its own, beside those of `dialling`:
`short-label` (Tp of five bytes), `divided` (a report in two frames), `unset` (the confirmation does not
set its clock).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headgate_simulators.dialling import FAULTS, Caller, Centre, Write
from headgate_simulators.sl651_stations.line import Line
from headgate_simulators.szy206_stations import wire
from headgate_simulators.szy206_stations.answers import Panel
from headgate_simulators.szy206_stations.instruments import (
    Instruments,
    Report,
    local,
    unix,
    words_told,
)
from headgate_simulators.world import WorldClock

KNOWN: Mapping[str, float] = {**FAULTS, "short-label": 0.0, "divided": 0.0, "unset": 0.0}
_FIRST = 3
_ASK_VALUES = 0xB0


@dataclass(frozen=True, slots=True)
class Habits:
    """What stations do when. Real seconds but `every_s` and `pictures_s`, which are of the world's clock."""

    every_s: float = 300.0
    pictures_s: float = 0.0
    picture_bytes: int = 2600
    alive_s: float = 60.0
    #: World seconds of looks that a station has kept while its line was down.
    behind_s: float = 0.0


class Station(Caller):
    """One station; `run` until cancelled."""

    def __init__(
        self, name: str, number: bytes, centre: Centre, habits: Habits, instruments: Instruments,
        clock: WorldClock, write: Write, source: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, centre, write, source)
        self.number, self.habits, self.instruments = number, habits, instruments
        self.kept: deque[Report] = deque()
        self.panel = Panel()
        self.confirmed = 0
        self._clock = clock
        self._reports = 0
        self._alarm = 0
        self._set_s = 0.0  # what a confirmation, or 11, put the clock right by
        self._buffer = bytearray()

    # ------------------------------------------------------------ what it observes

    @property
    def waiting(self) -> int:
        return len(self.kept)

    @property
    def ahead_s(self) -> float:
        """How far its clock is before the world's."""
        return self.faults.get("clock", 0.0) + self._set_s

    def world_now(self) -> float:
        """The world's time."""
        return self._clock.world_time(time.time())

    def look(self, t: float | None = None) -> None:
        """One look at everything, into what is to be reported."""
        at = self.world_now() if t is None else t
        alarm, state = self.instruments.alarm(at), self.panel.state
        begins = alarm and not self._alarm
        self._alarm = alarm
        for kind, data, values in self.instruments.measured(at):
            alarmed = begins and kind == wire.LEVEL
            self.keep(
                wire.ALARMED if alarmed else wire.REPORT, kind, data, values, at, alarm, state
            )

    def keep(
        self, afn: int, kind: int, data: bytes, values: Mapping[str, Any], at: float,
        alarm: int = 0, state: int = 0x20,
    ) -> Report:  # fmt: skip
        """Something to be reported, as it was measured at world time `at`."""
        own = float(int(at + self.ahead_s))
        label = wire.tag(local(own), long="short-label" not in self.faults)
        first, second = alarm.to_bytes(2, "little"), state.to_bytes(2, "little")
        whole = first + data + second if afn == wire.ALARMED else data + first + second
        told = {own: {**values, **words_told(alarm, state)}}
        return self._keep(Report(self._next(), afn, kind, whole + label, told))

    def picture(self) -> None:
        """One picture: its marks are right, what is between them is noise."""
        size, seed = self.habits.picture_bytes, self._reports
        inside = bytes((seed * 31 + n * 7) & 0x7F for n in range(max(0, size - 4)))
        whole = b"\xff\xd8" + inside + b"\xff\xd9"
        step = wire.THOUSAND
        parts = [whole[at : at + step] for at in range(0, len(whole), step)]
        self._keep(Report(self._next(), wire.PICTURE, 0, b"", parts=parts))

    def _next(self) -> int:
        self._reports += 1
        return self._reports

    def _keep(self, report: Report) -> Report:
        self.kept.append(report)
        told = [[at, values] for at, values in report.told.items()]
        self.tell({"serial": report.number, "function": f"{report.afn:02X}", "told": told})
        self.due()
        return report

    async def observe(self) -> None:
        habits, now = self.habits, self.world_now()
        timed = _next_due(now - habits.behind_s, habits.every_s)
        seen = _next_due(now, habits.pictures_s) if habits.pictures_s else float("inf")
        offset = self._random.random() * min(habits.every_s, 30.0)
        while True:
            due = min(timed, seen)
            # What was before the start is looked at at once.
            wait = (due + offset * (due > now) - self.world_now()) / self._clock.speed
            if wait > 0:
                await asyncio.sleep(wait)
            if "hush" not in self.faults:
                if due == seen:
                    self.picture()
                else:
                    self.look(due)
            if due == seen:
                seen += habits.pictures_s
            else:
                timed += habits.every_s

    # ------------------------------------------------------------ its line

    async def talk(self, line: Line) -> None:
        self._buffer.clear()
        for each in self.kept:
            each.tries = _FIRST
        if "silent" not in self.faults:
            self._say_link(line, wire.LOGIN)
        alive = time.time()
        while True:
            report = self.kept[0] if self.kept and "silent" not in self.faults else None
            if report is not None and not report.tries:
                return  # nobody answers here: hang up
            if report is not None:
                self._send(line, report)
                await self._until_confirmed(line, report)
            else:
                left = max(0.05, alive + self.habits.alive_s - time.time())
                await self._listen(line, left, None)
            if time.time() - alive >= self.habits.alive_s:
                alive = time.time()
                self._say_link(line, wire.ALIVE)

    def _say_link(self, line: Line, word: int) -> None:
        self.say(line, self._link(word))

    def _link(self, word: int) -> bytes:
        return wire.frame(wire.up(0, _FIRST), self.number, wire.LINK, bytes([word]))

    def _send(self, line: Line, report: Report) -> None:
        control = wire.up(report.kind, report.tries)
        report.tries -= 1
        report.sent += 1
        report.first_sent = report.first_sent or time.time()
        frames = self._frames(report, control)
        if "wrong-check" in self.faults and report.sent == 1:
            last = frames[-1]
            frames[-1] = last[:-2] + bytes([last[-2] ^ 0xFF, 0x16])
        self.say(line, *frames)

    def _frames(self, report: Report, control: int) -> list[bytes]:
        if report.parts:
            part = len(report.parts)
            return [wire.picture_part(control, self.number, report.parts[0], part)]
        if "divided" in self.faults:
            half = len(report.data) // 2
            return [
                wire.frame(control, self.number, report.afn, report.data[:half], 2),
                wire.frame(control, self.number, report.afn, report.data[half:], 1),
            ]
        frame = wire.frame(control, self.number, report.afn, report.data)
        if "glue" in self.faults:
            return [self._link(wire.ALIVE), frame]
        return [frame]

    async def _until_confirmed(self, line: Line, report: Report) -> None:
        """Until it is, or the time is over: then it is said again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.centre.answer_s
        while (left := end - loop.time()) > 0 and self.kept and self.kept[0] is report:
            if not await self._listen(line, left, report):
                continue
            if report.parts:  # a part was confirmed: the next one is new
                report.tries = _FIRST
                return

    async def _listen(self, line: Line, seconds: float, report: Report | None) -> bool:
        """Hear once; whether something of `report` was confirmed."""
        data = await self.heard(line, seconds, wakes=report is None)
        if data is None:
            return False
        self._buffer += data
        done = False
        for told in wire.heard(self._buffer):
            done = self._told(line, told, report) or done
        return done

    # ------------------------------------------------------------ what it is told

    def _told(self, line: Line, told: wire.Told, report: Report | None) -> bool:
        if told.station != self.number or "deaf" in self.faults or told.afn == wire.LINK:
            return False
        if report is not None and self.kept and told.afn == report.afn and not told.kind:
            return self._confirmed(report, told)
        if told.afn in (wire.REPORT, wire.ALARMED, wire.VOLTAGE):
            return False  # of a report that was confirmed already
        self._asked(line, told)
        return False

    def _confirmed(self, report: Report, told: wire.Told) -> bool:
        if "divided" in self.faults and told.part == 2:
            return False  # of the first half
        if report.parts and told.part != len(report.parts):
            return False
        if self.kept[0] is not report or told.tries <= report.tries:
            return False  # of the report before, which was said more than once
        if "hangs-up" in self.faults and report.sent == 1:
            raise ConnectionResetError("hung up instead of hearing it")
        self._obey(told.data)
        if report.parts and len(report.parts) > 1:
            del report.parts[0]
            return True
        self.kept.popleft()
        self.confirmed += 1
        sent = report.first_sent or time.time()
        self.tell({"confirmed": report.number, "after_s": time.time() - sent, "tries": report.sent})
        return True

    def _obey(self, data: bytes) -> None:
        """A confirmation says the working mode, and what time it is."""
        self.panel.mode = data[0] & 3 if data else self.panel.mode
        if len(data) == 8 and "unset" not in self.faults:
            at = wire.clock_of(data[1:7])
            ahead = unix(at) - self.world_now()
            # The world may run faster than the centre's clock: what is far off only is put right.
            if abs(self.faults.get("clock", 0.0)) > timedelta(days=2).total_seconds():
                self.tell({"clock_set": at.isoformat(), "off_s": ahead})
                self.faults.pop("clock", None)

    def _asked(self, line: Line, told: wire.Told) -> None:
        now = self.world_now()
        alarm = self.instruments.alarm(now)
        kind = 0
        if told.afn == _ASK_VALUES:
            measured = {kind: data for kind, data, _ in self.instruments.measured(now)}
            words = alarm.to_bytes(2, "little") + self.panel.state.to_bytes(2, "little")
            data, kind = measured.get(told.kind), told.kind
            answer = None if data is None else data + words
        else:
            answer = self.panel.answer(told, local(now + self.ahead_s), alarm)
        self.tell({"asked": f"{told.afn:02X}", "answered": answer is not None})
        if self.panel.clock_set is not None:
            self.faults.pop("clock", None)
            self.tell({"clock_set": self.panel.clock_set.isoformat()})
            self.panel.clock_set = None
        if answer is not None:
            self.say(line, wire.frame(wire.up(kind, told.tries), self.number, told.afn, answer))


def _next_due(t: float, step: float) -> float:
    return t - t % step + step
