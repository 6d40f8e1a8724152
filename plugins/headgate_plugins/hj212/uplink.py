"""The gateway as a logger of a bureau: records are opened, their readings told by period, then settled.

A record is settled when the bureau has answered every real time and minute report that its readings are in.
Hours and days are told from sums in memory; after a restart these are made again from what the spool keeps
of records that were settled, and so is what a bureau may ask for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from headgate.sdk import (
    Block,
    HeadgateError,
    Outbox,
    ProbeStep,
    Quality,
    Reading,
    SecurityError,
    StoredRecord,
    Uplink,
    UplinkContext,
    UplinkError,
    readings,
)
from headgate_drivers.hj212.data import Factor, Record, write
from headgate_drivers.hj212.editions import Edition
from headgate_drivers.hj212.frames import Flag, Packet
from headgate_plugins.hj212.bureau import Bureau, Names
from headgate_plugins.hj212.history import History
from headgate_plugins.hj212.marks import mark_of
from headgate_plugins.hj212.options import OWN, Source, Terms, read_terms
from headgate_plugins.hj212.periods import REAL, Book, Key, Told
from headgate_plugins.hj212.requests import Settings

log = logging.getLogger(__name__)

CONNECT_S = 10.0
#: A record that is damaged, not merely locked: no key will ever open it.
_BROKEN = ("HG-6002", "HG-6005")
_TAKE = 16
_MOST_LOCKED, _LOCKED_AGAIN_S = 256, 60.0
#: A device's own time is believed within this of the gateway's.
_BELIEVED_BACK, _BELIEVED_AHEAD = timedelta(days=31), timedelta(hours=1)
_KEEP_SUMS_S = 93_600.0
#: How far back a start looks: a day that was over while the box was off for a day is whole.
RECALLED_S = 49 * 3600
#: After each record: what happens now goes first.
_RECALL_PAUSE_S = 0.001

Name = tuple[bytes, int]


class Hj212Uplink(Uplink):
    """One bureau. `state`: connecting, online, waiting, unanswered, holding (no trusted time), locked."""

    name: ClassVar[str] = "hj212"
    schemes: ClassVar[tuple[str, ...]] = ("hj212",)
    option_keys: ClassVar[tuple[str, ...] | None] = OWN
    #: How often it looks which periods are over; how long after the end of one its readings may come.
    look_s, late_s, long_s = 1.0, 5.0, 60.0

    def __init__(self, context: UplinkContext) -> None:
        super().__init__(context)
        self.terms: Terms = read_terms(context)

    async def run(self, outbox: Outbox) -> None:
        """Deliver until cancelled."""
        reporting = Reporting(self, outbox)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(reporting.recall(), name=f"recall {self.context.id}")
                group.create_task(reporting.gather(), name=f"gather {self.context.id}")
                group.create_task(reporting.tell(), name=f"tell {self.context.id}")
        finally:
            reporting.give_back()

    async def probe(self) -> Sequence[ProbeStep]:
        """Whether somebody listens there: the protocol has no login, and a bureau is sent no tests."""
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(self.terms.host, self.terms.port)
        except (OSError, TimeoutError) as error:
            fields: dict[str, str | int | float | None] = {
                "peer": self.terms.peer, "reason": str(error) or "no answer",
            }  # fmt: skip
            return (ProbeStep("tcp", False, self.terms.peer, "HG-3631", fields),)
        writer.close()
        return (ProbeStep("tcp", True, self.terms.peer),)

    def now_us(self) -> int:
        """Boottime in microseconds."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def say(self, state: str, error: HeadgateError | None) -> None:
        """What `headgate status` shows."""
        if state != self.state:
            code = None if error is None else error.code
            log.info(
                "uplink state", extra={"uplink": self.context.id, "state": state, "code": code}
            )
        self.state, self.error = state, error


