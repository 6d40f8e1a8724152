"""What was promised to whom by which operation, and the judge of what a start finds of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headgate.errors import SpoolCorrupt
from headgate.model import Gap, Item
from headgate.sdk import StoredRecord
from headgate.spool import Account, Loss, Position, SealedRecord, Spool, Totals

if TYPE_CHECKING:
    from crash_box import CrashBox

    from headgate.runtime.batch import Batch

Name = tuple[bytes, int]
NEVER = 1 << 62


@dataclass
class Told:
    """A record: from which operation on it may be on the disk, and from which on it must."""

    data: bytes
    key_id: bytes
    readings: int
    devices: tuple[int, ...]
    accounts: tuple[Account, ...]
    begun: int
    promised: int = NEVER
    place: tuple[str, int] | None = None  # log, serial
    refusals: tuple[tuple[str, Name], ...] = ()


@dataclass
class Flushed:
    """What a successful flush of the state said."""

    op: int
    devices: Mapping[str, int]
    sign: int
    settled: Mapping[str, frozenset[Name]]


@dataclass
class Book:
    """Everything that a box was told, or said, and when (in operations of its disk)."""

    records: dict[Name, Told] = field(default_factory=dict)
    epochs: list[bytes] = field(default_factory=list)
    #: For each uplink, from which operation on its platform has a record, or has refused it.
    acked: dict[str, dict[Name, int]] = field(default_factory=dict)
    refused: dict[str, dict[Name, int]] = field(default_factory=dict)
    losses: dict[Account, Loss] = field(default_factory=dict)
    #: Records in losses that an earlier start found, and that this book may know no more.
    torn: dict[Account, int] = field(default_factory=dict)
    flushes: list[Flushed] = field(default_factory=list)
    learnings: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    numbers: dict[int, str] = field(default_factory=dict)
    papers: tuple[bytes, bytes] | None = None
    #: Of each epoch from which operation on a record was tried, and the highest n that was.
    spent: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    #: Totals that somebody noted beside the spool.
    noted: Sequence[Totals] = ()
    now_us: int = 0
    _riding: dict[int, list[tuple[str, Name]]] = field(default_factory=dict)
    _refusals: list[tuple[str, Name, list[Item]]] = field(default_factory=list)
    _heard: dict[str, frozenset[Name]] = field(default_factory=dict)

    # ------------------------------------------------------------ what a box tells

    def began(self, box: CrashBox) -> None:
        """A start."""
        assert box.epoch not in self.epochs, "an epoch was used again"
        self.epochs.append(box.epoch)
        self._heard = {}
        kek = box.identity.kek
        assert kek is not None
        papers = (kek, box.identity.signing_key.pem())
        assert self.papers in (None, papers), "the box's own keys changed"
        self.papers = papers

    def gaps_ride(self, batch: Batch, said: Sequence[Item]) -> None:
        """Gaps of refusals go out with this batch."""
        for uplink, name, gaps in list(self._refusals):
            if all(any(gap is item for item in said) for gap in gaps):
                self._riding.setdefault(id(batch), []).append((uplink, name))
                self._refusals.remove((uplink, name, gaps))

    def attempted(self, batches: Sequence[Batch], op: int) -> None:
        """These may be on the disk from now on."""
        for batch in batches:
            rides = tuple(self._riding.get(id(batch), ()))
            self.attempt(batch.records[:-1])
            self.attempt(batch.records[-1:], rides)

    def attempt(
        self, records: Sequence[SealedRecord], rides: tuple[tuple[str, Name], ...] = ()
    ) -> None:
        """These are being committed, `rides` the refusals that their gaps tell of."""
        for record in records:
            self._attempt(record, rides)

    def _attempt(self, record: SealedRecord, rides: tuple[tuple[str, Name], ...]) -> None:
        index = record.index
        told = Told(
            record.data, record.key_id, index.readings, tuple(d for d, _ in index.devices),
            index.accounts, self._begun, refusals=rides,
        )  # fmt: skip
        self.records.setdefault((record.epoch, record.n), told)
        first, highest = self.spent.get(record.epoch, (self._begun, record.n))
        self.spent[record.epoch] = first, max(highest, record.n)

    #: The operation before which the commit that runs now had begun.
    _begun: int = 0

    def know(self, losses: Iterable[Loss], op: int) -> None:
        """Losses that the spool says."""
        self._begun = op
        for loss in losses:
            self.losses[loss.account] = loss

    def promised(
        self, records: Sequence[SealedRecord], positions: Sequence[Position], spool: Spool, op: int
    ) -> None:
        """A commit returned."""
        for record, position in zip(records, positions, strict=True):
            told = self.records[record.epoch, record.n]
            told.promised = op
            rows = spool.rows(position.log, position.segment)
            # A commit larger than the room may have evicted its own first records again.
            if rows is not None:
                told.place = (position.log, rows.serials[position.row])

    def acknowledged(self, uplink: str, names: Iterable[Name], op: int) -> None:
        """A platform has these."""
        have = self.acked.setdefault(uplink, {})
        for name in names:
            have.setdefault(name, op)
        self._heard[uplink] = self._heard.get(uplink, frozenset()) | frozenset(names)

    def refused_now(
        self, uplink: str, epoch: bytes, verdicts: Iterable[Any], gaps: list[Item], op: int
    ) -> None:
        """A platform will never take these; their gaps are to be said."""
        names = [(epoch, verdict.n) for verdict in verdicts]
        if not names:
            return
        assert gaps, "a refusal without a gap"
        assert all(isinstance(gap, Gap) for gap in gaps)
        for name in names:
            self.refused.setdefault(uplink, {})[name] = op
            self._refusals.append((uplink, name, gaps))

    def flushed(self, box: CrashBox, op: int, *, noted: bool) -> None:
        """The state said it is durable."""
        settled = self.flushes[-1].settled if self.flushes else {}
        if noted:
            # What an earlier start was told and had not noted is forgotten, and told again one day.
            settled = {u: settled.get(u, frozenset()) | names for u, names in self._heard.items()}
            settled = {**(self.flushes[-1].settled if self.flushes else {}), **settled}
        devices = dict(box.state.devices())
        self.numbers.update({number: device for device, number in devices.items()})
        sign = box.state.counter("last-sign-us")
        self.flushes.append(Flushed(op, devices, sign, settled))

    def learned(self, known: dict[str, Any], op: int, *, sure: bool = True) -> None:
        """What devices told of themselves was saved, or perhaps not."""
        self.learnings.append((op if sure else NEVER, known))

    # ------------------------------------------------------------ the judge

    def settled(self, uplink: str, at: int) -> set[Name]:
        """What an uplink's platform has, or has refused, by an operation."""
        both = (self.acked.get(uplink, {}), self.refused.get(uplink, {}))
        return {name for one in both for name, op in one.items() if op <= at}


