"""One transmitter with a panel: it tells each event, again after ten seconds, three times, then hangs up.

Clause 6.5: a repetition has the serial number of the first and its own time of sending. What is not
confirmed is kept and told on the next line. Faults of its own, beside those of `dialling`: `deny` (it denies
whatever it is asked), `source-0` (it leaves its address out and writes it as the target), `one-byte` (its
keep-alive is a unit of one byte, as some transmitters send).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate_simulators.dialling import FAULTS, Caller, Centre, Write
from headgate_simulators.gb26875_panels import wire
from headgate_simulators.gb26875_panels.answers import Now, answer
from headgate_simulators.gb26875_panels.building import (
    FAULT,
    FIRE,
    FIRE_SYSTEM,
    NORMAL,
    Building,
    Incident,
)
from headgate_simulators.gb26875_panels.wire import Part
from headgate_simulators.sl651_stations.line import Line
from headgate_simulators.world import WorldClock

KNOWN: Mapping[str, float] = {**FAULTS, "deny": 0.0, "source-0": 0.0, "one-byte": 0.0}
#: Panels show Beijing's time.
_ZONE = timedelta(hours=8)
_RESENDS = 3
_RESET_BIT = 13
_SET_CLOCK, _GUARD, _ANEW = 90, 91, 89
_RESET, _GUARD_ANSWER = 1 << 0, 1 << 5


@dataclass(frozen=True, slots=True)
class Habits:
    """What panels do when. Real seconds but `every_s` and `incidents_s`, which are of the world's clock."""

    every_s: float = 300.0
    #: The mean time between two fires; 0: none but those that are asked for.
    incidents_s: float = 0.0
    detectors: int = 60
    alive_s: float = 30.0
    #: How many events are told at once before one of them is confirmed.
    window: int = 1
    serial: int = 0
    #: How long whoever is on duty takes to press the key.
    guard_s: float = 1.0


@dataclass(slots=True)
class Event:
    """Something to be told until it is confirmed."""

    serial: int
    data: bytes
    sent: int = 0
    tries: int = 0
    first_sent: float = 0.0
    until: float = 0.0


