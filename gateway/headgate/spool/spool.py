"""The durable store-and-forward queue: two logs in one folder, a quota, a ballast, a lock.

Alarms have a log of their own, so that room can be made by giving up history without giving up an alarm.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

import msgspec

from headgate.env import Env
from headgate.errors import SpoolError, SpoolLocked
from headgate.model import GapReason, Lane
from headgate.spool.log import Log
from headgate.spool.records import ClearIndex, Loss, Position, SealedRecord, Totals
from headgate.spool.rows import Names, Rows

log = logging.getLogger(__name__)

DATA, ALARMS = "data", "alarms"
MIB = 1 << 20


class Recovered(msgspec.Struct, frozen=True):
    """What a start found: the records that are there, the newest epoch with its last n, losses to be said."""

    records: int
    size: int
    epoch: bytes | None
    last_n: int | None
    losses: tuple[Loss, ...]


class SpoolStatus(msgspec.Struct, frozen=True):
    """Size and wear. `written` is bytes written since the start, `payload` the sealed bytes among them."""

    segments: int
    bytes: int
    quota: int
    alarm_bytes: int
    alarm_quota: int
    free: int
    written: int
    payload: int
    ballast: bool


class Spool:
    """Keeps sealed records until they are let go. One writer thread; `read` from any thread.

    Args:
        folder: the spool's own folder; it and its parent must be on one file system.
        segment_bytes: when a segment is full; eviction frees this much at once.
        quota_bytes: for live and history together.
        alarm_bytes: reserved for alarms, beside the quota.
        ballast_bytes: given back to the file system when it is full, so that we can still write what we lost.
    """

    def __init__(
        self, env: Env, folder: Path, *, segment_bytes: int = 32 * MIB, quota_bytes: int = 1024 * MIB,
        alarm_bytes: int = 32 * MIB, ballast_bytes: int = 8 * MIB, most_segments: int = 512,
    ) -> None:  # fmt: skip
        self._env = env
        self._folder = folder
        self._quota = quota_bytes
        self._alarm_quota = alarm_bytes
        self._ballast_bytes = ballast_bytes
        self._most_segments = most_segments
        self._names = Names()
        small = min(segment_bytes, max(quota_bytes // 8, 4096))
        self._logs = {
            DATA: Log(env, folder / DATA, DATA, self._names, small),
            ALARMS: Log(
                env, folder / ALARMS, ALARMS, self._names, min(MIB, max(alarm_bytes // 8, 4096))
            ),
        }
        self._lock: int | None = None
        self._ballast = False
        self._payload = 0
        self._commits = 0
        # Durable records of a commit that failed for another log: tried again, they are not stored twice.
        self._placed: dict[tuple[bytes, int], Position] = {}
        self._settled: set[tuple[str, int]] = set()
        #: Whether any uplink still needs a row; eviction without loss asks this. Set by the delivery.
        self.needed: Callable[[Rows, int], bool] = lambda rows, row: True

    # ------------------------------------------------------------ start and stop

    def open(self, noted: Sequence[Totals] = ()) -> Recovered:
        """Lock the folder and find what earlier runs left.

        Args:
            noted: totals kept elsewhere (`state.db`): they tell a lost tail from none.

        Raises:
            SpoolLocked: another process is in the folder, or a newer format is.
            SpoolError: the folder cannot be used.
        """
        files = self._env.files
        try:
            files.make_folder(self._folder, 0o750)
            self._lock = files.lock(self._folder / "lock")
        except OSError as error:
            raise SpoolError(
                f"cannot use {self._folder}: {error}",
                code="HG-4005",
                folder=str(self._folder),
                cause=str(error),
            ) from error
        if self._lock is None:
            raise SpoolLocked(f"another process uses {self._folder}", folder=str(self._folder))
        try:
            self._load(noted)
        except BaseException:
            # Nothing of ours may be written over what we could not make sense of.
            files.unlock(self._lock)
            self._lock = None
            raise
        self._make_ballast()
        epoch, last_n = self._newest()
        segments = self.segments()
        return Recovered(
            sum(len(rows) - len(rows.dead) for rows in segments),
            sum(rows.file_size for rows in segments),
            epoch, last_n, self.losses(),
        )  # fmt: skip

    def _load(self, noted: Sequence[Totals]) -> None:
        logs = self._logs.values()
        accounts = [account for one in logs for account in one.load(noted)]
        numbers = count(max(one.highest for one in logs) + 1)
        for one in logs:
            one.numbers = numbers
            one.judge(accounts)
        try:
            self._env.files.sync_folder(self._folder)
        except OSError as error:
            log.warning(
                "folder not synced", extra={"folder": str(self._folder), "error": str(error)}
            )

    def close(self) -> None:
        """Note how far we came and let go of the lock."""
        if self._lock is None:
            return
        for one in self._logs.values():
            one.close()
        self._env.files.unlock(self._lock)
        self._lock = None

    def _newest(self) -> tuple[bytes | None, int | None]:
        """The epoch that committed last, and its highest n, over both logs."""
        # Segment numbers order both logs, and a segment holds records of one start only.
        newest = max(
            (rows for rows in self.segments() if len(rows)),
            key=lambda rows: rows.number,
            default=None,
        )
        if newest is None:
            return None, None
        epoch = newest.epoch(len(newest) - 1)
        of_it = (rows for rows in self.segments() if len(rows) and rows.epoch(0) == epoch)
        return epoch, max(max(rows.ns) for rows in of_it)

    # ------------------------------------------------------------ commit

    def commit(self, records: Sequence[SealedRecord]) -> list[Position]:
        """Make records durable, all or none, and say where they lie, in the same order.

        Appends, syncs, and after an I/O error does it once more in a fresh segment, with room made when
        the disk was full. Losses that this caused are in `losses()`.

        Raises:
            SpoolError: nothing of this is known to be durable (it may still turn up after a restart);
                `n` of these records is spent. Try again later with what you sealed anew.
        """
        for name, one in self._logs.items():
            mine = [
                record
                for record in records
                if (record.lane is Lane.ALARM) is (name == ALARMS)
                and (record.epoch, record.n) not in self._placed
            ]
            if mine:
                self._make_room(one, sum(len(record.data) + 512 for record in mine))
                for record, position in zip(mine, self._commit(one, mine), strict=True):
                    self._placed[record.epoch, record.n] = position
        positions = [self._placed.pop((record.epoch, record.n)) for record in records]
        for record, position in zip(records, positions, strict=True):
            self._payload += len(record.data)
            self._settled.discard((position.log, position.segment))
            for account in record.index.accounts:
                if account.log in self._logs:
                    self._logs[account.log].account(account)
        self._commits += 1
        if not self._ballast and self._commits % 256 == 0:
            self._make_ballast()
        return positions

    def _commit(self, one: Log, records: Sequence[SealedRecord]) -> list[Position]:
        try:
            return one.commit(records)
        except OSError as error:
            log.error(
                "write failed, segment abandoned", extra={"log": one.name, "error": str(error)}
            )
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                if self._ballast:
                    self._drop_ballast()
                else:
                    self._free_one(one)
        try:
            return one.commit(records)
        except OSError as error:
            raise SpoolError(
                f"cannot write to {self._folder}: {error}", code="HG-4006",
                folder=str(self._folder), cause=str(error),
            ) from error  # fmt: skip

    def losses(self) -> tuple[Loss, ...]:
        """Losses that no durable gap names yet. Put their gaps and accounts into the next record."""
        return tuple(loss for one in self._logs.values() for loss in one.losses())

    def totals(self) -> tuple[Totals, ...]:
        """How far each log has come; keep it elsewhere now and then, and give it to `open`."""
        return tuple(one.totals() for one in self._logs.values())

    @property
    def alarms_full(self) -> bool:
        """Alarms have used up their reserved room: repeats should be coalesced."""
        return self._logs[ALARMS].size >= self._alarm_quota

    # ------------------------------------------------------------ read

    def read(self, position: Position) -> bytes:
        """The sealed bytes of a record, from any thread.

        Raises:
            SpoolCorrupt: what lies there is not what was written; it becomes a loss once.
        """
        return self._logs[position.log].read(position)

    def clear_index(self, position: Position) -> ClearIndex | None:
        """What may be known of a record without opening it; None when it is gone or damaged."""
        return self._logs[position.log].clear_index(position)

    def highest_device(self, known: Mapping[bytes, int | None]) -> int:
        """The highest device number in use beyond what is remembered, 0 when there is none.

        Args:
            known: the last n remembered of each epoch; what is newer is read, record by record.
        """
        highest = 0
        for rows in self.segments():
            for row in rows.alive():
                last_n = known.get(rows.epoch(row))
                if last_n is not None and rows.ns[row] <= last_n:
                    continue
                index = self.clear_index(Position(rows.log, rows.number, row))
                if index is not None:
                    highest = max(highest, *(device for device, _ in index.devices), 0)
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

    def settle(self, name: str, number: int) -> None:
        """Every uplink has passed this segment: it goes when room is wanted, not before."""
        self._settled.add((name, number))

    def unsettle(self, name: str, number: int) -> None:
        """A platform wants something of this segment again."""
        self._settled.discard((name, number))

    def _make_room(self, one: Log, coming: int) -> None:
        quota = self._alarm_quota if one.name == ALARMS else self._quota
        while one.segments and (
            one.size + coming > quota or len(one.segments) > self._most_segments
        ):
            if one.size + coming <= quota and not self._oldest_settled(one):
                break
            if not self._free_one(one):
                break

    def _free_one(self, one: Log) -> bool:
        """Let go of one segment: the oldest settled, else the oldest. Whether there was one."""
        number = self._oldest_settled(one)
        if number is None:
            number = min(one.segments, default=None)
        if number is None:
            return False
        self._settled.discard((one.name, number))
        loss = one.let_go(number, self.needed, GapReason.QUOTA)
        if loss is not None:
            log.warning(
                "records given up for room", extra={"log": one.name, "records": loss.records}
            )
        return True

    def _oldest_settled(self, one: Log) -> int | None:
        for name, number in sorted(self._settled):
            rows = one.segments.get(number) if name == one.name else None
            if rows is None or number == one.open_segment:
                continue
            # Asked again: a platform restored from a backup may have changed its mind a moment ago.
            if not any(self.needed(rows, row) for row in rows.alive()):
                return number
        return None

    def _make_ballast(self) -> None:
        files = self._env.files
        path = self._folder / "ballast"
        try:
            if files.size(path) == self._ballast_bytes:
                self._ballast = True
            elif files.free(self._folder) > 4 * self._ballast_bytes:
                files.replace(
                    path, self._env.random.token(4096) * (self._ballast_bytes // 4096), 0o640
                )
                self._ballast = True
        except OSError as error:
            log.warning("no ballast", extra={"error": str(error)})

    def _drop_ballast(self) -> None:
        try:
            self._env.files.remove(self._folder / "ballast")
        except OSError as error:
            log.warning("ballast not released", extra={"error": str(error)})
        self._ballast = False

    def status(self) -> SpoolStatus:
        """Size, room and wear."""
        data, alarms = self._logs[DATA], self._logs[ALARMS]
        try:
            free = self._env.files.free(self._folder)
        except OSError:
            free = 0
        return SpoolStatus(
            len(data.segments) + len(alarms.segments), data.size, self._quota, alarms.size, self._alarm_quota,
            free, data.written + alarms.written, self._payload, self._ballast,
        )  # fmt: skip
