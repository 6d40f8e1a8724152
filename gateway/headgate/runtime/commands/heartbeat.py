"""Counts registers up as long as this box lives, so that a PLC's own timer can tell when it does not.

A beat that a device does not take is not repeated: the next one comes. A counter that stands still is what
the PLC watches for, whatever stopped it: the box, the line, or a loop that hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from headgate.config import Heartbeat
from headgate.errors import HeadgateError
from headgate.runtime.commands.plant import Plant

log = logging.getLogger(__name__)


class Heart:
    """One heartbeat: `run` until cancelled."""

    def __init__(self, beat: Heartbeat, plant: Plant) -> None:
        self.beat = beat
        self._plant = plant
        self.count = 0
        self.reason = ""

    async def run(self) -> None:
        """Beat, and beat again."""
        while True:
            self.count = (self.count + 1) % self.beat.below
            try:
                await self._plant.write(self.beat.device, self.beat.point, self.count)
            except (HeadgateError, TimeoutError) as error:
                self._say(str(error) or "no answer in time")
            except Exception as error:
                log.exception("a heartbeat met a bug")
                self._say(repr(error))
            else:
                self._say("")
            await asyncio.sleep(self.beat.every.s)

    def _say(self, reason: str) -> None:
        if bool(reason) != bool(self.reason):
            where = {"device": self.beat.device, "point": self.beat.point, "reason": reason}
            log.log(logging.WARNING if reason else logging.INFO, "heartbeat", extra=where)
        self.reason = reason


class Hearts:
    """All heartbeats of a site."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._tasks: dict[Heartbeat, asyncio.Task[None]] = {}
        self.beating: dict[Heartbeat, Heart] = {}

    async def apply(self, beats: Sequence[Heartbeat]) -> None:
        """Beat these, and no others."""
        for beat in [beat for beat in self._tasks if beat not in beats]:
            await self._stop(beat)
        loop = asyncio.get_running_loop()
        for beat in beats:
            if beat not in self._tasks:
                heart = self.beating[beat] = Heart(beat, self._plant)
                name = f"heartbeat {beat.device}/{beat.point}"
                self._tasks[beat] = loop.create_task(heart.run(), name=name)

    async def stop(self) -> None:
        """No more beats: the PLC notices within its own time."""
        await self.apply(())

    async def _stop(self, beat: Heartbeat) -> None:
        task = self._tasks.pop(beat)
        self.beating.pop(beat)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
