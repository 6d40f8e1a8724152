"""The audit log of a running gateway: one thread writes, everybody else hands over.

    await log.note(entry)      # returns when it is on disk; SpoolError when it is not
    log.tell(entry)            # the same without waiting; kept in memory while the disk refuses

Entries that come together share one fsync; one that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from headgate.audit.check import Report
from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder
from headgate.audit.flood import Flood
from headgate.audit.head import Head, Signer
from headgate.audit.keeping import DAY_US, Keeping
from headgate.audit.line import bounded
from headgate.audit.opening import find_start
from headgate.audit.pen import Instant, Pen
from headgate.audit.upkeep import CHECK_EVERY_US, Upkeep, damaged
from headgate.env import ClockState, Env
from headgate.errors import HeadgateError, SpoolError
from headgate.messages import say

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How often the head is signed and sent up.
HEAD_EVERY_US: Final = 3600 * 1_000_000
#: How often somebody looks whether there is anything to do.
_LOOK_EVERY_S: Final = 10.0
#: The first look at the whole log: not while everything else begins.
_FIRST_CHECK_US: Final = 300 * 1_000_000
#: Between two files of it: there is no hurry.
_BREATH_S: Final = 0.2
#: What the log says of itself: told when it happened.
_OWN_WORD: Final = frozenset({"HG-9318", "HG-9324"})
#: After the disk refused, the next try comes this much later.
_REST_US: Final = 1_000_000
#: Entries that wait in memory while the disk refuses; more are counted.
_MOST_WAITING: Final = 500
#: Entries of one write.
_MOST_AT_ONCE: Final = 64
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)

Waiter = asyncio.Future[None]
Told = tuple[Entry, Instant, Waiter | None]


class AuditStatus(msgspec.Struct, frozen=True):
    """The log at a glance. `failing`: why nothing can be written; None while all is well."""

    log: str
    seq: int
    sm3: str
    head_seq: int
    files: int
    bytes: int
    quota: int
    per_day: int
    days: int | None
    waiting: int
    unwritten: int
    held_back: int
    breaks: int
    damaged: str
    failing: str | None
    alarms: tuple[str, ...]


class AuditLog:
    """Keeps the log in `folder`. `open` once, then `note` and `tell`; `start` and `stop` its hourly work.

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
        quota_bytes: int,
        remembered: int = 0,
        remember: Callable[[int], None] = lambda seq: None,
        file_bytes: int = 1 << 20,
    ) -> None:
        self._env = env
        self._folder = LogFolder(env.files, folder)
        self._remember = remember
        self._thread = env.single("headgate-audit")
        self._flood = Flood()
        #: What the wall clock says, and how far it can be trusted; the timekeeper knows better, once it runs.
        self.wall: Callable[[int], tuple[int, ClockState]] = self._bare_wall
        #: Who signs heads; None while there is no key.
        self.signer: Signer | None = None
        #: Takes each signed head: it is sent up.
        self.on_head: Callable[[Head], None] = lambda head: None
        #: Takes what is wrong and what is over: name, whether it is so, a number.
        self.on_alarm: Callable[[str, bool, float], None] = lambda name, active, value: None
        start = find_start(self._folder, sm3, lambda: env.random.token(16).hex(), remembered)
        self._pen = Pen(
            self._folder, gateway, version, sm3, self._instant, start,
            large=file_bytes, long_us=DAY_US,
        )  # fmt: skip
        token = env.random.token(4096)
        self._upkeep = Upkeep(self._folder, self._pen, sm3, self._instant, token, quota_bytes)
        self._checked_us = env.clock.boottime_us() - CHECK_EVERY_US + _FIRST_CHECK_US
        self._waiting: list[Told] = []
        self._under_way: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._unwritten = 0
        self._failing: str | None = None
        self._rested_us = 0
        self._alarms: set[str] = set()
        self._head_seq = 0
        self._head_us: int | None = None
        self._keeping: Keeping | None = None
        self.damaged = ""
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
        if self._under_way is None and not self._closed:
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
            if error.errno not in _NO_ROOM or not self._upkeep.reserve.drop():
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

    # ------------------------------------------------------------ its own work

    def start(self) -> None:
        """Begin the hourly work; what was told before the loop ran is written now."""
        self._kick()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="audit")

    async def stop(self) -> None:
        """Sign the last head; nothing is told of after it but what comes while all else ends."""
        task, self._task = self._task, None
        if task is not None:
            self._ending.set()  # not cancelled: a head that is in the log is sent up, too
            await asyncio.wait([task])
        await self.settled()
        await self.sign()

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

    async def sign(self) -> None:
        """Sign the head now, and hand it on to be sent up. Never raises: the next hour tries again."""
        signer = self.signer
        if signer is None:
            return
        try:
            head = await self._aside(partial(self._pen.sign, signer))
        except OSError as error:
            self._refused(str(error.strerror or error))
            return
        except HeadgateError as error:
            log.error("the head of the audit log is not signed", extra={"error": str(error)})
            return
        if head is not None:
            self._head_us = self._env.clock.boottime_us()
            self._head_seq = head.seq
            self._remember(head.seq)
            self.on_head(head)

    async def _aside(self, work: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(work)
        return await asyncio.wrap_future(future)

    async def _keep(self) -> None:
        breaks = -1
        while not self._ending.is_set():
            try:
                if self._waiting:
                    self._kick()
                await self.settled()
                now_us = self._env.clock.boottime_us()
                due = self._head_us is None or now_us - self._head_us >= HEAD_EVERY_US
                # What was lost is signed at once.
                if due or self._pen.breaks != breaks:
                    breaks = self._pen.breaks
                    await self.hourly()
                if now_us - self._checked_us >= CHECK_EVERY_US:
                    self._checked_us = now_us
                    await self.check()
            except Exception:
                log.exception("housekeeping of the audit log")
            await self._pause(_LOOK_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def hourly(self) -> None:
        """Tell what was held back and what is gone, make room, sign the head, measure."""
        for entry in self._flood.told():
            self.tell(entry)
        for entry in await self._aside(self._upkeep.missing):
            self._damaged(entry)
        await self.settled()
        await self._measured()
        try:
            going = await self._aside(self._upkeep.make_room)
        except OSError as error:
            self._refused(str(error.strerror or error))
            going = []
        await self.sign()
        young = await self._aside(partial(self._upkeep.remove, going)) if going else False
        if young:
            self._alarm("audit-dropped", True, float(len(going)))
            await self._measured()
        self._alarm("audit-broken", bool(self._pen.breaks or self.damaged), float(self._pen.breaks))

    async def _measured(self) -> None:
        keeping = self._keeping = await self._aside(self._upkeep.measure)
        self._alarm("audit-retention", keeping.at_risk, float(keeping.days or 0))

    async def check(self) -> None:
        """Go over the whole log; what is not as it was written is told, and alarms."""
        steps = self._upkeep.check()
        report: Report | None = None
        while report is None and not self._ending.is_set():
            report = await self._aside(partial(next, steps))
            if report is None:
                await self._pause(_BREATH_S)
        for finding in report.findings if report is not None else ():
            if finding.grave and finding.code not in _OWN_WORD:
                # One entry is enough: `headgate audit verify` names them all.
                entry = damaged("entries that were written earlier", **finding.fields)
                self._damaged(msgspec.structs.replace(entry, code=finding.code))
                self._alarm("audit-broken", True, 1.0)
                await self.settled()
                await self.sign()
                break

    def _damaged(self, entry: Entry) -> None:
        what = f"{entry.what} {entry.code} {entry.fields}"
        if what != self.damaged:
            self.damaged = what
            log.error(say("HG-9303", "en", reason=entry.what), extra={"code": "HG-9303"})
            self.tell(entry)

    # ------------------------------------------------------------ asking

    def status(self) -> AuditStatus:
        """How the log is."""
        place, keeping = self._pen.place, self._keeping
        return AuditStatus(
            log=place.log, seq=place.seq, sm3=place.sm3, head_seq=self._head_seq,
            files=len(self._pen.known), bytes=keeping.bytes if keeping else sum(self._pen.known.values()),
            quota=self._upkeep.quota, per_day=keeping.per_day if keeping else 0,
            days=keeping.days if keeping else None, waiting=len(self._waiting),
            unwritten=self._unwritten, held_back=self._flood.held_back, breaks=self._pen.breaks,
            damaged=self.damaged, failing=self._failing, alarms=tuple(sorted(self._alarms)),
        )  # fmt: skip
