"""Wall time as a label: watches the clock and says each change as a `ClockFix`.

Nothing waits for it. Intervals and order come from boottime; this only lets everybody downstream turn
boottime into wall time, also backwards, for what was measured before the clock was right.

What the kernel says of its clock is not taken on trust alone:

- `synced` needs a clock that did not just jump: one that was synced and is suddenly somewhere else is
  `unsynced` until it has stayed there for `PROBATION_US`, or has come back;
- `holdover` is a clock that was synced in this boot, also before a restart of the process, and was not
  set since; one that was set by hand is `unsynced`;
- a clock that nobody vouches for and that is earlier than an instant that was once trusted is wrong: the
  label is that instant and the time since the boot instead, and says `unsynced`. A synced clock is
  believed over what is remembered, so that a false hour in the future is forgotten with the next sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from headgate.env import ClockState, Env
from headgate.envelope.walltime import agree
from headgate.model import ClockFix
from headgate.runtime.walltrust import Trusted

LOOK_EVERY_S = 1.0
SAY_EVERY_US = 600 * 1_000_000
#: A wall clock that runs away from boottime by this much was set.
JUMP_US = 20_000
#: Wall clocks before this are a box without a battery, whoever vouches for them: 2024-01-01.
FLOOR_US = 1_704_067_200 * 1_000_000
#: How often the trusted time is remembered: what a power cut may take from the floor.
KEEP_EVERY_US = 60 * 1_000_000
#: A synced clock that jumps is believed again when it has stayed for this long.
PROBATION_US = 600 * 1_000_000


class Memory(Protocol):
    """What outlives the process."""

    def load(self) -> Trusted | None: ...
    def keep(self, known: Trusted) -> None: ...


class _NoMemory:
    def load(self) -> Trusted | None:
        return None

    def keep(self, known: Trusted) -> None:
        pass


class Timekeeper:
    """Says a fix at start, when the state or the clock changes, and every ten minutes."""

    def __init__(
        self, env: Env, say: Callable[[ClockFix], None], memory: Memory | None = None
    ) -> None:
        self._env = env
        self._say = say
        self._memory = memory or _NoMemory()
        self._task: asyncio.Task[None] | None = None
        self._boot = env.clock.boot_id()
        self._trusted = self._memory.load()
        self._kept_us: int | None = None
        #: Where the clock jumped to: boottime and wall time of then. None: it did not.
        self._doubt: tuple[int, int] | None = None
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

    # ------------------------------------------------------------ judging

    def _look(self) -> ClockFix:
        clock = self._env.clock
        at, wall = clock.boottime_us(), clock.wall_us()
        state, error = clock.wall_state()
        state = self._judge(state, at, wall)
        if state == "unsynced":
            wall = max(wall, self._floor_us(at))
        else:
            self._trust(state, at, wall)
        return ClockFix(self._boot, at, wall, error if state == "synced" else None, state)

    def _judge(self, said: ClockState, at: int, wall: int) -> ClockState:
        known = self._of_this_boot()
        stayed = known is None or known.agrees(at, wall)
        if said == "synced" and wall >= FLOOR_US:
            if stayed or self._waited(at, wall):
                self._doubt = None
                return "synced"
            return "unsynced"
        self._doubt = None
        return "holdover" if known is not None and stayed else "unsynced"

    def _waited(self, at: int, wall: int) -> bool:
        """Whether the clock has been where it jumped to for long enough."""
        if self._doubt is None or not agree(at, wall, *self._doubt):
            self._doubt = at, wall
        return at - self._doubt[0] >= PROBATION_US

    def _trust(self, state: ClockState, at: int, wall: int) -> None:
        known = self._of_this_boot()
        if state == "synced" or known is None:
            self._trusted = Trusted(self._boot, at, wall, wall)
        else:
            # Holdover goes on as the synced clock went: it moves the floor, too.
            self._trusted = msgspec.structs.replace(known, floor_us=wall)
        jumped = known is not None and not known.agrees(at, wall)
        if self._kept_us is None or jumped or at - self._kept_us >= KEEP_EVERY_US:
            self._kept_us = at
            self._memory.keep(self._trusted)

    def _of_this_boot(self) -> Trusted | None:
        return self._trusted if self._trusted is not None and self._trusted.of(self._boot) else None

    def _floor_us(self, at: int) -> int:
        """It cannot be earlier than this, by what was trusted once."""
        if (known := self._trusted) is None:
            return 0
        if known.of(self._boot):
            return known.wall_us + at - known.at_us
        return known.floor_us + at

    # ------------------------------------------------------------ watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            new = self._look()
            drift = (new.wall_us - self.fix.wall_us) - (new.at_us - self.fix.at_us)
            changed = new.state != self.fix.state or abs(drift) >= JUMP_US
            if changed or new.at_us - self.fix.at_us >= SAY_EVERY_US:
                self.fix = new
                self._say(new)

    # ------------------------------------------------------------ asking

    def wall_us(self, at_us: int) -> int:
        """Wall time of a boottime of this boot, by the best that is known."""
        if self.fix.state == "unsynced" and (known := self._of_this_boot()) is not None:
            return known.wall_us + at_us - known.at_us
        return self.fix.wall_us + at_us - self.fix.at_us

    def label(self, at_us: int) -> tuple[int, ClockState]:
        """Wall time of a boottime of this boot, and how far it can be trusted."""
        return self.wall_us(at_us), self.fix.state

    def trusted_us(self, at_us: int) -> int | None:
        """The same; None while the clock was never trusted in this boot."""
        if self.fix.state == "unsynced" and self._of_this_boot() is None:
            return None
        return self.wall_us(at_us)
