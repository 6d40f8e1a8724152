"""The writer: the one place where items are numbered, encoded, sealed and committed.

One thread does it, so numbering, order and failure meet in one place; the loop only hands over. Closing
a batch and committing it is one tick: when a record is full, when `max_loss` has passed, or at once
(coalesced over a few milliseconds) when an alarm or somebody who waits is inside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from headgate.env import Env
from headgate.errors import SpoolError
from headgate.model import Alarm, Block, ClockFix, CommandResult, Item, Lane, Plan
from headgate.runtime.batch import Batch, Committed, Queue
from headgate.sdk import Device

log = logging.getLogger(__name__)

T = TypeVar("T")

#: An alarm or a waiter is committed this soon, with whatever else comes meanwhile.
URGENT_S = 0.005
#: After a commit that failed, the next try comes this much later, doubling to the limit.
RETRY_S = (0.25, 5.0)


class Press(Protocol):
    """Turns batches into committed records. Called in the writer's thread only."""

    def commit(self, batches: Sequence[Batch]) -> Committed:
        """Seal and commit in order.

        Raises:
            SpoolError: nothing of these batches is durable.
        """
        ...


class WriterStatus(msgspec.Struct, frozen=True):
    """The writer at a glance.

    `last_commit_us`: when last something became durable; `last_done_us`: or was held in memory instead.
    `under_way_s`: how long the commit of this moment has been running, None where there is none.
    `slowest_s`: the longest commit so far.
    """

    waiting_bytes: int
    commits: int
    failures: int
    last_commit_us: int | None
    last_error: str | None
    last_done_us: int | None = None
    under_way_s: float | None = None
    slowest_s: float = 0.0
    limit_bytes: int = 0


