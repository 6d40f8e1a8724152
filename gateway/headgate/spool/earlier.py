"""What earlier runs left in a log: every record that is there, and what is missing between them.

Two steps, because the records of one log may say what another lost: `find` looks, `judge` compares.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from headgate.env import Files, Random
from headgate.errors import SpoolError
from headgate.spool.folder import NO_HEADER, SegmentFolder
from headgate.spool.ledger import Gone, Ledger
from headgate.spool.loss import between, of_record, unread
from headgate.spool.newest import End
from headgate.spool.records import Account, Totals
from headgate.spool.refusal import may_pass
from headgate.spool.rows import Names, Rows
from headgate.spool.segment import FILE_HEADER, ZERO, Damage, Entry, SegmentHeader
from headgate.spool.stretch import Stretch, Stretches

log = logging.getLogger(__name__)


class Earlier:
    """The search. Fills `segments`; afterwards `ledger`, `serial` and `totals` say where to go on.

    Args:
        segments: where the rows of every segment go, by number.
    """

    def __init__(
        self,
        files: Files,
        random: Random,
        folder: Path,
        disk: SegmentFolder,
        names: Names,
        name: str,
        segments: dict[int, Rows],
    ) -> None:
        self._files = files
        self._random = random
        self._folder = folder
        self._disk = disk
        self._names = names
        self._name = name
        self.segments = segments
        self.ledger = Ledger()
        self.serial = 0
        self.totals = ZERO
        #: The highest segment number in use, 0 when there is none.
        self.highest = 0
        self._found: list[Stretch] = []
        self._unreadable: list[Entry] = []
        self._spent: set[int] = set()
        # Segments that say where they begin: what lay before them can be counted.
        self._begun: set[int] = set()
        # What each record that is here tells of, by serial; None where its clear index is damaged.
        self._tellers: dict[int, Sequence[Account] | None] = {}
        #: Losses that a lost record had told of.
        self.unsaid: list[Account] = []

    # ------------------------------------------------------------ what is there

    def find(self, noted: Sequence[Totals], *, without_disk: bool = False) -> Sequence[Account]:
        """Find every record; the losses that their gaps account for.

        Changes nothing on disk but the folder itself, and foreign segments are set aside.

        Args:
            without_disk: a disk that refuses even to be looked at holds nothing, for now.

        Raises:
            SpoolLocked: a segment is of a newer format.
            SpoolError: the folder cannot be read at all.
        """
        try:
            numbers = self._disk.numbers()
        except OSError as error:
            if not without_disk or not may_pass(error):
                raise SpoolError(
                    f"cannot use {self._folder}: {error}",
                    code="HG-4005",
                    folder=str(self._folder),
                    cause=str(error),
                ) from error
            log.error("started without its disk", extra={"error": str(error)})
            self._disk.blind, numbers = True, []
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
        # Not even a number whose file is gone is given again: they order the starts.
        remembered = 0 if self.ledger.newest is None else self.ledger.newest.number
        self.highest = max([remembered, *numbers])
        self.serial, self.totals = self.ledger.end()
        for stretch in self._found:
            if stretch.end >= self.serial:
                self.serial, self.totals = stretch.end, stretch.after
        for far in noted:
            if far.spool == self.ledger.log_id and far.serial > self.serial:
                self.serial, self.totals = far.serial, far.totals
        return accounts

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
        rows = Rows(self._name, number, self._names)
        rows.file_size = self._disk.size(number)
        if header.serial >= 0:
            self._begun.add(number)
            self._found.append(Stretch(header.serial, header.serial, header.totals, header.totals))
        accounts: list[Account] = []
        found = Stretches(self._found)
        last = -1
        for entry in self._disk.scan(number, header.size, brief=True):
            if isinstance(entry, Damage) or entry.serial >= limit or entry.serial <= last:
                continue
            last = entry.serial
            self._begun.add(number)
            self.ledger.reached(End(number, entry.epoch, entry.n))
            if self.ledger.covers(entry.serial):
                # Its loss is known, or the power went between the ledger and the unlink.
                self._spent.add(number)
                continue
            if verify and not self._disk.sealed_intact(number, entry):
                # Once more for its devices; a disk that gives it no more has given the rest already.
                again = self._disk.one(number, entry.offset)
                self._unreadable += [e for e in again if e.serial == entry.serial] or [entry]
                continue
            if entry.index is None:
                self._tellers[entry.serial] = None
            elif entry.index.accounts:
                accounts += entry.index.accounts
                self._tellers[entry.serial] = entry.index.accounts
            rows.add(entry)
            found.add(entry)
        self.segments[number] = rows
        return accounts

    # ------------------------------------------------------------ what is missing

    def judge(self, accounts: Iterable[Account], accounted: Callable[[Account], None]) -> None:
        """Compare what is here with what was committed: what is missing is lost, exactly once.

        Args:
            accounted: takes note that a durable record holds the gap of these serials.
        """
        for account in accounts:
            if account.log == self._name:
                accounted(account)
                for rows in self.segments.values():
                    first = bisect_left(rows.serials, account.first)
                    rows.dead.update(range(first, bisect_left(rows.serials, account.end, first)))
        for entry in self._unreadable:
            if entry.index is not None and not self.ledger.covers(entry.serial):
                self.ledger.lose(*of_record(self._name, entry, entry.index))
                self.unsaid += entry.index.accounts
        self._find_carriers()
        if self.ledger.end()[0] > self.serial:
            # A loss at the very end keeps its serial: the next record must not be taken for it.
            self.serial, self.totals = self.ledger.end()
        ends = [*self._found, Stretch(self.serial, self.serial, self.totals, self.totals)]
        cursor = Stretch(0, 0, ZERO, ZERO)
        for found in ends:
            missing = self.ledger.missing(cursor.end, cursor.after, found.first, found.before)
            for gone in list(missing):
                self._lose_between(gone, cursor, found)
            if found.end >= cursor.end:
                cursor = found
        if not self.totals:
            # The last record's index is damaged: its readings are unknown, so count on from what is known.
            self.totals = max((s.after for s in ends if s.after), default=ZERO)
        # A file that was only just made when the power went comes after it, and says nothing.
        if max(self._begun | self._disk.cut_short, default=0) in self._disk.cut_short:
            # Whatever it holds beyond what was noted cannot be counted, and must not be silent either.
            loss = unread(self._name, self.serial)
            if loss not in self.ledger.pending:
                self.ledger.add(loss)

    def _find_carriers(self) -> None:
        """What told of a loss and is not here any more, or cannot be read, has told nobody for sure."""
        dead = {rows.serials[row] for rows in self.segments.values() for row in rows.dead}
        here = {serial: told for serial, told in self._tellers.items() if serial not in dead}
        self.unsaid += self.ledger.carriers_found(
            [(serial, account) for serial, told in here.items() for account in told or ()],
            {serial for serial, told in here.items() if told is None},
        )

    def _lose_between(self, gone: Gone, earlier: Stretch, later: Stretch) -> None:
        self.ledger.lose(between(self._name, gone, earlier, later), gone)

    def tidy(self, *, recorded: bool) -> None:
        """Remove files that hold nothing, set aside those of which nothing could be read.

        Args:
            recorded: whether the ledger that was judged is on disk. Where it is not, every file stays: a
                later start finds again what this one found, and nothing goes whose loss is not on record.
        """
        for number, rows in list(self.segments.items()):
            if len(rows):
                continue
            del self.segments[number]
            if not recorded:
                continue
            if (
                number in self._spent
                or rows.file_size <= FILE_HEADER + len(self.ledger.encode()) + 64
            ) and number not in self._disk.cut_short:
                self._disk.remove(number)
            else:
                self._disk.set_aside(number)
