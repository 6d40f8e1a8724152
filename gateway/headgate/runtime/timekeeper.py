"""Wall time as a label: watches the clock and says each change as a `ClockFix`.

Nothing waits for it. Intervals and order come from boottime; this only lets everybody downstream turn
boottime into wall time, also backwards, for what was measured before the clock was right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headgate.env import Env
from headgate.model import ClockFix

LOOK_EVERY_S = 1.0
SAY_EVERY_US = 600 * 1_000_000
#: A wall clock that runs away from boottime by this much was set.
JUMP_US = 20_000
#: Wall clocks before this are a box without a battery: 2024-01-01.
FLOOR_US = 1_704_067_200 * 1_000_000


class Timekeeper:
    """Says a fix at start, when the state or the clock changes, and every ten minutes."""

    def __init__(self, env: Env, say: Callable[[ClockFix], None]) -> None:
        self._env = env
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self.fix = self._look()

    def start(self) -> None:
        """Say the first fix and keep watching."""
        self._say(self.fix)
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="timekeeper")

    async def stop(self) -> None:
        """Say the last fix: with it, this boot's times stay as right as they can be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._say(self._look())

    def _look(self) -> ClockFix:
        clock = self._env.clock
        at = clock.boottime_us()
        wall = clock.wall_us()
        state, error = clock.wall_state()
        if wall < FLOOR_US:
            state, error = "unsynced", None
        return ClockFix(clock.boot_id(), at, wall, error, state)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            new = self._look()
            drift = (new.wall_us - self.fix.wall_us) - (new.at_us - self.fix.at_us)
            changed = new.state != self.fix.state or abs(drift) >= JUMP_US
            if changed or new.at_us - self.fix.at_us >= SAY_EVERY_US:
                self.fix = new
                self._say(new)

    def wall_us(self, at_us: int) -> int:
        """Wall time of a boottime of this boot, by the last fix."""
        return self.fix.wall_us + at_us - self.fix.at_us
