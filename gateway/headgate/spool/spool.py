"""The durable store-and-forward queue: two logs in one folder, a quota, a ballast, a lock.

Alarms have a log of their own, so that room can be made by giving up history without giving up an alarm.
While the disk refuses, records may be held in memory, and go to the disk when it takes them again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from headgate.env import Env
from headgate.errors import SpoolError, SpoolLocked
from headgate.model import Lane
from headgate.spool.ballast import NO_ROOM
from headgate.spool.log import Log
from headgate.spool.newest import newest
from headgate.spool.records import Account, ClearIndex, Loss, Position, SealedRecord, Totals
from headgate.spool.refusal import Refusal, may_pass
from headgate.spool.room import MOST_ROWS, Room
from headgate.spool.rows import Names, Rows
from headgate.spool.status import Recovered, SpoolStatus

log = logging.getLogger(__name__)

DATA, ALARMS = "data", "alarms"
MIB = 1 << 20
#: What a commit needs beside its sealed bytes, generously: headers, clear indexes, whole pages.
_MARGIN = 64 * 1024


class Spool:
    """Keeps sealed records until they are let go. One writer thread; `read` from any thread.

    Args:
        folder: the spool's own folder; it and its parent must be on one file system.
        segment_bytes: when a segment is full; eviction frees this much at once.
        quota_bytes: for live and history together.
        alarm_bytes: reserved for alarms, beside the quota.
        ballast_bytes: given back to the file system when it is full, so that alarms and losses still fit.
        held_bytes: memory for records while the disk refuses; with 0 `hold` refuses, too, and so does
            the start on a disk that cannot be written.
    """

    def __init__(
        self, env: Env, folder: Path, *, segment_bytes: int = 32 * MIB, quota_bytes: int = 1024 * MIB,
        alarm_bytes: int = 32 * MIB, ballast_bytes: int = 8 * MIB, most_segments: int = 512,
        most_rows: int = MOST_ROWS, held_bytes: int = 0,
    ) -> None:  # fmt: skip
        self._env = env
        self._folder = folder
        self._held_bytes = held_bytes
        self._refusal = Refusal()
        self._dropped = 0
        self._names = Names()
        small = min(segment_bytes, max(quota_bytes // 8, 4096))
        self._logs = {
            DATA: Log(env, folder / DATA, DATA, self._names, small),
            ALARMS: Log(
                env, folder / ALARMS, ALARMS, self._names, min(MIB, max(alarm_bytes // 8, 4096))
            ),
        }
        self._lock: int | None = None
        self._opened = False
        self._payload = 0
        self._commits = 0
        # Durable records of a commit that failed for another log: tried again, they are not stored twice.
        self._placed: dict[tuple[bytes, int], Position] = {}
        self._room = Room(
            env, folder, self._logs[DATA], self._logs[ALARMS], quota_bytes=quota_bytes,
            alarm_bytes=alarm_bytes, ballast_bytes=ballast_bytes, most_segments=most_segments,
            most_rows=most_rows,
        )  # fmt: skip

    # ------------------------------------------------------------ start and stop

    def open(self, noted: Sequence[Totals] = ()) -> Recovered:
        """Lock the folder and find what earlier runs left.

        Args:
            noted: totals kept elsewhere (`state.db`): they tell a lost tail from none.

        Raises:
            SpoolLocked: another process is in the folder, or a newer format is.
            SpoolError: the folder cannot be used.
        """
        try:
            self._take_lock()
        except OSError as error:
            if not self._held_bytes or not may_pass(error):
                raise self._unusable(error) from error
            self._refuse(error)
        try:
            self._load(noted)
        except BaseException:
            # Nothing of ours may be written over what we could not make sense of.
            self._let_go_of_lock()
            raise
        self._opened = True
        self._room.keep()
        epoch, last_n = newest(one.ends() for one in self._logs.values())
        segments = self.segments()
        return Recovered(
            sum(len(rows) - len(rows.dead) for rows in segments),
            sum(rows.file_size for rows in segments),
            epoch, last_n, self.losses(),
        )  # fmt: skip

    def _take_lock(self) -> None:
        """Lock the folder, make it where it is missing. Raises OSError, SpoolLocked."""
        if self._lock is not None:
            return
        files = self._env.files
        files.make_folder(self._folder, 0o750)
        self._lock = files.lock(self._folder / "lock")
        if self._lock is None:
            raise SpoolLocked(f"another process uses {self._folder}", folder=str(self._folder))

    def _lock_again(self) -> None:
        """Nothing is written without the lock, where the start could not take it. Raises SpoolError."""
        if self._lock is not None:
            return
        try:
            self._take_lock()
        except OSError as error:
            raise self._refuse(error) from error
        self._sync_names()

    def _let_go_of_lock(self) -> None:
        if self._lock is not None:
            self._env.files.unlock(self._lock)
            self._lock = None

    def _unusable(self, error: OSError) -> SpoolError:
        return SpoolError(
            f"cannot use {self._folder}: {error}",
            code="HG-4005",
            folder=str(self._folder),
            cause=str(error),
        )

    def _load(self, noted: Sequence[Totals]) -> None:
        logs = self._logs.values()
        without_disk = self._held_bytes > 0
        accounts = [
            account for one in logs for account in one.load(noted, without_disk=without_disk)
        ]
        numbers = count(max(one.highest for one in logs) + 1)
        for one in logs:
            one.numbers = numbers
            one.judge(accounts)
        for one in logs:
            one.unsaid, one.said = self._unsaid, self._said
            self._unsaid(one.unsaid_before)
        for one in logs:
            if one.ledger.forget_lost_carriers():
                one.save_ledger()
        self._sync_names()

    def _unsaid(self, accounts: Sequence[Account]) -> None:
        """A record is lost that had told of these losses: they are to be said again."""
        for account in accounts:
            loss = account.loss
            told = any(one.ledger.tells(account) for one in self._logs.values())
            if loss is not None and account.log in self._logs and not told:
                self._logs[account.log].ledger.unsay(loss)
        for name in {account.log for account in accounts} & self._logs.keys():
            self._logs[name].save_ledger()

    def _said(self, accounts: Sequence[Account]) -> None:
        """It was not lost after all."""
        for account in accounts:
            if account.log in self._logs:
                self._logs[account.log].ledger.accounted(account)

    def _sync_names(self) -> None:
        # The logs' folders in ours, and ours in its own: a file is no safer than the names on the way to it.
        for folder in (self._folder, *self._folder.parents):
            try:
                self._env.files.sync_folder(folder)
            except OSError as error:
                log.warning("folder not synced", extra={"folder": str(folder), "error": str(error)})
                break

    def close(self) -> None:
        """Note how far we came and let go of the lock. What is still held in memory is lost."""
        if not self._opened:
            return
        self._opened = False
        if self.holding:
            log.error("held records are lost", extra={"folder": str(self._folder)})
        for one in self._logs.values():
            one.close()
        self._let_go_of_lock()

    # ------------------------------------------------------------ commit

    def commit(self, records: Sequence[SealedRecord]) -> list[Position]:
        """Make records durable, all or none, and say where they lie, in the same order.

        Appends, syncs, and after an I/O error does it once more in a fresh segment, with room made when
        the disk was full. Losses that this caused are in `losses()`. What is held in memory goes first.

        Raises:
            SpoolError: nothing of this is known to be durable (it may still turn up after a restart);
                `n` of these records is spent. Try again later with the same records, or `hold` them.
        """
        for name in (
            ALARMS,
            DATA,
        ):  # alarms have a reserve of their own: no data stands in their way
            one, mine = self._logs[name], self._unplaced(name, records)
            if mine:
                self._come_back(one)
                self._room.make(one, sum(len(record.data) + 512 for record in mine))
                for record, position in zip(mine, self._commit(one, mine), strict=True):
                    self._placed[record.epoch, record.n] = position
        self._commits += 1
        if self._commits % 32 == 0 or (self._refusal.kind and not self._refusal.full):
            self._room.keep()
        if not self.holding and (self._room.kept or not self._refusal.full):
            self._refusal.clear()
        positions = self._done(records)
        self._note_said(records, positions)
        return positions

    def _unplaced(self, name: str, records: Sequence[SealedRecord]) -> list[SealedRecord]:
        """Those of one log's records that no failed commit has made durable already."""
        return [
            record
            for record in records
            if (record.lane is Lane.ALARM) is (name == ALARMS)
            and (record.epoch, record.n) not in self._placed
        ]

    def _done(self, records: Sequence[SealedRecord]) -> list[Position]:
        positions = [self._placed.pop((record.epoch, record.n)) for record in records]
        for record, position in zip(records, positions, strict=True):
            self._payload += len(record.data)
            self._room.unsettle(position.log, position.segment)
            rows = self.rows(position.log, position.segment)
            # Of a commit tried again what was durable first may be given up already: it told nobody.
            for account in record.index.accounts if rows is not None else ():
                if rows is not None and account.log in self._logs:
                    self._logs[position.log].ledger.tell(rows.serials[position.row], account)
                    durable = not self._logs[position.log].holds(position.segment)
                    self._logs[account.log].account(account, durable=durable)
        return positions

    def _note_said(self, records: Sequence[SealedRecord], positions: Sequence[Position]) -> None:
        """Write down that a loss is said where a record of the other log says it.

        That record may be delivered and let go long before this log writes its ledger by itself. First who
        says it, then that it is said: nobody may forget a loss while it is unknown who remembers it.
        """
        said = {
            (position.log, account.log)
            for record, position in zip(records, positions, strict=True)
            for account in record.index.accounts
            if account.log != position.log
        }
        for pair in said:
            for name in pair:
                if name in self._logs:
                    self._logs[name].save_ledger()

    def _commit(self, one: Log, records: Sequence[SealedRecord]) -> list[Position]:
        wanted = sum(len(record.data) for record in records) + _MARGIN
        freed = tries = 0
        if self._refusal.full:
            # Known to be full: room first, so that not every commit costs a failed write and a segment.
            while self._free() < wanted and (room := self._room.free_disk(one)):
                freed += room
        while True:
            try:
                return one.commit(records)
            except OSError as error:
                log.error(
                    "write failed, segment abandoned", extra={"log": one.name, "error": str(error)}
                )
                tries += 1
                refusal = self._refuse(error)
                if error.errno not in NO_ROOM:
                    again = tries == 1
                elif freed < wanted:
                    freed += (room := self._room.free_disk(one))
                    again = room > 0
                else:
                    again = False  # room was made, and the disk is full all the same: not by us
                if not again:
                    raise refusal from error

    def _refuse(self, error: OSError) -> SpoolError:
        """Remember that the disk refuses, and why; the error that says so."""
        self._refusal.note(error, self._env.clock.boottime_us())
        return SpoolError(
            f"cannot write to {self._folder}: {error}", code="HG-4006",
            folder=str(self._folder), cause=str(error),
        )  # fmt: skip

    # ------------------------------------------------------------ while the disk refuses

    @property
    def holding(self) -> bool:
        """Whether records lie in memory only."""
        return any(one.held_bytes for one in self._logs.values())

    def hold(self, records: Sequence[SealedRecord]) -> list[Position]:
        """Keep records in memory: not durable, but read and sent like all others. The oldest go for room.

        Raises:
            SpoolError: there is no memory for this.
        """
        if not self._held_bytes:
            raise SpoolError(f"{self._folder} takes nothing", code="HG-4001")
        small = max(self._held_bytes // 16, 4096)
        for name, one in self._logs.items():
            mine = self._unplaced(name, records)
            if mine:
                for record, position in zip(mine, one.hold(mine, small), strict=True):
                    self._placed[record.epoch, record.n] = position
        positions = self._done(records)
        data, alarms = self._logs[DATA], self._logs[ALARMS]
        while data.held_bytes + alarms.held_bytes > self._held_bytes:
            loss = (data if data.held_bytes else alarms).drop_held(self._room.needed)
            if loss is not None:
                self._dropped += loss.records
        return positions

    def come_back(self, *, now: bool = False) -> None:
        """Write to disk what is held in memory; the disk is asked now and then, or `now`.

        Raises:
            SpoolError: it refuses still.
        """
        if not self.holding:
            return
        for one in self._logs.values():
            self._come_back(one, now=now)
        log.warning("the disk takes records again: what was held is on it")

    def _come_back(self, one: Log, *, now: bool = False) -> None:
        if not one.held_bytes:
            return
        if not now and self._refusal.resting(self._env.clock.boottime_us()):
            raise self._refusal.error(self._folder)
        self._lock_again()
        try:
            self._write_held(one)
        except OSError as error:
            raise self._refuse(error) from error
        if not self.holding:
            for each in self._logs.values():
                each.ledger.all_durable()
                each.save_ledger()
            self._room.keep()
            self._refusal.clear()

    def _write_held(self, one: Log) -> None:
        wanted, freed = one.held_bytes + _MARGIN, 0
        while True:
            try:
                return one.come_back()
            except OSError as error:
                room = 0
                if error.errno in NO_ROOM and freed < wanted:
                    room = self._room.free_disk(one)
                if not room:
                    raise
                freed += room

    def losses(self) -> tuple[Loss, ...]:
        """Losses that no durable gap names yet. Put their gaps and accounts into the next record."""
        return tuple(loss for one in self._logs.values() for loss in one.losses())

    def totals(self) -> tuple[Totals, ...]:
        """How far each log has come; keep it elsewhere now and then, and give it to `open`."""
        return tuple(one.totals() for one in self._logs.values())

    @property
    def payload(self) -> int:
        """Sealed bytes taken since the start."""
        return self._payload

    @property
    def alarms_full(self) -> bool:
        """Alarms have used up their reserved room: repeats should be coalesced."""
        return self._logs[ALARMS].size >= self._room.alarm_bytes

    # ------------------------------------------------------------ read

    def read(self, position: Position, *, needed: bool = True) -> bytes:
        """The sealed bytes of a record, from any thread.

        Args:
            needed: False where somebody looks back on what was settled: what is damaged is no loss then.

        Raises:
            SpoolCorrupt: what lies there is not what was written; it becomes a loss once.
            SpoolError: the disk does not give it now; it may give it later.
        """
        return self._logs[position.log].read(position, needed=needed)

    def clear_index(self, position: Position) -> ClearIndex | None:
        """What may be known of a record without opening it; None when it is gone or damaged."""
        return self._logs[position.log].clear_index(position)

    def highest_device(self, known: Mapping[bytes, int | None]) -> int:
        """The highest device number in use beyond what is remembered, 0 when there is none.

        Args:
            known: the last n remembered of each epoch; of what is newer the clear indexes are read.
        """
        highest = 0
        for rows in self.segments():
            for row in rows.alive():
                last_n = known.get(rows.epoch(row))
                if last_n is None or rows.ns[row] > last_n:
                    # A segment holds records of one start in rising order: all from here on are new.
                    one = self._logs[rows.log]
                    highest = max(highest, one.highest_device(rows.number, row))
                    break
        return highest

    def rows(self, name: str, number: int) -> Rows | None:
        """The rows of one segment, None when it is gone."""
        return self._logs[name].segments.get(number)

    def segments(self) -> list[Rows]:
        """Every segment, alarms first, each log in commit order."""
        return [
            rows
            for name in (ALARMS, DATA)
            for _, rows in sorted(self._logs[name].segments.copy().items())
        ]

    # ------------------------------------------------------------ room

    @property
    def needed(self) -> Callable[[Rows, int], bool]:
        """Whether any uplink still needs a row; eviction without loss asks this. Set by the delivery."""
        return self._room.needed

    @needed.setter
    def needed(self, ask: Callable[[Rows, int], bool]) -> None:
        self._room.needed = ask

    def settle(self, name: str, number: int) -> None:
        """Every uplink has passed this segment: it goes when room is wanted, not before."""
        self._room.settle(name, number)

    def unsettle(self, name: str, number: int) -> None:
        """A platform wants something of this segment again."""
        self._room.unsettle(name, number)

    def give_room(self) -> int:
        """Something beside the spool finds the disk full: what was kept back goes; how many bytes."""
        return self._room.give()

    def _free(self) -> int:
        try:
            return self._env.files.free(self._folder)
        except OSError:
            return 0

    def status(self) -> SpoolStatus:
        """Size, room and wear."""
        data, alarms = self._logs[DATA], self._logs[ALARMS]
        return SpoolStatus(
            len(data.segments) + len(alarms.segments), data.size, self._room.quota_bytes,
            alarms.size, self._room.alarm_bytes,
            self._free(), data.written + alarms.written, self._payload, self._room.kept,
            data.held_records + alarms.held_records, data.held_bytes + alarms.held_bytes, self._dropped,
            self._refusal.kind, self._refusal.since_us, self._refusal.text, self._refusal.errors,
        )  # fmt: skip