class Panel(Caller):
    """One transmitter; `run` until cancelled."""

    def __init__(
        self, name: str, address: int, centre: Centre, habits: Habits, building: Building,
        clock: WorldClock, write: Write, source: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, centre, write, source)
        self.address, self.habits, self.building = address, habits, building
        self.kept: deque[Event] = deque()
        self.confirmed = self.denied = 0
        self._clock = clock
        self._serial = habits.serial
        self._words: dict[Part, int] = {}
        self._systems: dict[tuple[int, int], int] = {}
        self._done: tuple[list[tuple[datetime, int, int]], ...] = ([], [])
        self._set_s = 0.0
        self._buffer = bytearray()
        self._asked_for = asyncio.Event()
        self._duties: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ what it sees

    @property
    def waiting(self) -> int:
        return len(self.kept)

    def world_now(self) -> float:
        """The world's time."""
        return self._clock.world_time(time.time())

    def own(self, t: float) -> datetime:
        """What its clock shows at world time `t`, to the second."""
        ahead = self.faults.get("clock", 0.0) + self._set_s
        at = datetime.fromtimestamp(int(t + ahead), UTC) + _ZONE
        return at.replace(tzinfo=None)

    async def observe(self) -> None:
        changed = now = self.world_now()
        timed = now - now % self.habits.every_s + self.habits.every_s
        self.transmitter(1 << NORMAL, now)
        while True:
            due = min(timed, self.building.next_change(changed))
            wait = (due - self.world_now()) / self._clock.speed
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._asked_for.wait()
                self._asked_for.clear()
            elif due < timed:
                changed = due
                self.look(due)
            else:
                if "hush" not in self.faults:
                    self.measure(due)
                timed += self.habits.every_s

    def look(self, t: float) -> None:
        """What the panel shows at world time `t`, as far as it is not told yet."""
        if "hush" in self.faults:
            return
        burning = self.building.burning(t)
        fires = {part for part, word in self._words.items() if word >> FIRE & 1}
        if fires and not burning:
            self.reset(t)
            return
        for part in burning:
            if part not in fires:
                self.state(part, 1 << NORMAL | 1 << FIRE, t)
        if burning and not fires:
            self.system(1 << NORMAL | 1 << FIRE, t)

    def state(self, part: Part, word: int, t: float) -> None:
        """A component says what it is (type 2)."""
        before, self._words[part] = self._words.get(part, 0), word
        data = wire.unit(
            2, wire.component_state(part, word, self.building.words(part), self.own(t))
        )
        alarms = [
            [f"{code}/component/{part.name}", bool(word >> bit & 1)]
            for bit, code in ((FIRE, "fire"), (FAULT, "fault"))
            if (word ^ before) >> bit & 1
        ]
        self.keep(2, data, t, self._counted(), alarms)

    def system(self, word: int, t: float) -> None:
        """The fire alarm system says what it is (type 1)."""
        before, self._systems[FIRE_SYSTEM, 1] = self._systems.get((FIRE_SYSTEM, 1), 0), word
        data = wire.unit(1, wire.system_state(FIRE_SYSTEM, 1, word, self.own(t)))
        changed = (word ^ before) >> FIRE & 1
        alarms = [[f"fire/system/{FIRE_SYSTEM}.1", bool(word >> FIRE & 1)]] if changed else []
        self.keep(1, data, t, self._counted(), alarms)

    def reset(self, t: float) -> None:
        """Somebody resets the panel (type 4), which then says that it was reset (type 1)."""
        at = self.own(t)
        self._done[1].append((at, _RESET, 1))
        over = [
            [f"{code}/component/{part.name}", False]
            for part, word in self._words.items()
            for bit, code in ((FIRE, "fire"), (FAULT, "fault"))
            if word >> bit & 1
        ]
        fire = self._systems.get((FIRE_SYSTEM, 1), 0) >> FIRE & 1
        over += [[f"fire/system/{FIRE_SYSTEM}.1", False]] if fire else []
        self._words = {part: word & ~(1 << FIRE | 1 << FAULT) for part, word in self._words.items()}
        self._systems[FIRE_SYSTEM, 1] = 1 << NORMAL
        data = wire.unit(4, wire.operation(FIRE_SYSTEM, 1, _RESET, 1, at))
        self.keep(4, data, t, self._counted(), over)
        self.system(1 << NORMAL | 1 << _RESET_BIT, t)
        self._systems[FIRE_SYSTEM, 1] = 1 << NORMAL

    def measure(self, t: float) -> None:
        """Everything that measures (type 3)."""
        at, values, objects = self.own(t), {}, []
        for each in self.building.sensors:
            raw = self.building.raw(each, t)
            objects.append(wire.analogue(each.part, each.kind, raw, at))
            values[f"analogue.{each.part.name}"] = raw / each.steps
        # No profile names them by itself: a site that does compares them with these.
        self.keep(3, wire.unit(3, *objects), t, {}, objects=len(objects), values=values)

    def transmitter(self, word: int, t: float) -> None:
        """The transmitter itself says what it is (type 21)."""
        told = {"watching": bool(word & 1), **self._counted()}
        self.keep(21, wire.unit(21, wire.transmitter_state(word, self.own(t))), t, told)

    def burn(self, parts: int, seconds: float = 600.0) -> None:
        """So many detectors see fire now, for so many world seconds."""
        now = self.world_now()
        self.building.ask_fire(Incident(now, now + seconds, parts))
        self._asked_for.set()

    def _counted(self) -> dict[str, float]:
        words = [*self._words.values(), *self._systems.values()]
        return {
            name: float(sum(word >> bit & 1 for word in words))
            for name, bit in (("fires", FIRE), ("faults", FAULT), ("shielded", 3))
        }

    def keep(
        self, kind: int, data: bytes, t: float, told: Mapping[str, Any],
        alarms: Sequence[Sequence[Any]] = (), objects: int = 1, **more: Any,
    ) -> None:  # fmt: skip
        """Something to be told, as it was at world time `t`; `told`: values, `alarms`: codes, on or off."""
        event = Event(self._next(), data)
        self.kept.append(event)
        own = (self.own(t).replace(tzinfo=UTC) - _ZONE).timestamp()
        said: dict[str, Any] = {
            "serial": event.serial, "function": f"{kind:02X}",
            "told": [[own, dict(told)]] * objects, **more,
        }  # fmt: skip
        self.tell(said | ({"alarms": [list(each) for each in alarms]} if alarms else {}))
        self.due()

    def _next(self) -> int:
        serial, self._serial = self._serial, self._serial + 1 & 0xFFFF
        return serial

    # ------------------------------------------------------------ its line

    async def talk(self, line: Line) -> None:
        self._buffer.clear()
        for each in self.kept:
            each.tries, each.until = 0, 0.0
        loop = asyncio.get_running_loop()
        alive = loop.time()
        while True:
            now, silent = loop.time(), "silent" in self.faults
            ends = [alive + self.habits.alive_s]
            if now >= ends[0]:
                alive, ends[0] = now, now + self.habits.alive_s
                if not silent:
                    line.send(self._frame(self._next(), wire.SEND, self._heartbeat()))
            due = []
            for event in [] if silent else list(self.kept)[: self.habits.window]:
                if now >= event.until:
                    if event.tries > _RESENDS:
                        return  # nobody answers here: hang up
                    due.append(self._said(event, now))
                ends.append(event.until)
            if due:
                self.say(line, *due)
            data = await self.heard(line, max(0.01, min(ends) - loop.time()), wakes=True)
            if data is not None:
                self._buffer += data
                while (told := wire.heard(self._buffer)) is not None:
                    self._hear(line, told)

    def _heartbeat(self) -> bytes:
        """Nothing at all, as most have it."""
        return b"\x16" if "one-byte" in self.faults else b""

    def _frame(self, serial: int, command: int, data: bytes) -> bytes:
        source, target = self.address, 1
        if "source-0" in self.faults:
            source, target = 0, self.address
        return wire.frame(serial, source, command, data, self.own(self.world_now()), target)

    def _said(self, event: Event, now: float) -> bytes:
        event.tries += 1
        event.sent += 1
        event.first_sent = event.first_sent or time.time()
        event.until = now + self.centre.answer_s
        raw = self._frame(event.serial, wire.SEND, event.data)
        if "wrong-check" in self.faults and event.sent == 1:
            raw = raw[:-3] + bytes([raw[-3] ^ 0xFF]) + raw[-2:]
        return raw

    # ------------------------------------------------------------ what it is told

    def _hear(self, line: Line, told: wire.Heard) -> None:
        if "deaf" in self.faults or "silent" in self.faults:
            return
        if told.command in (wire.ACK, wire.DENY):
            event = next((each for each in self.kept if each.serial == told.serial), None)
            if event is None:
                return
            if told.command == wire.DENY:
                self.denied += 1
                event.until = 0.0
            elif "hangs-up" in self.faults and event.sent == 1:
                raise ConnectionResetError("hung up instead of hearing it")
            else:
                self._confirmed(event)
        elif told.command in (wire.CONTROL, wire.REQUEST):
            self._asked(line, told)

    def _confirmed(self, event: Event) -> None:
        self.kept.remove(event)
        self.confirmed += 1
        after = time.time() - event.first_sent
        self.tell({"confirmed": event.serial, "after_s": after, "tries": event.sent})

    def _asked(self, line: Line, told: wire.Heard) -> None:
        """Clauses 6.2 and 6.4: what it can do is done and confirmed or answered, the rest denied."""
        now, kind = self.world_now(), told.data[0] if told.data else 0
        said: tuple[int, bytes] | None = None
        if "deny" in self.faults:
            pass
        elif told.command == wire.CONTROL:
            said = (wire.ACK, b"") if self._obeyed(kind, told.data) else None
        else:
            state = Now(now, self.own(now), self.building, self._words, self._systems, *self._done)
            data = answer(told.data, state)
            said = None if data is None else (wire.REPLY, data)
        command, data = said or (wire.DENY, b"")
        self.tell({"asked": f"{kind:02X}", "answered": command != wire.DENY})
        line.send(self._frame(told.serial, command, data))

    def _obeyed(self, kind: int, data: bytes) -> bool:
        if kind == _SET_CLOCK and len(data) >= 8:
            at = wire.time_of(data[2:8])
            self.tell({"clock_set": at.isoformat()})
            self.faults.pop("clock", None)
        elif kind == _GUARD and len(data) == 3:
            duty = asyncio.create_task(self._on_duty(), name=f"{self.name} duty")
            self._duties.add(duty)
            duty.add_done_callback(self._duties.discard)
        elif kind == _ANEW:
            self.tell({"forgot": len(self.kept)})
            self.kept.clear()
        else:
            return False
        return True

    async def _on_duty(self) -> None:
        """Somebody walks to the transmitter and presses the key."""
        await asyncio.sleep(self.habits.guard_s)
        now = self.world_now()
        self._done[0].append((self.own(now), _GUARD_ANSWER, 1))
        data = wire.unit(24, wire.transmitter_operation(_GUARD_ANSWER, 1, self.own(now)))
        self.keep(24, data, now, {})

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for duty in self._duties:
                duty.cancel()
            await asyncio.gather(*self._duties, return_exceptions=True)
