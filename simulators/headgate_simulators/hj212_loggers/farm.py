"""Many loggers that dial one port: one world, one truth, faults by command."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate_simulators.hj212_loggers.logger import PROFILE, Kind, Logger, Upload, Wrong
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock

_FLUSH_S = 0.5
_WRITTEN = re.compile(r"([^:=\s]+):([a-z-]+)(?:=(-?\d+(?:\.\d+)?))?")
_COMMANDS = '{"fault":"deaf","device":"log-001","on":true}, {"reconnect":true} or {"storm":{"peak_mm_h":80}}'


@dataclass(frozen=True, slots=True)
class LoggerPlan:
    """What loggers are wanted. Faults are written DEVICE:KIND[=VALUE], * is every device."""

    count: int = 2
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 9212
    real_s: float = 30.0
    minutes_s: float = 600.0
    answer_s: float = 5.0
    speed: float = 1.0
    kinds: Sequence[Kind] = tuple(Kind)
    storms: Sequence[Storm] = ()
    faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 5000:
            raise ValueError(f"count {self.count}: 1 to 5000")
        if not (self.real_s > 0 and self.minutes_s > 0):
            raise ValueError("intervals are more than 0")


class LoggerFarm:
    """Running loggers: `async with LoggerFarm(plan, truth) as farm: ...`."""

    def __init__(self, plan: LoggerPlan, truth: Truth) -> None:
        self.plan, self.truth = plan, truth
        self.started = time.time()
        self.clock = WorldClock(self.started, plan.speed)
        storms = [
            Storm(self.clock.world_time(self.started + s.starts_at), s.peak_mm_h, s.duration_s)
            for s in plan.storms
        ]
        world = World(plan.seed, self.started, storms)
        self.world = world
        self.loggers = [
            Logger(
                f"log-{at + 1:03d}",
                f"4201SIM{plan.seed:04d}{at + 1:05d}",
                plan.kinds[at % len(plan.kinds)],
                place,
                world,
                lambda: self.clock.world_time(time.time()),
                str(plan.seed),
                plan.real_s,
                plan.minutes_s,
                plan.answer_s,
                self._told,
            )
            for at, place in enumerate(world.places(plan.count))
        ]
        for written in plan.faults:
            self._fault(*_parse(written), on=True)
        self._tasks: list[asyncio.Task[Any]] = []

    def _told(self, logger: Logger, upload: Upload) -> None:
        now, whose = time.time(), {"device": logger.id, "serial": upload.qn}
        if not upload.sent:
            upload.began = now
            said = {"function": upload.function, "told": [[upload.at, upload.values]]}
            self.truth.write({"t": now, **whose, **said})
        else:
            done = {"confirmed": upload.qn, "after_s": now - upload.began, "tries": upload.sent}
            self.truth.write({"t": now, "device": logger.id, **done})

    async def start(self) -> None:
        """They begin to measure and to dial."""
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self.truth.flush()
        for logger in self.loggers:
            self._tasks.append(asyncio.create_task(logger.measure()))
            self._tasks.append(asyncio.create_task(logger.talk(self.plan.host, self.plan.port)))
        self._tasks.append(asyncio.create_task(self._flush()))

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.truth.flush()

    async def stop(self) -> None:
        """They hang up; the truth is closed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.truth.close()

    async def __aenter__(self) -> LoggerFarm:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ------------------------------------------------------------ what is told of it

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each logger as the ready line tells it."""
        return [
            {
                "id": each.id, "name": each.place.name, "model": PROFILE[each.kind], "mn": each.mn,
                "host": self.plan.host, "port": self.plan.port, "counter": False,
            }
            for each in self.loggers
        ]  # fmt: skip

    def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it."""
        if isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            number = float(value) if isinstance(value, (int, float)) else None
            self._fault(str(said.get("device", "*")), said["fault"], number, on=said["on"])
        elif said.get("reconnect") is True:
            for logger in self.loggers:
                logger.hang_up()
        elif isinstance(said.get("storm"), Mapping):
            peak = float(said["storm"].get("peak_mm_h", 80.0))
            duration = float(said["storm"].get("duration_s", 1800.0))
            self.world.ask_storm(Storm(self.clock.world_time(time.time()), peak, duration))
        else:
            raise ValueError(f"a command is {_COMMANDS}")

    def _fault(self, device: str, kind: str, value: float | None, *, on: bool) -> None:
        try:
            wrong = Wrong(kind)
        except ValueError:
            known = ", ".join(each.value for each in Wrong)
            raise ValueError(f"fault {kind!r} is not known; there are: {known}") from None
        meant = [each for each in self.loggers if device in ("*", each.id)]
        if not meant:
            raise ValueError(f"device {device!r} is not in this farm")
        for logger in meant:
            if on:
                logger.wrong[wrong] = 0.0 if value is None else value
            else:
                logger.wrong.pop(wrong, None)


def _parse(written: str) -> tuple[str, str, float | None]:
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(
            f"fault {written!r}: write DEVICE:KIND[=VALUE], for example *:clock-off=-86400"
        )
    return found[1], found[2], float(found[3]) if found[3] else None
