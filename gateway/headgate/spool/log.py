"""One log of the spool: numbered segments of records that are only ever appended, read and unlinked.

A start opens a new segment, and so does any I/O error: what was asked of a file after its fsync failed
is never believed again. Nothing here knows uplinks or lanes; `Spool` decides what may go.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import msgspec

from headgate.env import AppendFile, Env, Files
from headgate.errors import SpoolCorrupt, SpoolError
from headgate.model import GapReason
from headgate.spool.folder import NO_HEADER, SegmentFolder
from headgate.spool.ledger import Gone, Ledger
from headgate.spool.records import Account, ClearIndex, Loss, Position, SealedRecord, Totals
from headgate.spool.rows import Names, Rows
from headgate.spool.segment import (
    FILE_HEADER,
    ZERO,
    Damage,
    Entry,
    SegmentHeader,
    check_record,
    encode_header,
    encode_record,
)
from headgate.spool.stretch import Stretch, Stretches, before

log = logging.getLogger(__name__)

_encode_index = msgspec.msgpack.Encoder().encode

Needed = Callable[[Rows, int], bool]


class Log:
    """Append-only segments in one folder. All but `read` belong to one thread at a time.

    `segments` are the rows of every segment by number; readers may look while another commits.
    """

    def __init__(self, env: Env, folder: Path, name: str, names: Names, segment_bytes: int) -> None:
        self._files: Files = env.files
        self._random = env.random
        self._folder = folder
        self._disk = SegmentFolder(env.files, folder)
        self._names = names
        self._segment_bytes = segment_bytes
        self.name = name
        self.segments: dict[int, Rows] = {}
        self.ledger = Ledger()
        self.written = 0
        self._serial = 0
        self._totals = ZERO
        self._far = Totals(b"", 0, ZERO)
        #: Where segment numbers come from; shared by the logs of a spool, so that they order all segments.
        self.numbers: Iterator[int] = count(1)
        self.highest = 0
        self._file: AppendFile | None = None
        self._open: Rows | None = None
        self._suspects: deque[Position] = deque()
        self._found: list[Stretch] = []
        self._unreadable: list[Entry] = []
        self._spent: set[int] = set()

    # ------------------------------------------------------------ start

    def load(self, noted: Sequence[Totals] = ()) -> Sequence[Account]:
        """Find every record of earlier runs; the losses that their gaps account for.

        Changes nothing on disk but the folder itself. `judge` comes next.

        Raises:
            SpoolLocked: a segment is of a newer format.
            SpoolError: the folder cannot be read at all.
        """
        try:
            numbers = self._disk.numbers()
        except OSError as error:
            raise SpoolError(
                f"cannot use {self._folder}: {error}",
                code="HG-4005",
                folder=str(self._folder),
                cause=str(error),
            ) from error
        headers = {number: self._disk.header(number) for number in numbers}
        self.ledger = self._load_ledger(headers)
        self._disk.log_id = self.ledger.log_id
        accounts: list[Account] = []
        sound = [number for number in numbers if headers[number] is not NO_HEADER]
        doubtful = sound[-1] if sound else 0
        limits = self._limits(numbers, headers)
        for number in numbers:
            if headers[number].log_id not in (b"", self.ledger.log_id):
                log.warning("segment of another spool set aside", extra={"segment": number})
                self._disk.set_aside(number)
                continue
            accounts += self._load_segment(
                number, headers[number], limits[number], number >= doubtful
            )
        self.highest = max([0, *numbers])
        self._serial, self._totals = self.ledger.end()
        for stretch in self._found:
            if stretch.end >= self._serial:
                self._serial, self._totals = stretch.end, stretch.after
        for far in noted:
            if far.spool == self.ledger.log_id and far.serial > self._serial:
                self._serial, self._totals = far.serial, far.totals
        return accounts

    def judge(self, accounts: Iterable[Account]) -> None:
        """Compare what is here with what was committed: what is missing is lost, exactly once."""
        for account in accounts:
            if account.log == self.name:
                self.account(account)
                for rows in self.segments.values():
                    first = bisect_left(rows.serials, account.first)
                    rows.dead.update(range(first, bisect_left(rows.serials, account.end, first)))
        for entry in self._unreadable:
            if not self.ledger.covers(entry.serial):
                self._lose_entry(entry, GapReason.CORRUPT)
        self._unreadable = []
        if self.ledger.end()[0] > self._serial:
            # A loss at the very end keeps its serial: the next record must not be taken for it.
            self._serial, self._totals = self.ledger.end()
        ends = [*self._found, Stretch(self._serial, self._serial, self._totals, self._totals)]
        cursor = Stretch(0, 0, ZERO, ZERO)
        for found in ends:
            missing = self.ledger.missing(cursor.end, cursor.after, found.first, found.before)
            for gone in list(missing):
                account = Account(self.name, gone.first, gone.end, gone.before, gone.after)
                self.ledger.lose(_loss(account, gone, cursor, found), gone)
            if found.end >= cursor.end:
                cursor = found
        if not self._totals:
            # The last record's index is damaged: its readings are unknown, so count on from what is known.
            self._totals = max((s.after for s in ends if s.after), default=ZERO)
        self._found = []
        self.ledger.serial, self.ledger.totals = self._serial, self._totals
        self._far = Totals(self.ledger.log_id, self._serial, self._totals)
        # A second place for the log's name and ledger: one damaged header must not cost the log.
        self._save_ledger()
        self._tidy()

    def _load_ledger(self, headers: dict[int, SegmentHeader]) -> Ledger:
        """The ledger file, or the copy in the newest segment where that knows more or the file is damaged."""
        try:
            ledger = Ledger.decode(self._files.read(self._folder / "ledger"))
        except OSError:
            ledger = None
        for number in sorted(headers, reverse=True):
            copy = Ledger.decode(headers[number].ledger)
            if copy is not None:
                if ledger is None or (copy.log_id == ledger.log_id and copy.serial > ledger.serial):
                    ledger = copy
                break
        return ledger or Ledger(self._random.token(8))

    def _limits(self, numbers: Sequence[int], headers: dict[int, SegmentHeader]) -> dict[int, int]:
        """For each segment the serial from which its records are void: a later segment begins there.

        After an I/O error what was not yet durable is written again into a new segment, so an abandoned
        file may end in copies, whole or torn.
        """
        limits: dict[int, int] = {}
        lowest = 1 << 63
        for number in reversed(numbers):
            limits[number] = lowest
            begins = headers[number].serial
            if begins < 0:
                begins = next(
                    (
                        e.serial
                        for e in self._disk.scan(number, 0, brief=True)
                        if isinstance(e, Entry)
                    ),
                    lowest,
                )
            if headers[number].log_id in (b"", self.ledger.log_id):
                lowest = min(lowest, begins)
        return limits

    def _load_segment(
        self, number: int, header: SegmentHeader, limit: int, verify: bool
    ) -> list[Account]:
        rows = Rows(self.name, number, self._names)
        rows.file_size = self._disk.size(number)
        if header.serial >= 0:
            self._found.append(Stretch(header.serial, header.serial, header.totals, header.totals))
        accounts: list[Account] = []
        found = Stretches(self._found)
        last = -1
        for entry in self._disk.scan(number, header.size, brief=True):
            if isinstance(entry, Damage) or entry.serial >= limit or entry.serial <= last:
                continue
            last = entry.serial
            if self.ledger.covers(entry.serial):
                # Its loss is known, or the power went between the ledger and the unlink.
                self._spent.add(number)
                continue
            if verify and not self._disk.sealed_intact(number, entry):
                self._unreadable += [
                    e for e in self._disk.one(number, entry.offset) if e.serial == entry.serial
                ]
                continue
            if entry.index is not None:
                accounts += entry.index.accounts
            rows.add(entry)
            found.add(entry)
        self.segments[number] = rows
        return accounts

    def _tidy(self) -> None:
        """Remove files that hold nothing, set aside those of which nothing could be read."""
        for number, rows in list(self.segments.items()):
            if len(rows):
                continue
            del self.segments[number]
            if (
                number in self._spent
                or rows.file_size <= FILE_HEADER + len(self.ledger.encode()) + 64
            ):
                self._disk.remove(number)
            else:
                self._disk.set_aside(number)

    # ------------------------------------------------------------ commit

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(rows.file_size for rows in list(self.segments.values()))

    def totals(self) -> Totals:
        """How far the log has come; noted elsewhere, it tells a lost tail from none. From any thread."""
        return self._far

    def commit(self, records: Sequence[SealedRecord]) -> list[Position]:
        """Append all, sync, and only then say where they lie.

        Raises:
            OSError: none of them is durable, or not known to be. The file is abandoned; the next call
                begins a new segment.
        """
        indexes: list[bytes] = []
        totals = self._totals
        for record in records:
            totals = added(totals, record.lane, record.index.readings)
            indexes.append(_encode_index(msgspec.structs.replace(record.index, totals=totals)))
        size = sum(len(r.data) + len(i) for r, i in zip(records, indexes, strict=True))
        if (
            self._open is not None
            and len(self._open)
            and self._open.file_size + size > self._segment_bytes
        ):
            self._end_segment()
        try:
            entries = self._append(records, indexes)
        except BaseException:
            self._abandon()
            raise
        assert self._open is not None
        rows = self._open
        if rows.number not in self.segments:
            self.segments[rows.number] = rows
        self._serial, self._totals = self._serial + len(records), totals
        # One assignment: whoever notes it from another thread never mixes two commits.
        self._far = Totals(self.ledger.log_id, self._serial, totals)
        self.ledger.serial, self.ledger.totals = self._serial, totals
        return [Position(self.name, rows.number, rows.add(entry)) for entry in entries]

    def _append(self, records: Sequence[SealedRecord], indexes: Sequence[bytes]) -> list[Entry]:
        parts: list[bytes] = []
        fresh = self._file is None
        if self._file is None or self._open is None:
            number = next(self.numbers)
            self._open = Rows(self.name, number, self._names)
            self._file = self._files.append(self._disk.path(number))
            parts.append(
                encode_header(
                    SegmentHeader(
                        self.ledger.log_id, number, self._serial, self._totals, self.ledger.encode()
                    )
                )
            )
        offset = self._open.file_size + sum(map(len, parts))
        start = self._disk.seed(self._open.number)
        entries: list[Entry] = []
        for place, (record, index) in enumerate(zip(records, indexes, strict=True)):
            serial = self._serial + place
            part = encode_record(record, index, serial, offset, start)
            parts.append(part)
            entries.append(
                Entry(
                    offset, len(part), record.lane, record.epoch, record.n, record.key_id, serial,
                    len(index), 0, record.index,
                )
            )  # fmt: skip
            offset += len(part)
        data = b"".join(parts)
        self._file.write(data)
        self._file.sync()
        if fresh:
            # Until the folder is synced a power cut may forget that this file exists.
            self._files.sync_folder(self._folder)
        self.written += len(data)
        self._open.file_size = offset
        return entries

    def _end_segment(self) -> None:
        file, self._file, self._open = self._file, None, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                # Everything in it was synced when it was committed; close has nothing left to lose.
                log.warning("segment did not close", extra={"log": self.name, "error": str(error)})

    def _abandon(self) -> None:
        """Never touch this file again. What was committed in it stays readable."""
        rows = self._open
        self._end_segment()
        if rows is not None and not len(rows):
            self._disk.remove(rows.number)

    # ------------------------------------------------------------ read

    def read(self, position: Position) -> bytes:
        """The sealed bytes. From any thread.

        Raises:
            SpoolCorrupt: they are not what was written, or were evicted meanwhile. A corrupt record
                becomes a loss once, at the owner's next `losses`.
        """
        rows = self.segments.get(position.segment)
        row = position.row
        if rows is not None and row not in rows.dead:
            offset = rows.offsets[row]
            for _ in range(2):  # a first read error of a worn card is often the last
                try:
                    data = self._files.read(self._disk.path(rows.number), offset, rows.sizes[row])
                except OSError:
                    continue
                sealed = check_record(data, offset, self._disk.seed(rows.number))
                if sealed is not None:
                    return sealed
            if position.segment in self.segments:
                self._suspects.append(position)
        raise SpoolCorrupt(
            f"record {position.segment}/{position.row} of {self.name} cannot be read back",
            segment=position.segment, row=position.row,
        )  # fmt: skip

    def losses(self) -> Sequence[Loss]:
        """Losses that no durable gap names yet."""
        while self._suspects:
            position = self._suspects.popleft()
            rows = self.segments.get(position.segment)
            if rows is None or position.row in rows.dead:
                continue
            rows.dead.add(position.row)
            serial = rows.serials[position.row]
            found = next(iter(self._disk.scan(rows.number, rows.offsets[position.row])), None)
            if isinstance(found, Entry) and found.serial == serial and found.index is not None:
                self._lose_entry(found, GapReason.CORRUPT)
            elif not self.ledger.covers(serial):
                at = rows.last_us[position.row]
                known = at >= 0
                loss = Loss(
                    GapReason.CORRUPT,
                    Account(self.name, serial, serial + 1),
                    1,
                    rows.readings[position.row] if known else None,
                    first_us=at if known else None,
                    last_us=at if known else None,
                )
                self.ledger.lose(loss, Gone(serial, serial + 1, (), ()))
        return self.ledger.pending

    def clear_index(self, position: Position) -> ClearIndex | None:
        """What may be known of a record without opening it; None when it cannot be read."""
        rows = self.segments.get(position.segment)
        if rows is None:
            return None
        found = next(iter(self._disk.scan(rows.number, rows.offsets[position.row])), None)
        if not isinstance(found, Entry) or found.serial != rows.serials[position.row]:
            return None
        return found.index

    @property
    def open_segment(self) -> int | None:
        """The number of the segment that is being written."""
        return None if self._open is None else self._open.number

    # ------------------------------------------------------------ letting go

    def account(self, account: Account) -> None:
        """A durable record holds the gap of these serials."""
        self.ledger.accounted(account)
        self.ledger.let_go(Gone(account.first, account.end, account.before, account.after))

    def let_go(self, number: int, needed: Needed, reason: GapReason) -> Loss | None:
        """Unlink a segment; the loss of what somebody still needed in it, None when nobody did."""
        rows = self.segments[number]
        if rows is self._open:
            self._end_segment()
        lost = {rows.serials[row] for row in rows.alive() if needed(rows, row)}
        gone: list[Stretch] = []
        found = Stretches(gone)
        devices: dict[int, int] = {}
        readings = 0
        first: Entry | None = None
        last: Entry | None = None
        alive = {rows.serials[row] for row in rows.alive()}
        for entry in self._disk.scan(number, 0):
            if isinstance(entry, Damage) or entry.serial not in alive:
                continue
            alive.discard(entry.serial)
            found.add(entry)
            if entry.serial in lost and entry.index is not None:
                for device, count in entry.index.devices:
                    devices[device] = devices.get(device, 0) + count
                readings += entry.index.readings
                first, last = first or entry, entry
        for serial in alive:  # rotted since the start: the rows still know them
            self.ledger.let_go(Gone(serial, serial + 1, (), ()))
        loss = None
        if lost:
            readings += sum(
                rows.readings[row] for row in rows.alive() if rows.serials[row] in alive & lost
            )
            account = Account(self.name, min(lost), max(lost) + 1)
            i, j = (first and first.index), (last and last.index)
            loss = Loss(
                reason, account, len(lost), readings, tuple(sorted(devices.items())),
                i.first_us if i else None, j.last_us if j else None, i.boot if i else None,
            )  # fmt: skip
        for stretch in gone:
            self.ledger.let_go(Gone(stretch.first, stretch.end, stretch.before, stretch.after))
        if loss is not None:
            self.ledger.add(loss)
        saved = self._save_ledger()
        self.segments.pop(number, None)
        self._disk.remove(number)
        if not saved:
            self._save_ledger()
        return loss

    def close(self) -> None:
        """Close the open segment and note how far the log came."""
        self._end_segment()
        self._save_ledger()

    # ------------------------------------------------------------ small

    def _lose_entry(self, entry: Entry, reason: GapReason) -> None:
        index = entry.index
        if index is None:
            return
        gone = Gone(entry.serial, entry.serial + 1, before(entry), index.totals)
        account = Account(self.name, entry.serial, entry.serial + 1, gone.before, gone.after)
        self.ledger.lose(
            Loss(
                reason,
                account,
                1,
                index.readings,
                index.devices,
                index.first_us,
                index.last_us,
                index.boot,
            ),
            gone,
        )

    def _save_ledger(self) -> bool:
        data = self.ledger.encode()
        try:
            self._files.replace(self._folder / "ledger", data, 0o640)
        except OSError as error:
            log.warning("ledger not written", extra={"log": self.name, "error": str(error)})
            return False
        self.written += len(data)
        return True


def added(totals: tuple[int, ...], lane: int, readings: int) -> tuple[int, ...]:
    """Running totals after one more record."""
    changed = list(totals)
    changed[2 * lane] += 1
    changed[2 * lane + 1] += readings
    return tuple(changed)


def _loss(account: Account, gone: Gone, earlier: Stretch, later: Stretch) -> Loss:
    """What lay between two surviving stretches."""
    readings = None
    if gone.before and gone.after:
        readings = sum(gone.after[1::2]) - sum(gone.before[1::2])
    last = (
        later.first_us
        if later.boot == earlier.boot and later.first_us is not None
        else earlier.last_us
    )
    return Loss(
        GapReason.CORRUPT, account, gone.end - gone.first, readings,
        first_us=earlier.last_us, last_us=last, boot=earlier.boot,
    )  # fmt: skip
