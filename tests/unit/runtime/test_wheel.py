"""Slots are absolute: no drift, no slot forgotten, everybody on a phase of its own."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from virtual import BOOT_US, VirtualClock, VirtualLoop, run

from headgate.runtime.wheel import Wheel, phase_us

Calls = list[tuple[int, int, int, int]]


def wheel() -> Wheel:
    return Wheel(VirtualClock(asyncio.get_running_loop()))


def test_slots_come_on_time_and_do_not_drift() -> None:
    async def main() -> None:
        calls: list[tuple[int, float]] = []
        loop = asyncio.get_running_loop()
        w = wheel()
        w.add(lambda first, last, a, b: calls.append((last, loop.time())), BOOT_US + 700, 333_333)
        await asyncio.sleep(100)
        w.close()
        assert [slot for slot, _ in calls] == list(range(300))
        for slot, at in calls:
            assert abs(at - (700 + slot * 333_333) / 1e6) < 0.002

    run(main)


def test_slots_that_passed_while_the_machine_slept_are_told() -> None:
    async def main() -> None:
        calls: Calls = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        w = wheel()
        w.add(lambda *call: calls.append(call), BOOT_US, 1_000_000)
        await asyncio.sleep(2.5)
        loop.sleep_machine(10)
        await asyncio.sleep(1)
        w.close()
        assert [(first, last) for first, last, _, _ in calls] == [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 12),
            (13, 13),
        ]
        assert calls[3][2:] == (BOOT_US + 3_000_000, BOOT_US + 12_000_000)

    run(main)


def test_a_first_slot_may_come_before_its_phase() -> None:
    async def main() -> None:
        calls: Calls = []
        w = wheel()
        w.add(
            lambda *call: calls.append(call), BOOT_US + 100, 1_000_000, second_us=BOOT_US + 400_000
        )
        await asyncio.sleep(2)
        w.close()
        assert [call[2] - BOOT_US for call in calls] == [100, 400_000, 1_400_000]

    run(main)


def test_who_was_removed_is_not_called() -> None:
    async def main() -> None:
        calls: Calls = []
        w = wheel()
        turn = w.add(lambda *call: calls.append(call), BOOT_US + 10, 1_000_000)
        w.remove(turn)
        await asyncio.sleep(3)
        w.close()
        assert not calls

    run(main)


def test_one_that_breaks_does_not_stop_the_others() -> None:
    async def main() -> None:
        calls: Calls = []

        def broken(*call: int) -> None:
            raise ZeroDivisionError

        w = wheel()
        w.add(broken, BOOT_US + 10, 1_000_000)
        w.add(lambda *call: calls.append(call), BOOT_US + 20, 1_000_000)
        await asyncio.sleep(3)
        w.close()
        assert [first for first, *_ in calls] == [0, 1, 2]

    run(main)


@given(st.lists(st.integers(1_000, 5_000_000), min_size=1, max_size=8), st.floats(0.1, 20))
def test_every_slot_is_told_once_whatever_the_intervals(
    intervals: list[int], seconds: float
) -> None:
    async def main() -> None:
        told: list[list[int]] = [[] for _ in intervals]
        w = wheel()
        for index, interval in enumerate(intervals):
            w.add(
                lambda first, last, a, b, index=index: told[index].extend(range(first, last + 1)),
                BOOT_US + phase_us(index, interval),
                interval,
            )
        await asyncio.sleep(seconds)
        w.close()
        for index, interval in enumerate(intervals):
            due = (int(seconds * 1e6) - phase_us(index, interval)) // interval + 1
            assert told[index] == list(range(len(told[index])))
            assert abs(len(told[index]) - due) <= 1 + 1_000 // interval

    run(main)


@given(st.integers(1, 2000), st.integers(2, 200))
def test_phases_spread_evenly(first: int, count: int) -> None:
    interval = 1_000_000
    phases = sorted(phase_us(number, interval) for number in range(first, first + count))
    widest = max(b - a for a, b in zip(phases, [*phases[1:], phases[0] + interval], strict=True))
    assert widest <= 3 * interval / count
    assert all(0 <= phase < interval for phase in phases)
