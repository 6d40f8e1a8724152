"""One log of the spool: numbered segments of records that are only ever appended, read and unlinked.

A start opens a new segment, and so does any I/O error. Nothing here knows uplinks or lanes; `Spool`
decides what may go.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from headgate.env import Env, Files
from headgate.errors import SpoolCorrupt, SpoolError
from headgate.model import GapReason
from headgate.spool.earlier import Earlier
from headgate.spool.folder import SegmentFolder
from headgate.spool.ledger import Gone, Ledger
from headgate.spool.loss import of_record, of_row, of_segment
from headgate.spool.newest import End
from headgate.spool.records import Account, ClearIndex, Loss, Position, SealedRecord, Totals
from headgate.spool.refusal import may_pass
from headgate.spool.rows import Names, Rows
from headgate.spool.segment import ZERO, Damage, Entry, SegmentHeader, check_record
from headgate.spool.tail import Tail

log = logging.getLogger(__name__)

_encode_index = msgspec.msgpack.Encoder().encode

#: A record that the disk does not give is lost after so many tries over so long: a whole disk may be away.
_READ_TRIES: Final = 3
_READ_PATIENCE_US: Final = 600_000_000

Needed = Callable[[Rows, int], bool]


class Log:
    """Append-only segments in one folder. All but `read` belong to one thread at a time.

    `segments` are the rows of every segment by number; readers may look while another commits.
    """

    def __init__(self, env: Env, folder: Path, name: str, names: Names, segment_bytes: int) -> None:
        self._files: Files = env.files
        self._folder = folder
        self._disk = SegmentFolder(env.files, folder)
        self._segment_bytes = segment_bytes
        self.name = name
        self.segments: dict[int, Rows] = {}
        self._tail = Tail(env.files, folder, self._disk, names, name)
        self._earlier = Earlier(
            env.files, env.random, folder, self._disk, names, name, self.segments
        )
        self.ledger = Ledger()
        self.written = 0
        self._serial = 0
        self._totals = ZERO
        self._far = Totals(b"", 0, ZERO)
        #: Where segment numbers come from; shared by the logs of a spool, so that they order all segments.
        self.numbers: Iterator[int] = count(1)
        self.highest = 0
        self._suspects: deque[Position] = deque()
        self._clock = env.clock
        # Records that the disk did not give: since when, and how often.
        self._refused: dict[Position, tuple[int, int]] = {}
        #: What becomes of losses that a lost record had told of; set by the spool, for both its logs.
        self.unsaid: Callable[[Sequence[Account]], None] = lambda accounts: None
        self.said: Callable[[Sequence[Account]], None] = lambda accounts: None

    # ------------------------------------------------------------ start

    def load(
        self, noted: Sequence[Totals] = (), *, without_disk: bool = False
    ) -> Sequence[Account]:
        """Find every record of earlier runs; the losses that their gaps account for. `judge` comes next.

        Args:
            without_disk: a disk that refuses even to be looked at holds nothing, for now.

        Raises:
            SpoolLocked: a segment is of a newer format.
            SpoolError: the folder cannot be read at all.
        """
        accounts = self._earlier.find(noted, without_disk=without_disk)
        self.ledger, self.highest = self._earlier.ledger, self._earlier.highest
        return accounts

    def judge(self, accounts: Iterable[Account]) -> None:
        """Compare what is here with what was committed: what is missing is lost, exactly once."""
        earlier = self._earlier
        earlier.judge(accounts, self.account)
        self._serial, self._totals = earlier.serial, earlier.totals
        self.ledger.serial, self.ledger.totals = self._serial, self._totals
        self._far = Totals(self.ledger.log_id, self._serial, self._totals)
        # A second place for the log's name and ledger: one damaged header must not cost the log.
        earlier.tidy(recorded=self.save_ledger())

    @property
    def unsaid_before(self) -> Sequence[Account]:
        """What records had told of that the start found lost; after `judge` of both logs."""
        return self._earlier.unsaid

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
        assert not self._disk.held, "what is held in memory goes to the disk first"
        self._disk.see()
        positions = self._place(records, self._segment_bytes)
        self._durable()
        return positions

    def _place(
        self, records: Sequence[SealedRecord], segment_bytes: int, *, held: bool = False
    ) -> list[Position]:
        indexes: list[bytes] = []
        totals = self._totals
        for record in records:
            totals = added(totals, record.lane, record.index.readings)
            indexes.append(_encode_index(msgspec.structs.replace(record.index, totals=totals)))
        size = sum(len(r.data) + len(i) for r, i in zip(records, indexes, strict=True))
        rows = self._tail.rows
        full = rows is not None and len(rows) and rows.file_size + size > segment_bytes
        if full or self._tail.held is not held:
            self._tail.end()
        try:
            rows, entries = self._append(records, indexes, held)
        except BaseException:
            self._tail.abandon()
            raise
        if rows.number not in self.segments:
            self.segments[rows.number] = rows
        self._serial, self._totals = self._serial + len(records), totals
        return [Position(self.name, rows.number, rows.add(entry)) for entry in entries]

    def _durable(self) -> None:
        """Everything placed so far is on disk."""
        # One assignment: whoever notes it from another thread never mixes two commits.
        self._far = Totals(self.ledger.log_id, self._serial, self._totals)
        self.ledger.serial, self.ledger.totals = self._serial, self._totals
        if self.segments:
            number, rows = next(reversed(self.segments.items()))
            self.ledger.reached(End(number, rows.epoch(-1), rows.ns[-1]))

    def ends(self) -> Sequence[End]:
        """How far starts of the gateway came in each segment, and in one that is remembered only."""
        ends = [
            End(number, rows.epoch(-1), rows.ns[-1])
            for number, rows in sorted(self.segments.copy().items())
            if len(rows)
        ]
        known = self.ledger.newest
        if known is not None and (not ends or known > ends[-1]):
            ends.append(known)
        return ends

    def _append(
        self, records: Sequence[SealedRecord], indexes: Sequence[bytes], held: bool
    ) -> tuple[Rows, list[Entry]]:
        header = None
        rows = self._tail.rows
        if rows is None:
            rows = self._tail.begin(next(self.numbers), held=held)
            header = SegmentHeader(
                self.ledger.log_id, rows.number, self._serial, self._totals, self.ledger.encode()
            )
        entries, written = self._tail.append(records, indexes, self._serial, header)
        self.written += 0 if held else written
        return rows, entries

    # ------------------------------------------------------------ while the disk refuses

    @property
    def held_bytes(self) -> int:
        """Bytes that lie in memory only."""
        return self._disk.held.size

    @property
    def held_records(self) -> int:
        """Records that lie in memory only."""
        held = self._disk.held
        return sum(len(rows) for number, rows in list(self.segments.items()) if number in held)

    def holds(self, number: int) -> bool:
        """Whether this segment lies in memory only."""
        return number in self._disk.held

    def hold(self, records: Sequence[SealedRecord], segment_bytes: int) -> list[Position]:
        """Keep records in memory, in segments of this size: readable like all others, not durable."""
        return self._place(records, segment_bytes, held=True)

    def come_back(self) -> None:
        """Write to disk what is held in memory, oldest first.

        Raises:
            OSError: the disk refuses still; what was not written out stays held.
        """
        held = self._disk.held
        if not held:
            return
        self._disk.see()
        self._tail.end()
        while (number := held.oldest) is not None:
            size = self._disk.size(number)
            held.write_out(number, self._disk.path(number))
            self.written += size
        self._durable()
        self.save_ledger()

    def drop_held(self, needed: Needed) -> Loss | None:
        """Give up the oldest segment in memory; the loss, None when nobody needed it any more."""
        number = self._disk.held.oldest
        return None if number is None else self.let_go(number, needed, GapReason.QUOTA)

    # ------------------------------------------------------------ read

    def read(self, position: Position, *, needed: bool = True) -> bytes:
        """The sealed bytes. From any thread.

        Args:
            needed: False where somebody looks back on what every platform may have: nothing is lost then.

        Raises:
            SpoolCorrupt: they are not what was written, or were evicted meanwhile. A corrupt record
                becomes a loss once, at the owner's next `losses`.
            SpoolError: the disk does not give them now; it may give them later.
        """
        rows = self.segments.get(position.segment)
        row = position.row
        if rows is not None and row not in rows.dead:
            offset = rows.offsets[row]
            refusal: OSError | None = None
            for _ in range(2):  # a first read error of a worn card is often the last
                try:
                    data = self._disk.read(rows.number, offset, rows.sizes[row])
                except OSError as error:
                    refusal = error
                    continue
                refusal = None
                sealed = check_record(data, offset, self._disk.seed(rows.number))
                if sealed is not None:
                    self._refused.pop(position, None)
                    return sealed
            if refusal is not None and may_pass(refusal) and not (
                needed and self._given_up(position)
            ):  # fmt: skip
                raise SpoolError(
                    f"record {position.segment}/{row} of {self.name}: {refusal}", code="HG-4007",
                    segment=position.segment, cause=str(refusal),
                ) from refusal  # fmt: skip
            if needed and position.segment in self.segments:
                self._suspects.append(position)
        raise SpoolCorrupt(
            f"record {position.segment}/{position.row} of {self.name} cannot be read back",
            segment=position.segment, row=position.row,
        )  # fmt: skip

    def _given_up(self, position: Position) -> bool:
        """Whether a disk has refused a record so often, and over so long a time, that it is gone."""
        now = self._clock.boottime_us()
        first_us, times = self._refused.get(position, (now, 0))
        self._refused[position] = first_us, times + 1
        return times + 1 >= _READ_TRIES and now - first_us >= _READ_PATIENCE_US

    def losses(self) -> Sequence[Loss]:
        """Losses that no durable gap names yet."""
        while self._suspects:
            position = self._suspects.popleft()
            rows = self.segments.get(position.segment)
            if rows is None or position.row in rows.dead:
                continue
            rows.dead.add(position.row)
            found = self._look(rows, position.row)
            carried = [each.account for each in self.ledger.untell({rows.serials[position.row]})]
            if found is not None and found.index is not None:
                self.ledger.lose(*of_record(self.name, found, found.index))
                carried = [*found.index.accounts, *carried]
            elif not self.ledger.covers(rows.serials[position.row]):
                self.ledger.lose(*of_row(rows, position.row))
            if carried:
                self.unsaid(carried)
                self.save_ledger()
        return self.ledger.pending

    def clear_index(self, position: Position) -> ClearIndex | None:
        """What may be known of a record without opening it; None when it cannot be read."""
        rows = self.segments.get(position.segment)
        found = None if rows is None else self._look(rows, position.row)
        return None if found is None else found.index

    def _look(self, rows: Rows, row: int) -> Entry | None:
        """What stands where a row was written, if it is that row's record."""
        found = next(iter(self._disk.scan(rows.number, rows.offsets[row])), None)
        if isinstance(found, Entry) and found.serial == rows.serials[row]:
            return found
        return None

    def highest_device(self, number: int, row: int) -> int:
        """The highest device number that a segment uses from a row on; 0 when there is none."""
        highest = 0
        for found in self._disk.scan(number, self.segments[number].offsets[row]):
            if isinstance(found, Entry) and found.index is not None:
                highest = max(highest, *(device for device, _ in found.index.devices), 0)
        return highest

    @property
    def open_segment(self) -> int | None:
        """The number of the segment that is being written."""
        return None if self._tail.rows is None else self._tail.rows.number

    # ------------------------------------------------------------ letting go

    def account(self, account: Account, *, durable: bool = True) -> None:
        """A record holds the gap of these serials; `durable` says whether it is on disk."""
        self.ledger.accounted(account, durable=durable)
        self.ledger.let_go(Gone(account.first, account.end, account.before, account.after))

    def let_go(self, number: int, needed: Needed, reason: GapReason) -> Loss | None:
        """Unlink a segment; the loss of what somebody still needed in it, None when nobody did.

        Raises:
            OSError: that cannot be noted durably. The segment stays: nothing is given up in silence.
        """
        rows = self.segments[number]
        if rows is self._tail.rows:
            self._tail.end()
        lost = {rows.serials[row] for row in rows.alive() if needed(rows, row)}
        carried: list[Account] = []
        found = self._carried(self._disk.scan(number, 0), lost, carried)
        gone, loss = of_segment(rows, found, lost, reason)
        before = self.ledger.copy()
        going = self.ledger.untell(set(rows.serials))
        carried += [each.account for each in going if each.serial in lost]
        self.unsaid(carried)
        for serials in gone:
            self.ledger.let_go(serials)
        if loss is not None:
            self.ledger.add(loss)
        if number in self._disk.held:
            # It never was on disk: a ledger that named it would know of serials that are nowhere else.
            self.segments.pop(number, None)
            self._disk.remove(number)
            return loss
        try:
            self._write_ledger()
        except OSError:
            self.ledger = before
            self.said(carried)
            raise
        self.segments.pop(number, None)
        self._disk.remove(number)
        return loss

    @staticmethod
    def _carried(
        found: Iterable[Entry | Damage], lost: Set[int], carried: list[Account]
    ) -> Iterator[Entry | Damage]:
        """The same again; the losses that lost records among them had told of go into `carried`."""
        for entry in found:
            if isinstance(entry, Entry) and entry.serial in lost and entry.index is not None:
                carried += entry.index.accounts
            yield entry

    def close(self) -> None:
        """Close the open segment and note how far the log came."""
        self.end_segment()
        self.save_ledger()

    def end_segment(self) -> None:
        """Write no more to the open segment."""
        self._tail.end()

    def save_ledger(self) -> bool:
        """Write down what is gone and what is still to be said. False where the disk refuses, for now."""
        try:
            self._write_ledger()
        except OSError as error:
            log.warning("ledger not written", extra={"log": self.name, "error": str(error)})
            return False
        return True

    def _write_ledger(self) -> None:
        data = self.ledger.encode()
        self._files.replace(self._folder / "ledger", data, 0o640)
        self.written += len(data)


def added(totals: tuple[int, ...], lane: int, readings: int) -> tuple[int, ...]:
    """Running totals after one more record."""
    changed = list(totals)
    changed[2 * lane] += 1
    changed[2 * lane + 1] += readings
    return tuple(changed)
