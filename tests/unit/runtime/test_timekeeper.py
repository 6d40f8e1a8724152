"""Wall time is a label: each change of the clock is said, and nothing waits for it."""

from __future__ import annotations

import asyncio

from headgate.model import ClockFix
from headgate.runtime.timekeeper import FLOOR_US, SAY_EVERY_US, Timekeeper
from headgate.testing.env import BOOT_US, WALL_US, LoopClock, fake_env, run


def watched(clock: LoopClock) -> tuple[Timekeeper, list[ClockFix]]:
    said: list[ClockFix] = []
    return Timekeeper(fake_env(clock), said.append), said


def test_it_says_the_clock_at_start_every_ten_minutes_and_at_the_end() -> None:
    async def main() -> None:
        keeper, said = watched(LoopClock())
        keeper.start()
        assert said == [ClockFix(bytes(range(16)), BOOT_US, WALL_US, 1000, "synced")]
        await asyncio.sleep(2 * SAY_EVERY_US / 1e6 + 5)
        assert len(said) == 3
        await keeper.stop()
        assert len(said) == 4

    run(main)


def test_a_clock_that_was_set_and_a_state_that_changed_are_said_within_seconds() -> None:
    async def main() -> None:
        clock = LoopClock()
        clock.state = ("unsynced", None)
        keeper, said = watched(clock)
        keeper.start()
        clock.shift_us += 5_000_000
        await asyncio.sleep(1.5)
        assert said[-1].wall_us - said[-1].at_us == clock.shift_us
        clock.state = ("synced", 900)
        await asyncio.sleep(1.5)
        assert (said[-1].state, said[-1].error_us) == ("synced", 900)
        assert len(said) == 3
        assert keeper.wall_us(BOOT_US) == BOOT_US + clock.shift_us
        await keeper.stop()

    run(main)


def test_a_wander_below_the_jump_is_not_said() -> None:
    async def main() -> None:
        clock = LoopClock()
        keeper, said = watched(clock)
        keeper.start()
        clock.shift_us += 10_000
        await asyncio.sleep(5)
        assert len(said) == 1
        await keeper.stop()

    run(main)


def test_a_box_in_1970_is_not_believed_to_be_synced() -> None:
    async def main() -> None:
        clock = LoopClock()
        clock.shift_us = -BOOT_US
        keeper, _ = watched(clock)
        assert keeper.fix.wall_us < FLOOR_US
        assert (keeper.fix.state, keeper.fix.error_us) == ("unsynced", None)

    run(main)