def expect(condition: object, *what: object) -> None:
    """An assertion that says what it saw."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in what))


def found_in(spool: Spool, book: Book, at: int) -> dict[Name, Position]:
    """Everything that can be read back: known, whole, once, in order. Raises AssertionError."""
    found: dict[Name, Position] = {}
    last: dict[tuple[str, bytes, int], int] = {}
    for rows in spool.segments():
        for row in rows.alive():
            name = (rows.epoch(row), rows.ns[row])
            place = Position(rows.log, rows.number, row)
            told = book.records.get(name)
            expect(told is not None and told.begun <= at, "a record that nobody wrote:", name)
            assert told is not None
            expect(name not in found, "a record is there twice:", name)
            lane = (rows.log, name[0], rows.lanes[row])
            expect(rows.ns[row] > last.get(lane, -1), "out of order:", name)
            last[lane] = rows.ns[row]
            try:
                data = spool.read(place)
            except SpoolCorrupt:
                continue
            expect(data == told.data, "other bytes under the same name:", name)
            expect(rows.key_id(row) == told.key_id, "another key:", name)
            if told.place is not None:
                expect(told.place == (rows.log, rows.serials[row]), "another serial:", name)
            found[name] = place
    return found


class Judge:
    """What a start on the disk of a cut after operation `at` must be like."""

    def __init__(self, box: CrashBox, book: Book, at: int) -> None:
        self.box, self.book, self.at = box, book, at
        self.found = found_in(box.spool, book, at)
        self.promised = {n for n, told in book.records.items() if told.promised <= at}
        self.uplinks = box.shape.uplinks

    def judge(self) -> None:
        """Everything. Raises AssertionError."""
        self.judge_losses()
        self.judge_offers()
        self.judge_numbers()
        self.judge_link()
        self.judge_papers()
        self.judge_open()

    def _settled_everywhere(self) -> set[Name]:
        return set.intersection(*(self.book.settled(uplink, self.at) for uplink in self.uplinks))

    def judge_losses(self) -> None:
        """Readings stored + gaps reported = readings due; each loss is said once, and exactly."""
        book, found = self.book, self.found
        pending = {loss.account: loss for loss in self.box.spool.losses()}
        durable = self.promised | found.keys()
        # Where the record that told of a loss is lost itself, the loss must be said again.
        kept = durable & (found.keys() | self._settled_everywhere())
        said = {a for name in kept for a in book.records[name].accounts}
        again = said & pending.keys()
        expect(not again, "a loss is said again:", again)
        losses = {**{a: book.losses[a] for a in said}, **pending}
        settled = self._settled_everywhere()
        missing = self.promised - found.keys() - settled
        covered: dict[Name, int] = dict.fromkeys(missing, 0)
        # Refused and never tried again: somewhere in a file that was abandoned, or not.
        nowhere = sum(told.place is None for told in book.records.values())
        for account, loss in losses.items():
            inside = {
                name
                for name, told in book.records.items()
                if name not in found and told.place is not None and told.begun <= self.at
                and told.place[0] == account.log and account.first <= told.place[1] < account.end
            }  # fmt: skip
            least = inside & missing
            for name in least:
                covered[name] += 1
            if account in book.torn:
                # Said by an earlier start of records that nobody was promised; none of them has a place.
                expect(loss.records == book.torn[account], "a loss has changed:", loss)
                continue
            expect(
                len(least) <= loss.records <= len(inside) + nowhere,
                f"{loss} says {loss.records} records, {len(least)} to {len(inside)} are gone",
            )
            if len(least) == len(inside) == loss.records and loss.readings is not None:
                readings = sum(book.records[name].readings for name in inside)
                expect(loss.readings == readings, f"{loss.readings} readings said, {readings} gone")
        for name, times in covered.items():
            expect(times == 1, f"{name} is lost and that is said {times} times")

    def judge_offers(self, *, again: bool = False) -> None:
        """Each uplink is offered what its platform lacks, in order; what was settled for good is not sent."""
        book, at = self.book, self.at
        flushed = [flush for flush in book.flushes if flush.op <= at]
        for uplink in self.uplinks:
            records = self.box.offered(uplink)
            offered = {(record.epoch, record.n) for record in records}
            expect(len(offered) == len(records), "offered twice")
            expect(offered <= self.found.keys(), "offered what is not there")
            for record in records:
                name = (record.epoch, record.n)
                expect(record.data == book.records[name].data, "offered other bytes:", name)
            gone = self.found.keys() - offered
            for name in gone - self._have(uplink):
                expect(self._refusal_is_said(uplink, name), f"{uplink} was not offered {name}")
            if flushed and not again:
                known = offered & flushed[-1].settled.get(uplink, frozenset())
                expect(not known, "what is known to be acknowledged is sent again:", known)
            self._in_order(records)

    def _have(self, uplink: str) -> set[Name]:
        return {n for n, op in self.book.acked.get(uplink, {}).items() if op <= self.at}

    def _refusal_is_said(self, uplink: str, name: Name) -> bool:
        if self.book.refused.get(uplink, {}).get(name, NEVER) > self.at:
            return False
        durable = self.promised | self.found.keys()
        return any((uplink, name) in self.book.records[other].refusals for other in durable)

    @staticmethod
    def _in_order(records: Sequence[StoredRecord]) -> None:
        last: dict[tuple[bytes, int], int] = {}
        for record in records:
            lane = (record.epoch, record.lane)
            expect(record.n > last.get(lane, -1), "offered out of order:", record.epoch, record.n)
            last[lane] = record.n

    def judge_numbers(self, *, sign: bool = True) -> None:
        """A device keeps its number, and no number is given to another."""
        state, book = self.box.state, self.book
        flushed = [flush for flush in book.flushes if flush.op <= self.at]
        used = {d for n in self.promised | self.found.keys() for d in book.records[n].devices}
        if flushed:
            for device, number in flushed[-1].devices.items():
                there = state.devices().get(device)
                expect(there == number, f"{device} was number {number} and is {there}")
            seen = state.counter("last-sign-us")
            expect(
                not sign or seen >= flushed[-1].sign,
                "the last sign of life is older than what was flushed",
            )
        for device, number in state.devices().items():
            if number in used:
                expect(book.numbers[number] == device, f"{number} was {book.numbers[number]}'s")
        fresh = state.device_number(f"new-{len(book.epochs)}")
        expect(fresh not in used, f"number {fresh} is given to another device")

    def judge_link(self) -> None:
        """The new epoch names the one before, and how far it came."""
        durable = self.promised | self.found.keys()
        previous, last_n = self.box.link
        if not durable:
            return
        order = {epoch: at for at, epoch in enumerate(self.book.epochs)}
        newest = max(durable, key=lambda name: order[name[0]])[0]
        # A later start whose first commit was torn in the middle: what lies of it counts as a loss.
        torn = {epoch for epoch, (begun, _) in self.book.spent.items() if begun <= self.at}
        later = {epoch for epoch in torn if order[epoch] > order[newest]}
        expect(
            previous in {newest} | later,
            f"the link names {previous!r}, the epoch before was {newest!r}",
        )
        far = max((n for epoch, n in durable if epoch == previous), default=-1)
        most = self.book.spent[previous][1]
        expect(last_n is not None and far <= last_n <= most, f"the link says {last_n}, not {far}")

    def judge_papers(self) -> None:
        """Files of its own are the old ones or the new ones, and whole."""
        book = self.book
        if self.promised and book.papers is not None:
            signer = self.box.identity.signing_key.pem()
            expect((self.box.identity.kek, signer) == book.papers, "the box's own keys changed")
        last = max((i for i, (op, _) in enumerate(book.learnings) if op <= self.at), default=-1)
        versions = [known for _, known in book.learnings[max(last, 0) :]]
        versions += [{}] if last < 0 else []
        expect(self.box.learnings._known in versions, "identities.json is none that was saved")

    def judge_open(self) -> None:
        """What is there can be opened: its grant was durable before it."""
        for name in list(self.found)[-2:]:
            told = self.book.records[name]
            rows = self.box.spool.rows(self.found[name].log, self.found[name].segment)
            assert rows is not None
            lane = rows.lane(self.found[name].row)
            record = StoredRecord(*name, told.key_id, lane, told.data, told.readings)
            expect(self.box.insight.open(record), "nothing in it")

    def book_after(self) -> Book:
        """The book of the disk that was found: what is there is there for good."""
        old, new, box, at = self.book, self.spool_after(), self.box, self.at
        new.now_us = box.clock.now_us
        new.acked, new.refused = (
            {u: {n: 0 for n, op in names.items() if op <= at} for u, names in one.items()}
            for one in (old.acked, old.refused)
        )
        devices = dict(box.state.devices())
        flushed = [flush for flush in old.flushes if flush.op <= at]
        if flushed:
            last = flushed[-1]
            kept = {name: number for name, number in devices.items() if name in last.devices}
            new.flushes = [Flushed(0, kept, box.state.counter("last-sign-us"), last.settled)]
        new.learnings = [(0, dict(box.learnings._known))]
        return new

    def spool_after(self) -> Book:
        """As `book_after`, of the spool alone."""
        old, spool = self.book, self.box.spool
        new = Book(epochs=list(old.epochs), numbers=dict(old.numbers), losses=dict(old.losses))
        new.spent = {
            epoch: (0, highest) for epoch, (begun, highest) in old.spent.items() if begun <= self.at
        }
        for name in self.promised | self.found.keys():
            told = replace(old.records[name], begun=0, promised=0)
            if name in self.found:
                rows = spool.rows(self.found[name].log, self.found[name].segment)
                assert rows is not None
                told.place = (rows.log, rows.serials[self.found[name].row])
            new.records[name] = told
        new.know(spool.losses(), 0)
        new.torn = {**old.torn, **{loss.account: loss.records for loss in spool.losses()}}
        return new