class Reporting:
    """What is under way: records that wait, periods that are open, the connection."""

    def __init__(self, uplink: Hj212Uplink, outbox: Outbox) -> None:
        terms = uplink.terms
        self._uplink, self._terms, self._outbox = uplink, terms, outbox
        self._zone = ZoneInfo(terms.zone)
        self._sources: dict[tuple[str, str], list[Source]] = {}
        for source in terms.sources:
            self._sources.setdefault((source.device, source.point), []).append(source)
        self._digits = {source.code: source.digits for source in terms.sources}
        self._book = Book(
            list(self._digits), terms.realtime_s, terms.minutes_s, hours=terms.hours,
            days=terms.days, least=terms.least, late_s=uplink.late_s, long_s=uplink.long_s,
        )  # fmt: skip
        self._held: dict[Name, StoredRecord] = {}
        self._reports: dict[Name, set[Key]] = {}
        self._waiting: dict[Key, set[Name]] = {}
        self._locked: list[StoredRecord] = []
        self._names = Names()
        self._history = History()
        self._recalled = False
        self.settings = Settings(terms)

    def give_back(self) -> None:
        """What the bureau has not answered is offered again after the next start."""
        self._outbox.give_back([*self._held.values(), *self._locked])

    # ------------------------------------------------------------ from the spool

    async def recall(self) -> None:
        """What an earlier start had settled: sums for hours and days, and the history of two days."""
        now_us = self._outbox.wall_us(self._uplink.now_us())
        while now_us is None:
            await asyncio.sleep(self._uplink.look_s)
            now_us = self._outbox.wall_us(self._uplink.now_us())
        since_us = now_us - RECALLED_S * 1_000_000
        since_s, newest_s = _seconds(self._wall(since_us)), 0.0
        # Whatever is settled from here on is not in it: nothing is added twice.
        for record in self._outbox.earlier(since_us):
            for told in self._read(record):
                if told.at_s >= since_s:
                    self._book.recall(told, time.monotonic())
                    newest_s = max(newest_s, told.at_s)
            await asyncio.sleep(_RECALL_PAUSE_S)
        if newest_s:
            for key in self._book.recalled(since_s, newest_s, time.monotonic()):
                if cp := self._cp(key):
                    self._history.keep(key, cp)
                await asyncio.sleep(0)
        self._recalled = True

    def _read(self, record: StoredRecord) -> list[Told]:
        """Readings of a settled record, for sums; none where it cannot be read any more."""
        try:
            items = self._outbox.open(record)
        except SecurityError:
            return []
        boot = self._outbox.boot(record.epoch)
        found = [
            self._told(source, reading, boot)
            for item in items
            if isinstance(item, Block) and isinstance(item.table, bytes)
            for source, reading in self._of(item)
        ]
        return [told for told in found if told is not None]

    async def gather(self) -> None:
        """Records into periods, for ever. What waits for the bureau is bounded by the outbox."""
        while True:
            for record in await self._outbox.take(_TAKE):
                name = record.epoch, record.n
                if name not in self._held:  # one that waits long is offered again
                    self._held[name] = record
                    await self._open(name, record)
                await asyncio.sleep(0)

    async def _open(self, name: Name, record: StoredRecord) -> None:
        try:
            items = list(self._outbox.open(record))
        except SecurityError as error:
            await self._not_opened(name, record, error)
            return
        boot = self._outbox.boot(record.epoch)
        found: list[tuple[Source, Reading]] = []
        for item in items:
            if isinstance(item, Block) and isinstance(item.table, bytes):
                found += self._of(item)
        while any(self._outbox.wall_us(r.taken_at_us, boot) is None for _, r in found):
            if record.epoch != self._terms.epoch:
                # A start that is over gets no clock fix any more.
                del self._held[name]
                self._outbox.refuse(record, "no trusted time")
                return
            self._uplink.say("holding", UplinkError("no trusted time yet", code="HG-3634"))
            await asyncio.sleep(self._uplink.look_s)
        for source, reading in found:
            self._take(name, source, reading, boot)
        if name not in self._reports:
            self._settle(name)

    async def _not_opened(self, name: Name, record: StoredRecord, error: SecurityError) -> None:
        del self._held[name]
        if error.code in _BROKEN:
            self._outbox.refuse(record, str(error))
            return
        self._uplink.say("locked", UplinkError("no local key", code="HG-3635"))
        self._locked.append(record)
        if len(self._locked) >= _MOST_LOCKED:
            await asyncio.sleep(_LOCKED_AGAIN_S)
            self._outbox.give_back(self._locked)
            self._locked = []

    def _of(self, block: Block) -> list[tuple[Source, Reading]]:
        assert isinstance(block.table, bytes)
        table = self._outbox.table(block.table)
        if table is None or not any(device == table.device for device, _ in self._sources):
            return []
        try:
            return [
                (source, reading)
                for reading in readings(block, table)
                for source in self._sources.get((table.device, reading.point), ())
            ]
        except ValueError as error:
            log.error("block not read", extra={"uplink": self._terms.uplink, "reason": str(error)})
            return []

    def _take(self, name: Name, source: Source, reading: Reading, boot: bytes | None) -> None:
        told = self._told(source, reading, boot)
        assert told is not None
        for key in self._book.take(told, time.monotonic()):
            self._reports.setdefault(name, set()).add(key)
            self._waiting.setdefault(key, set()).add(name)

    def _told(self, source: Source, reading: Reading, boot: bytes | None) -> Told | None:
        wall_us = self._outbox.wall_us(reading.taken_at_us, boot)
        if wall_us is None:
            return None
        own_us = reading.device_time_us
        if self._terms.device_times and own_us is not None:
            off = timedelta(microseconds=wall_us - own_us)
            if -_BELIEVED_AHEAD <= off <= _BELIEVED_BACK:
                wall_us = own_us
        value, mark = reading.value, mark_of(Quality(reading.quality), reading.status)
        number = None
        if isinstance(value, (int, float)) and reading.quality is not Quality.BAD:
            number = float(value) * source.scale
        return Told(source.code, _seconds(self._wall(wall_us)), number, mark)

    def _settle(self, name: Name) -> None:
        self._outbox.settle([self._held.pop(name)])

    # ------------------------------------------------------------ to the bureau

    async def tell(self) -> None:
        """Connect, report what is over, connect again, for ever."""
        terms, tries, error = self._terms, 0, None
        while True:
            self._uplink.say("connecting", error)
            try:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_connection(terms.host, terms.port)
            except (OSError, TimeoutError) as failure:
                reason = str(failure) or "no answer"
                error = UplinkError(reason, code="HG-3631", peer=terms.peer, reason=reason)
            else:
                bureau = Bureau(terms, reader, writer, self)
                self._uplink.say("online", None)
                try:
                    answered = [0]
                    await self._serve(bureau, answered)
                except UplinkError as failure:
                    error = failure
                    tries = 0 if answered[0] else tries
                finally:
                    await bureau.close()
            state = "unanswered" if error is not None and error.code == "HG-3632" else "waiting"
            self._uplink.say(state, error)
            ceiling = min(terms.reconnect_max_s, terms.reconnect_min_s * 2.0 ** min(tries, 16))
            tries += 1
            await asyncio.sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter

    async def _serve(self, bureau: Bureau, answered: list[int]) -> None:
        while not bureau.lost:
            now = self.local()
            due = [] if now is None else self._book.due(_seconds(now), time.monotonic())
            if not self._recalled:  # a mean is not told of half of what was heard
                due = [key for key in due if key[0] == REAL]
            for key in due:
                version = self._book.open[key].version
                records = set(self._waiting.get(key, ()))
                packet = self._packet(key)
                if packet is not None:
                    await bureau.upload(packet)
                    self._history.keep(key, packet.cp)
                    answered[0] += 1
                    self._uplink.say("online", None)
                self._book.told(key, version)
                self._done(key, records)
            self._book.forget(time.monotonic() - _KEEP_SUMS_S)
            if not due:
                await asyncio.sleep(self._uplink.look_s)
        raise UplinkError("the bureau hung up", code="HG-3633", peer=self._terms.peer)

    def _done(self, key: Key, records: set[Name]) -> None:
        """The bureau has what these records say of a period."""
        left = self._waiting.get(key, set())
        left -= records
        if not left:
            self._waiting.pop(key, None)
        for name in records:
            reports = self._reports.get(name)
            if reports is not None:
                reports.discard(key)
                if not reports:
                    del self._reports[name]
                    self._settle(name)

    def _packet(self, key: Key) -> Packet | None:
        cp, now = self._cp(key), self.local()
        if not cp or now is None or (key[0] == REAL and not self.settings.realtime):
            return None
        made_up = self._book.is_late(key, _seconds(now))
        return self._upload_of(key[0], cp, now, made_up=made_up)

    def _cp(self, key: Key) -> str:
        """What is told of a period; empty where nothing is."""
        report = self._book.report(key)
        if not report.factors:
            return ""
        factors = tuple(
            Factor(code, tuple((name, self._text(code, value)) for name, value in fields))
            for code, fields in report.factors.items()
        )
        at = _EPOCH + timedelta(seconds=report.start_s)
        return write([Record(f"{at:%Y%m%d%H%M%S}", (), factors)])

    def _upload_of(self, cn: str, cp: str, now: datetime, *, made_up: bool) -> Packet:
        # Only 2025 has a word for what is told later than it was due (RF).
        marked = made_up and self._terms.version == Edition.OF_2025
        return Packet(
            qn=self._names.next(now, 1 + len(cp) // 512),
            st=self._terms.st,
            cn=cn,
            pw=self._terms.pw,
            mn=self._terms.mn,
            flag=Flag(self._terms.version, split=False, answer=True),
            cp=cp,
            other=(("RF", "1"),) if marked else (),
        )

    def _text(self, code: str, value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.{self._digits[code]}f}"

    # ------------------------------------------------------------ what the bureau asks

    def set_realtime(self, seconds: int) -> None:
        """Tell real time data each so many seconds from now on."""
        self.settings.realtime_s = seconds
        self._book.set_realtime(seconds)

    def history(self, cn: str, begin: datetime, end: datetime) -> Sequence[Packet]:
        """What was told of periods that begin between two times, as packets anew."""
        now = self.local()
        if now is None:
            return ()
        told = self._history.between(cn, _seconds(begin), _seconds(end))
        return [self._upload_of(cn, cp, now, made_up=False) for _, cp in told]

    # ------------------------------------------------------------ time

    def _wall(self, wall_us: int) -> datetime:
        at = datetime.fromtimestamp(wall_us // 1_000_000, UTC).astimezone(self._zone)
        return at.replace(tzinfo=None, microsecond=wall_us % 1_000_000)

    def local(self) -> datetime | None:
        wall_us = self._outbox.wall_us(self._uplink.now_us())
        return None if wall_us is None else self._wall(wall_us)


#: What seconds of a wall without a zone are counted from.
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


def _seconds(local: datetime) -> float:
    return (local - _EPOCH).total_seconds()