class Writer:
    """Takes items from the loop and makes them durable.

    `put` never waits: it says no when `limit_bytes` are not durable yet, and then `room()` is what to
    wait for. `on_commit` is called on the loop after each commit.
    """

    def __init__(
        self,
        env: Env,
        press: Press,
        *,
        max_loss_s: float = 1.0,
        record_bytes: int = 64 * 1024,
        limit_bytes: int = 8 * 1024 * 1024,
        on_commit: Callable[[Committed], None] = lambda committed: None,
    ) -> None:
        self._env = env
        self._press = press
        self._max_loss_s = max_loss_s
        self._on_commit = on_commit
        self._queue = Queue(record_bytes, limit_bytes)
        self._thread = env.single("headgate-writer")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._tick_at = 0.0
        self._running: asyncio.Future[None] | None = None
        self._in_flight: Sequence[Batch] = ()
        self._room: list[asyncio.Future[None]] = []
        self._retry_s = 0.0
        self._stopping = False
        self._commits = self._failures = 0
        self._last_commit_us: int | None = None
        self._last_done_us: int | None = None
        self._began_us: int | None = None
        self._slowest_s = 0.0
        self._last_error: str | None = None

    # ------------------------------------------------------------ taking things in

    def put(self, block: Block, device: Device | None = None) -> bool:
        """Take one block; False when there is no room."""
        if self._queue.full:
            return False
        self._add(block, Lane.LIVE)
        return True

    def put_item(self, item: Item) -> None:
        """Take anything else. Never refused: gaps and plans are how a loss is said.

        Plans and clock fixes go with the alarms, in whose room nothing makes way for readings: without
        them nobody knows what was due, and when. They are few, and hurry nobody. What became of a
        command is as urgent as an alarm: somebody waits for it.
        """
        kind = type(item)
        urgent = kind is Alarm or kind is CommandResult
        lane = Lane.ALARM if urgent or kind is Plan or kind is ClockFix else Lane.LIVE
        self._add(item, lane, urgent=urgent)

    def _add(self, item: Item, lane: Lane, *, urgent: bool = False) -> Batch:
        batch = self._queue.put(item, lane, urgent=urgent)
        if self._queue.due:
            self._arm(0.0)
        elif urgent:
            self._arm(URGENT_S)
        elif self._tick is None and self._running is None:
            self._arm(self._max_loss_s)
        return batch

    async def room(self) -> None:
        """Return when `put` would take a block again."""
        while self._queue.full:
            waiter = self._here().create_future()
            self._room.append(waiter)
            await waiter

    async def durable(self) -> None:
        """Return when everything put in so far is committed.

        Raises:
            SpoolError: the commit that held it failed. It may succeed later; do not acknowledge.
        """
        batch = self._queue.last() or (self._in_flight[-1] if self._in_flight else None)
        if batch is None:
            return
        waiter = self._here().create_future()
        batch.waiters.append(waiter)
        self._arm(URGENT_S)
        await waiter

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run something in the writer's thread, between two commits."""
        return self._here().run_in_executor(self._thread, work)

    async def aside(self, work: Callable[[], T]) -> T:
        """As `begin`, and wait for it."""
        return await self.begin(work)

    # ------------------------------------------------------------ the tick

    def _here(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _arm(self, delay_s: float) -> None:
        if self._running is not None or (self._stopping and delay_s):
            return  # the end of the commit in flight looks again
        loop = self._here()
        when = loop.time() + max(delay_s, self._retry_s)
        if self._tick is not None:
            if self._tick_at <= when:
                return
            self._tick.cancel()
        # Its own note of when: what uvloop gives for an instant that is now has no `when`.
        self._tick_at = when
        self._tick = loop.call_at(when, self._start_commit)

    def _start_commit(self) -> None:
        self._tick = None
        if self._running is not None:
            return
        batches = self._queue.take()
        if not batches:
            return
        loop = self._here()
        self._running = loop.create_future()
        self._in_flight = batches
        self._began_us = self._env.clock.boottime_us()
        work = loop.run_in_executor(self._thread, self._press.commit, batches)
        work.add_done_callback(lambda done: self._finish(batches, done))

    def _finish(self, batches: Sequence[Batch], work: asyncio.Future[Committed]) -> None:
        running, self._running, self._in_flight = self._running, None, ()
        self._slowest_s = max(self._slowest_s, self._under_way_s() or 0.0)
        self._began_us = None
        error = work.exception()
        if error is None:
            self._committed(batches, work.result())
        else:
            self._failed(batches, error)
        if running is not None and not running.done():
            running.set_result(None)
        if not self._queue.full:
            self._wake_room()
        if self._queue.last() is not None:
            self._arm(URGENT_S if self._queue.urgent else self._max_loss_s)

    def _committed(self, batches: Sequence[Batch], committed: Committed) -> None:
        self._retry_s = 0.0
        self._last_done_us = self._env.clock.boottime_us()
        if committed.refusal is None:
            self._commits += 1
            self._last_error = None
            self._last_commit_us = self._last_done_us
        else:
            self._failures += 1
            self._last_error = str(committed.refusal)
        self._queue.done(batches)
        for batch in batches:
            # Held in memory is not durable: who waits to acknowledge must not be told so.
            batch.settle(committed.refusal)
        try:
            self._on_commit(committed)
        except Exception:
            # It is on disk; that somebody could not take note of it must not stop the next commit.
            log.exception("after a commit")

    def _failed(self, batches: Sequence[Batch], error: BaseException) -> None:
        self._failures += 1
        self._last_error = str(error)
        self._retry_s = min(max(self._retry_s * 2, RETRY_S[0]), RETRY_S[1])
        if not isinstance(error, SpoolError):
            # A bug in a stage or codec must not stop the gateway, and must not be silent either.
            log.error("commit failed", exc_info=error)
        else:
            log.warning("commit refused", extra={"reason": str(error), "retry_s": self._retry_s})
        refusal = error if isinstance(error, SpoolError) else SpoolError(f"commit failed: {error}")
        for batch in batches:
            batch.settle(refusal)
        self._queue.back(batches)

    def _wake_room(self) -> None:
        waiters, self._room = self._room, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ------------------------------------------------------------ end

    async def stop(self, *, patience_s: float = 10.0) -> bool:
        """Commit what waits and end the thread; False when the disk did not take it in time."""
        self._stopping = True
        failures = self._failures
        loop = self._here()
        deadline = loop.time() + patience_s
        while (left_s := deadline - loop.time()) > 0:
            if self._running is None:
                if self._queue.last() is None:
                    break
                failures = self._failures
                if self._tick is not None:
                    self._tick.cancel()
                self._start_commit()
            assert self._running is not None
            running = self._running
            await asyncio.wait([running], timeout=left_s)
            if running.done() and self._failures > failures:
                await asyncio.sleep(min(self._retry_s, max(0.0, deadline - loop.time())))
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        stuck = self._running is not None
        self._thread.shutdown(wait=not stuck)
        self._wake_room()
        for batch in (*self._in_flight, *self._queue.waiting):
            batch.settle(SpoolError("the gateway stopped before this could be committed"))
        return not stuck and self._queue.last() is None

    def _under_way_s(self) -> float | None:
        if self._began_us is None:
            return None
        return (self._env.clock.boottime_us() - self._began_us) / 1e6

    @property
    def status(self) -> WriterStatus:
        """The writer at a glance."""
        return WriterStatus(
            self._queue.bytes, self._commits, self._failures, self._last_commit_us, self._last_error,
            self._last_done_us, self._under_way_s(), self._slowest_s, self._queue.limit_bytes,
        )  # fmt: skip
