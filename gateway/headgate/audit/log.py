"""The audit log of a running gateway: one thread writes, everybody else hands over.

    await log.note(entry)      # returns when it is on disk; SpoolError when it is not
    log.tell(entry)            # the same without waiting; kept in memory while the disk refuses

Entries that come together share one fsync; one that comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from headgate.audit.check import Report
from headgate.audit.entry import Entry
from headgate.audit.head import Head, Signer
from headgate.audit.keeping import Keeping
from headgate.audit.upkeep import CHECK_EVERY_US, Upkeep, damaged
from headgate.audit.writing import Writing
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.messages import say

log = logging.getLogger(__name__)

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


class AuditLog(Writing):
    """Keeps the log in `folder`: `note`, `tell`; `start` and `stop` its hourly work, once each.

    Arguments as of `Writing`; `quota_bytes` is the room of all files together.
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
        super().__init__(
            env, folder, gateway, version, sm3,
            remembered=remembered, remember=remember, file_bytes=file_bytes,
        )  # fmt: skip
        #: Who signs heads; None while there is no key.
        self.signer: Signer | None = None
        #: Takes each signed head: it is sent up.
        self.on_head: Callable[[Head], None] = lambda head: None
        self._upkeep = Upkeep(
            self._folder, self._pen, sm3, self._instant, self._reserve, quota_bytes
        )
        self._checked_us = env.clock.boottime_us() - CHECK_EVERY_US + _FIRST_CHECK_US
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._head_seq = 0
        self._head_us: int | None = None
        self._keeping: Keeping | None = None
        #: What was found that is not as it was written; empty for nothing.
        self.damaged = ""

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
