"""Handing entries over and getting them onto the disk: one thread writes, everybody else waits or goes on.

Entries that come together share one fsync; one that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder
from headgate.audit.flood import Flood
from headgate.audit.keeping import DAY_US, Reserve
from headgate.audit.line import bounded
from headgate.audit.opening import find_start
from headgate.audit.pen import Instant, Pen
from headgate.env import ClockState, Env
from headgate.errors import SpoolError
from headgate.messages import say

log = logging.getLogger(__name__)

T = TypeVar("T")

#: After the disk refused, the next try comes this much later.
_REST_US: Final = 1_000_000
#: Entries that wait in memory while the disk refuses; more are counted.
_MOST_WAITING: Final = 500
#: Entries of one write: with the longest lines, what `opening.LARGEST_TORN` allows.
_MOST_AT_ONCE: Final = 64
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)

Waiter = asyncio.Future[None]
Told = tuple[Entry, Instant, Waiter | None]


class Writing:
    """The part of the log that takes entries.

    Args:
        remembered: number of an entry known to have been durable, from outside the log; 0 for none.
        remember: takes that number for the next start.
        file_bytes: a file is closed at this size, and after a day.
    """

    def __init__(
        self,
        env: Env,
        folder: Path,
        gateway: str,
        version: str,
        sm3: Callable[[bytes], bytes],
        *,
        remembered: int,
        remember: Callable[[int], None],
        file_bytes: int,
    ) -> None:
        self._env = env
        self._folder = LogFolder(env.files, folder)
        self._remember = remember
        self._thread = env.single("headgate-audit")
        self._flood = Flood()
        #: What the wall clock says, and how far it can be trusted; the timekeeper knows better, once it runs.
        self.wall: Callable[[int], tuple[int, ClockState]] = self._bare_wall
        #: Takes what is wrong and what is over: name, whether it is so, a number.
        self.on_alarm: Callable[[str, bool, float], None] = lambda name, active, value: None
        start = find_start(self._folder, sm3, lambda: env.random.token(16).hex(), remembered)
        self._pen = Pen(
            self._folder, gateway, version, sm3, self._instant, start,
            large=file_bytes, long_us=DAY_US,
        )  # fmt: skip
        self._reserve = Reserve(self._folder, env.random.token(4096))
        self._waiting: list[Told] = []
        self._under_way: asyncio.Future[None] | None = None
        self._unwritten = 0
        self._failing: str | None = None
        self._rested_us = 0
        self._alarms: set[str] = set()
        self._closed = False

    # ------------------------------------------------------------ taking entries

    async def note(self, entry: Entry) -> None:
        """Return once the entry is on disk, or counted where a flood of its kind is thinned out.

        Raises:
            SpoolError: the disk refuses. What must not happen unwritten must then not happen.
        """
        now_us = self._env.clock.boottime_us()
        if not self._flood.passes(entry, now_us):
            return
        if self._closed or (self._failing is not None and now_us < self._rested_us):
            raise self._refusal()
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((bounded(entry), self._instant(), waiter))
        self._kick()
        await waiter

    def tell(self, entry: Entry) -> None:
        """Take an entry that nobody waits for. Never raises."""
        if not self._flood.passes(entry, self._env.clock.boottime_us()):
            return
        if self._closed or len(self._waiting) >= _MOST_WAITING:
            self._unwritten += 1
            return
        self._waiting.append((bounded(entry), self._instant(), None))
        self._kick()

    def _instant(self) -> Instant:
        clock = self._env.clock
        at = clock.boottime_us()
        wall, state = self.wall(at)
        return Instant(at, clock.boot_id(), wall, state)

    def _bare_wall(self, at_us: int) -> tuple[int, ClockState]:
        return self._env.clock.wall_us(), self._env.clock.wall_state()[0]

    def _refusal(self) -> SpoolError:
        reason = self._failing or "it is closed"
        folder = str(self._folder.folder)
        return SpoolError(
            f"the audit log cannot be written: {reason}",
            code="HG-9300",
            folder=folder,
            reason=reason,
        )

    # ------------------------------------------------------------ writing

    def _kick(self) -> None:
        """Write what waits, with whatever else comes in this turn of the loop."""
        resting = self._failing is not None and self._env.clock.boottime_us() < self._rested_us
        if self._under_way is None and not self._closed and not resting:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # before the loop runs: it is written with the first that comes in it
            self._under_way = loop.create_future()
            loop.call_soon(self._next)

    def _next(self) -> None:
        batch = self._waiting[:_MOST_AT_ONCE]
        if not batch or self._closed:
            self._idle()
            return
        del self._waiting[:_MOST_AT_ONCE]
        entries = [(entry, instant) for entry, instant, _ in batch]
        done = asyncio.wrap_future(self._thread.submit(self._write, entries))
        done.add_done_callback(partial(self._done, batch))

    def _idle(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None and not under_way.done():
            under_way.set_result(None)

    def _write(self, entries: Sequence[tuple[Entry, Instant]]) -> None:
        """In the thread."""
        try:
            self._pen.write(entries)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._reserve.drop():
                raise
            self._pen.write(entries)

    def _done(self, batch: Sequence[Told], done: asyncio.Future[None]) -> None:
        if done.cancelled():
            self._idle()
            return
        error = done.exception()
        if error is None:
            self._well()
            for _, _, waiter in batch:
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
            self._next()
            return
        if not isinstance(error, OSError):
            log.error("the audit log failed", exc_info=error)
        self._refused(str(getattr(error, "strerror", None) or error))
        for _, _, waiter in batch:
            if waiter is not None and not waiter.done():
                waiter.set_exception(self._refusal())
        # Those that nobody waits for keep their time and their order, and go with the next try.
        kept = [told for told in batch if told[2] is None]
        self._waiting[:0] = kept
        for told in [told for told in self._waiting if told[2] is not None]:
            waiter = told[2]
            if waiter is not None and not waiter.done():
                waiter.set_exception(self._refusal())
            self._waiting.remove(told)
        self._idle()

    def _refused(self, reason: str) -> None:
        self._failing = reason
        self._rested_us = self._env.clock.boottime_us() + _REST_US
        if "audit-failing" not in self._alarms:
            folder = str(self._folder.folder)
            log.error(say("HG-9300", "en", folder=folder, reason=reason), extra={"code": "HG-9300"})
        self._alarm("audit-failing", True)

    def _well(self) -> None:
        if self._failing is not None:
            log.info("the audit log is written again", extra={"unwritten": self._unwritten})
        self._failing = None
        self._alarm("audit-failing", False)
        if self._unwritten:
            count, self._unwritten = self._unwritten, 0
            self.tell(
                Entry(
                    kind="log-unwritten", who="gateway", what="entries", result="failed",
                    fields={"count": count},
                )
            )  # fmt: skip

    def _alarm(self, name: str, active: bool, value: float = 0.0) -> None:
        if active != (name in self._alarms):
            (self._alarms.add if active else self._alarms.discard)(name)
            self.on_alarm(name, active, value)

    # ------------------------------------------------------------ its end

    async def settled(self) -> None:
        """Return when everything that was told is written, or refused."""
        while self._under_way is not None:
            await asyncio.shield(self._under_way)

    def close(self) -> None:
        """Write what still waits, if it can be, and close the file. Blocks."""
        if self._closed:
            return
        self._closed = True
        self._thread.shutdown(wait=True)
        left, self._waiting = self._waiting, []
        try:
            if left:
                self._write([(entry, instant) for entry, instant, _ in left])
        except OSError as error:
            log.error("the audit log was not finished", extra={"error": str(error)})
        self._pen.close()
        self._remember(self._pen.place.seq)

    async def _aside(self, work: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(work)
        return await asyncio.wrap_future(future)
