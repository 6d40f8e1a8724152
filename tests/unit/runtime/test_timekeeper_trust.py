"""When a clock is believed: boots in 1970, jumps both ways, years ahead, a week without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.envelope.walltime import believed, nearest
from headgate.model import ClockFix
from headgate.runtime.timekeeper import FLOOR_US, Timekeeper
from headgate.runtime.walltrust import Trusted, WallTrust
from headgate.spool import State
from headgate.testing.env import BOOT_US, WALL_US, LoopClock, fake_env, run

HOUR_S = 3600.0
RIGHT = WALL_US - BOOT_US
YEAR_US = 365 * 86_400 * 1_000_000
NO = ("unsynced", None)


class Memory:
    """What outlives a process, in a variable."""

    def __init__(self, known: Trusted | None = None) -> None:
        self.known = known

    def load(self) -> Trusted | None:
        return self.known

    def keep(self, known: Trusted) -> None:
        self.known = known


def earlier(wall_us: int) -> Memory:
    """A boot before this one was trusted at that time."""
    return Memory(Trusted(b"earlier", BOOT_US, wall_us, wall_us))


class Box:
    def __init__(self, clock: LoopClock, memory: Memory) -> None:
        self.clock, self.memory = clock, memory
        self.said: list[ClockFix] = []
        self.keeper = Timekeeper(fake_env(clock), self.said.append, memory)
        self.keeper.start()

    @property
    def state(self) -> str:
        return self.keeper.fix.state

    def dated(self, at_us: int) -> int:
        """What the platform makes of an instant, by all fixes that were said."""
        kept = believed(self.said)
        fix = kept[nearest([each.at_us for each in kept], at_us)]
        return fix.wall_us + at_us - fix.at_us


def test_a_box_that_boots_in_1970_is_dated_right_once_it_is_synced() -> None:
    async def main() -> None:
        clock = LoopClock()
        clock.shift_us, clock.state = -BOOT_US, NO
        box = Box(clock, Memory())
        await asyncio.sleep(HOUR_S)
        assert {fix.state for fix in box.said} == {"unsynced"}
        assert box.keeper.trusted_us(BOOT_US) is None
        clock.shift_us, clock.state = RIGHT, ("synced", 900)
        await asyncio.sleep(2)
        assert box.state == "synced"
        for at in (BOOT_US, BOOT_US + 1_800_000_000, clock.boottime_us()):
            assert box.dated(at) == at + RIGHT == box.keeper.trusted_us(at)
        await box.keeper.stop()

    run(main)


def test_a_box_without_battery_is_never_labelled_before_what_was_once_trusted() -> None:
    async def main() -> None:
        clock = LoopClock()
        memory = Memory()
        box = Box(clock, memory)
        await asyncio.sleep(HOUR_S)
        await box.keeper.stop()
        last = clock.wall_us()
        clock.boot, clock.shift_us, clock.state = b"another boot....", -BOOT_US, NO
        box = Box(clock, memory)
        assert box.state == "unsynced"
        assert box.said[0].wall_us >= last - 60_000_000
        await box.keeper.stop()

    run(main)


def test_a_boot_years_ahead_is_healed_by_the_next_sync_and_moves_no_floor() -> None:
    async def main() -> None:
        clock = LoopClock()
        memory = earlier(WALL_US - YEAR_US)
        clock.shift_us, clock.state = RIGHT + 20 * YEAR_US, NO
        box = Box(clock, memory)
        await asyncio.sleep(HOUR_S)
        assert memory.known is not None
        assert memory.known.wall_us == WALL_US - YEAR_US
        clock.shift_us, clock.state = RIGHT, ("synced", 900)
        await asyncio.sleep(2)
        assert box.dated(BOOT_US) == WALL_US
        await box.keeper.stop()

    run(main)


def test_a_floor_in_the_future_yields_to_a_synced_clock() -> None:
    """A false server once said 2046: the box is not poisoned for ever."""

    async def main() -> None:
        clock = LoopClock()
        memory = earlier(WALL_US + 20 * YEAR_US)
        clock.state = NO
        box = Box(clock, memory)
        assert box.state == "unsynced"
        assert box.said[0].wall_us > WALL_US + 19 * YEAR_US
        clock.state = ("synced", 900)
        await asyncio.sleep(2)
        assert box.state == "synced"
        assert box.dated(BOOT_US) == WALL_US
        assert memory.known is not None
        assert memory.known.wall_us < WALL_US + YEAR_US
        await box.keeper.stop()

    run(main)


def test_a_synced_clock_that_jumps_is_doubted_and_back_again_believed_at_once() -> None:
    async def main() -> None:
        for by in (10 * YEAR_US, -2 * 3_600_000_000):
            clock = LoopClock()
            box = Box(clock, Memory())
            await asyncio.sleep(60)
            clock.shift_us += by
            await asyncio.sleep(300)
            assert box.state == "unsynced"
            assert box.keeper.wall_us(BOOT_US) == WALL_US
            clock.shift_us -= by
            await asyncio.sleep(2)
            assert box.state == "synced"
            for at_s in (0, 60, 200, 360):
                at = BOOT_US + at_s * 1_000_000
                assert abs(box.dated(at) - at - RIGHT) < 2
            await box.keeper.stop()

    run(main)


def test_a_synced_clock_that_stays_where_it_jumped_to_dates_the_whole_boot() -> None:
    async def main() -> None:
        clock = LoopClock()
        clock.shift_us = RIGHT - 3_600_000_000  # a wrong server
        box = Box(clock, Memory())
        await asyncio.sleep(HOUR_S)
        clock.shift_us = RIGHT
        await asyncio.sleep(700)
        assert box.state == "synced"
        assert box.dated(BOOT_US) == WALL_US
        await box.keeper.stop()

    run(main)


def test_a_week_without_a_server_is_holdover_and_a_small_step_dates_each_side() -> None:
    async def main() -> None:
        clock = LoopClock()
        box = Box(clock, Memory())
        clock.state = NO
        await asyncio.sleep(7 * 86_400)
        assert box.state == "holdover"
        clock.shift_us += 30_000_000  # 50 ppm in a week
        clock.state = ("synced", 900)
        await asyncio.sleep(2)
        assert box.state == "synced"
        assert box.dated(BOOT_US) == WALL_US
        assert box.dated(clock.boottime_us()) == clock.wall_us()
        await box.keeper.stop()

    run(main)


def test_a_clock_set_by_hand_is_not_holdover() -> None:
    async def main() -> None:
        clock = LoopClock()
        box = Box(clock, Memory())
        clock.state = ("holdover", None)  # what the kernel says when somebody sets it
        clock.shift_us -= YEAR_US
        await asyncio.sleep(2)
        assert box.state == "unsynced"
        assert box.keeper.trusted_us(BOOT_US) == WALL_US
        await box.keeper.stop()

    run(main)


def test_a_process_that_starts_again_without_network_goes_on_in_holdover() -> None:
    async def main() -> None:
        clock = LoopClock()
        memory = Memory()
        box = Box(clock, memory)
        await box.keeper.stop()
        clock.state = NO
        box = Box(clock, memory)
        assert box.state == "holdover"
        await box.keeper.stop()

    run(main)


def test_nobody_vouches_for_1970() -> None:
    async def main() -> None:
        clock = LoopClock()
        clock.shift_us, clock.state = -BOOT_US, ("synced", 1)
        box = Box(clock, Memory())
        assert box.state == "unsynced"
        assert box.keeper.fix.wall_us < FLOOR_US
        await box.keeper.stop()

    run(main)


def test_the_trusted_instant_outlives_the_process(tmp_path: Path) -> None:
    env = fake_env()
    state = State(env, tmp_path / "state.db")
    state.open()
    trust = WallTrust(state)
    boot = bytes(range(200, 216))
    assert trust.load() is None
    assert not trust.synced_in(boot)
    trust.keep(Trusted(boot, 5, WALL_US, WALL_US + 7))
    state.close()
    state = State(env, tmp_path / "state.db")
    state.open()
    trust = WallTrust(state)
    known = trust.load()
    assert known is not None
    assert known.of(boot)
    assert (known.at_us, known.wall_us, known.floor_us) == (5, WALL_US, WALL_US + 7)
    assert trust.synced_in(boot)
    assert not trust.synced_in(bytes(16))
    state.close()
