"""The writer: nothing is called durable before it is, and nothing that was taken is lost or reordered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from headgate.errors import SpoolError
from headgate.model import Alarm, Block, ClockFix, Event, Lane, Plan
from headgate.runtime.batch import Batch, Committed
from headgate.runtime.writer import RETRY_S, URGENT_S, Writer
from headgate.testing.env import InlineExecutor, LoopClock, fake_env, run

TABLE = bytes(32)


def block(slot: int, size: int = 100) -> Block:
    return Block(device=1, table=TABLE, at_us=slot, slot=slot, columns=(bytes(size),))


def alarm(at: int) -> Alarm:
    return Alarm(1, "level", "high", 800, active=True, at_us=at)


class ScriptedPress:
    """Commits as it is told: an exception in `outcomes` is raised, None is success."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.tried: list[list[Batch]] = []
        self.committed: list[Any] = []
        self.at: list[float] = []

    def commit(self, batches: Sequence[Batch]) -> Committed:
        self.tried.append(list(batches))
        self.at.append(asyncio.get_running_loop().time())
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.committed += [item for batch in batches for item in batch.items]
        return Committed([], [])


class HeldExecutor(Executor):
    """A disk that answers when the test lets it."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.asked = asyncio.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, lambda: fn(*args, **kwargs)))
        self.asked.set()
        return future

    def let_go(self) -> None:
        future, work = self.held.pop(0)
        self.asked.clear()
        try:
            future.set_result(work())
        except SpoolError as error:
            future.set_exception(error)


def writer(press: ScriptedPress, executor: Executor | None = None, **options: Any) -> Writer:
    env = fake_env(LoopClock(), single=lambda name: executor or InlineExecutor())
    return Writer(env, press, **options)


def under_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        run(main)

    test.__name__ = main.__name__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- the tick


@under_virtual_time
async def test_a_lone_block_is_committed_when_max_loss_has_passed() -> None:
    press = ScriptedPress()
    w = writer(press, max_loss_s=1.0)
    assert w.put(block(1))
    await asyncio.sleep(0.999)
    assert press.at == []
    await asyncio.sleep(0.01)
    assert press.at == [pytest.approx(1.0)]
    assert await w.stop()


@under_virtual_time
async def test_a_full_record_does_not_wait_for_the_tick() -> None:
    press = ScriptedPress()
    w = writer(press, max_loss_s=60.0, record_bytes=1000)
    for slot in range(8):
        w.put(block(slot))
    await asyncio.sleep(0.001)
    assert [b.slot for b in press.committed] == list(range(8))
    assert press.at == [0.0]
    assert await w.stop()


@under_virtual_time
async def test_an_alarm_takes_everything_along_within_milliseconds_and_goes_first() -> None:
    press = ScriptedPress()
    w = writer(press, max_loss_s=60.0)
    w.put(block(1))
    w.put_item(alarm(2))
    await asyncio.sleep(URGENT_S * 1.5)
    (tried,) = press.tried
    assert [b.lane for b in tried] == [Lane.ALARM, Lane.LIVE]
    assert press.at == [pytest.approx(URGENT_S)]
    assert await w.stop()


@under_virtual_time
async def test_alarms_that_come_together_share_a_commit() -> None:
    press = ScriptedPress()
    w = writer(press, max_loss_s=60.0)
    for at in range(20):
        w.put_item(alarm(at))
        await asyncio.sleep(URGENT_S / 50)
    await asyncio.sleep(URGENT_S)
    assert len(press.tried) == 1
    assert await w.stop()


@under_virtual_time
async def test_an_alarm_during_a_commit_does_not_wait_for_the_next_tick() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=60.0)
    w.put(block(1))
    waiting = asyncio.ensure_future(w.durable())
    await disk.asked.wait()
    w.put_item(alarm(2))
    w.put(block(3))
    disk.let_go()
    await waiting
    before = now()
    await disk.asked.wait()
    assert now() - before <= URGENT_S * 1.5
    disk.let_go()
    assert await w.stop()


# ---------------------------------------------------------------- durable


@under_virtual_time
async def test_durable_returns_only_after_the_commit() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=60.0)
    w.put(block(1))
    waiting = asyncio.ensure_future(w.durable())
    await disk.asked.wait()
    await turns()
    assert not waiting.done()
    disk.let_go()
    await waiting
    assert [b.slot for b in press.committed] == [1]
    assert await w.stop()


@under_virtual_time
async def test_durable_during_a_commit_waits_for_that_commit() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=0.01)
    w.put(block(1))
    await disk.asked.wait()
    waiting = asyncio.ensure_future(w.durable())
    await turns()
    assert not waiting.done()
    disk.let_go()
    await waiting
    assert len(press.tried) == 1
    assert await w.stop()


@under_virtual_time
async def test_durable_for_what_came_during_a_commit_waits_for_the_next_one() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=60.0, record_bytes=1)
    w.put(block(1))
    await disk.asked.wait()
    w.put(block(2))
    waiting = asyncio.ensure_future(w.durable())
    disk.let_go()
    await disk.asked.wait()
    await turns()
    assert not waiting.done()
    disk.let_go()
    await waiting
    assert [b.slot for b in press.committed] == [1, 2]
    assert await w.stop()


@under_virtual_time
async def test_somebody_waiting_for_an_alarm_is_not_held_up_by_a_block_that_came_later() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=60.0)
    w.put(block(0))
    first = asyncio.ensure_future(w.durable())
    await disk.asked.wait()
    w.put(block(1))
    second = asyncio.ensure_future(w.durable())
    await turns()
    w.put_item(Event("later", 2))
    disk.let_go()
    await first
    began = now()
    await disk.asked.wait()
    assert now() - began <= URGENT_S * 1.5
    disk.let_go()
    await second
    assert await w.stop()


@under_virtual_time
async def test_durable_with_nothing_outstanding_returns_at_once() -> None:
    press = ScriptedPress()
    w = writer(press)
    await w.durable()
    assert press.tried == []
    assert await w.stop()


# ---------------------------------------------------------------- failure


@under_virtual_time
async def test_a_refused_commit_tells_who_waits_and_is_tried_again_in_order() -> None:
    press = ScriptedPress(SpoolError("disk full"), SpoolError("still full"))
    w = writer(press, max_loss_s=60.0)
    w.put(block(1))
    with pytest.raises(SpoolError, match="disk full"):
        await w.durable()
    assert w.status.last_error == "disk full"
    w.put(block(2))
    await asyncio.sleep(60)
    assert [b.slot for b in press.committed] == [1, 2]
    first = press.tried[0][0]
    assert all(tried[0] is first for tried in press.tried), "the same batch, so the same bytes"
    assert w.status.last_error is None
    assert w.status.waiting_bytes == 0
    assert await w.stop()


@under_virtual_time
async def test_retries_grow_apart_up_to_a_limit_even_when_alarms_press() -> None:
    press = ScriptedPress(*[SpoolError("no")] * 9)
    w = writer(press, max_loss_s=0.01)
    w.put_item(alarm(1))
    for at in range(300):
        w.put_item(alarm(at))
        await asyncio.sleep(0.1)
    pauses = [b - a for a, b in zip(press.at[:10], press.at[1:10], strict=False)]
    expected = [min(RETRY_S[0] * 2**i, RETRY_S[1]) for i in range(9)]
    assert pauses[: len(expected)] == pytest.approx(expected[: len(pauses)], abs=0.12)
    assert len(press.at) >= 9
    assert await w.stop()


@under_virtual_time
async def test_a_bug_below_is_a_refusal_to_those_who_wait_and_not_the_end() -> None:
    press = ScriptedPress(KeyError("bug"))
    w = writer(press)
    w.put(block(1))
    with pytest.raises(SpoolError, match="bug"):
        await w.durable()
    await asyncio.sleep(5)
    assert [b.slot for b in press.committed] == [1]
    assert await w.stop()


@under_virtual_time
async def test_an_observer_that_fails_stops_neither_commits_nor_the_end() -> None:
    def fail(committed: Committed) -> None:
        raise KeyError("observer")

    press = ScriptedPress()
    w = writer(press, on_commit=fail)
    w.put(block(1))
    await w.durable()
    w.put(block(2))
    await w.durable()
    assert [b.slot for b in press.committed] == [1, 2]
    assert await w.stop()


# ---------------------------------------------------------------- room


@under_virtual_time
async def test_put_says_no_when_full_and_room_comes_back_with_the_commit() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=1.0, limit_bytes=1000)
    taken = 0
    while w.put(block(taken)):
        taken += 1
    assert not w.put(block(99))
    w.put_item(Event("gap", 1))  # how a loss is said is never refused
    room = asyncio.ensure_future(w.room())
    await disk.asked.wait()
    assert not w.put(block(99)), "in flight is not durable yet: it still counts"
    assert not room.done()
    disk.let_go()
    await room
    assert w.put(block(taken))
    await disk.asked.wait()
    disk.let_go()
    assert await w.stop()
    assert [i.slot for i in press.committed if isinstance(i, Block)] == list(range(taken + 1))


@under_virtual_time
async def test_there_is_no_room_while_the_disk_refuses() -> None:
    press = ScriptedPress(*[SpoolError("no")] * 3)
    w = writer(press, max_loss_s=0.01, limit_bytes=300)
    while w.put(block(1)):
        pass
    room = asyncio.ensure_future(w.room())
    await asyncio.sleep(RETRY_S[0])
    assert not room.done()
    await room
    assert len(press.tried) == 4
    assert await w.stop()


# ---------------------------------------------------------------- the end


@under_virtual_time
async def test_stop_commits_what_waits() -> None:
    press = ScriptedPress()
    w = writer(press, max_loss_s=3600.0)
    w.put(block(1))
    w.put_item(alarm(2))
    assert await w.stop()
    assert len(press.committed) == 2
    assert now() < 1.0


@under_virtual_time
async def test_stop_waits_for_the_commit_in_flight_and_what_came_after_it() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=0.01)
    w.put(block(1))
    await disk.asked.wait()
    w.put(block(2))
    stopping = asyncio.ensure_future(w.stop())
    await turns()
    disk.let_go()
    await disk.asked.wait()
    disk.let_go()
    assert await stopping
    assert [b.slot for b in press.committed] == [1, 2]


@under_virtual_time
async def test_stop_tries_again_after_a_refusal_as_long_as_there_is_patience() -> None:
    press = ScriptedPress(SpoolError("a moment"), SpoolError("another"))
    w = writer(press, max_loss_s=0.01)
    w.put(block(1))
    await asyncio.sleep(0.02)  # refused once, the next try is not due yet
    assert await w.stop()
    assert [b.slot for b in press.committed] == [1]


@under_virtual_time
async def test_stop_gives_up_in_time_and_tells_everybody_who_waits() -> None:
    press = ScriptedPress(*[SpoolError("dead disk")] * 99)
    w = writer(press, max_loss_s=0.01)
    w.put_item(alarm(1))
    with pytest.raises(SpoolError, match="dead disk"):
        await w.durable()
    waiting = asyncio.ensure_future(w.durable())
    w.put(block(2))
    await turns()
    assert not await w.stop(patience_s=3.0)
    assert now() == pytest.approx(3.0, abs=0.1)
    with pytest.raises(SpoolError):
        await waiting


@under_virtual_time
async def test_stop_does_not_call_a_disk_that_hangs_a_success() -> None:
    press, disk = ScriptedPress(), HeldExecutor()
    w = writer(press, disk, max_loss_s=0.01)
    w.put(block(1))
    await disk.asked.wait()
    waiting = asyncio.ensure_future(w.durable())
    await turns()
    assert not await w.stop(patience_s=2.0)
    with pytest.raises(SpoolError):
        await waiting


@under_virtual_time
async def test_records_that_fill_while_a_commit_is_due_now_are_taken() -> None:
    press = ScriptedPress()
    loop = asyncio.get_running_loop()
    later = loop.call_at

    def call_at(when: float, callback: Any, *args: Any, **more: Any) -> Any:
        # What uvloop gives for an instant that is now is a plain handle, which knows no `when`.
        if when <= loop.time():
            return loop.call_soon(callback, *args, **more)
        return later(when, callback, *args, **more)

    loop.call_at = call_at  # type: ignore[method-assign, assignment]
    w = writer(press, record_bytes=1000, max_loss_s=60.0)
    for slot in range(100):
        assert w.put(block(slot))
    assert await w.stop()
    assert [b.slot for b in press.committed] == list(range(100))


def test_plans_and_clock_fixes_go_with_the_alarms_and_hurry_nobody() -> None:
    """They stay when readings are given up for room, and cost no commit of their own."""

    async def main() -> None:
        press = FakePress()
        writer = Writer(fake_env(LoopClock()), press, max_loss_s=1.0)
        writer.put_item(Plan(1, b"t" * 32, 0, 1_000_000, 2))
        writer.put_item(ClockFix(bytes(16), 0, 0, None, "unsynced"))
        await asyncio.sleep(0.5)
        assert press.lanes == []
        await asyncio.sleep(0.6)
        assert press.lanes == [Lane.ALARM]
        assert await writer.stop()

    class FakePress:
        def __init__(self) -> None:
            self.lanes: list[Lane] = []

        def commit(self, batches: Sequence[Batch]) -> Committed:
            self.lanes += [batch.lane for batch in batches]
            return Committed([], [])

    run(main)
