"""Which serials of a log are gone for a known reason, so that everything else that is missing is a loss.

A log counts its records from 0 and never uses a serial twice. Every serial is then either in a segment,
or let go (settled everywhere, or its loss is said in a gap that is itself durable), or lost. The ledger
holds the middle part as ranges with the running totals at both ends, which makes every loss a subtraction.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence

import msgspec

from headgate.spool.newest import End
from headgate.spool.records import Account, Loss
from headgate.spool.segment import ZERO


class Gone(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Serials [first, end), with the running totals before the first and after the last."""

    first: int
    end: int
    before: tuple[int, ...]
    after: tuple[int, ...]


class Carrier(msgspec.Struct, frozen=True, array_like=True):
    """The record that tells of a loss, by its serial in this log. Its clear index has the devices."""

    serial: int
    account: Account


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    log_id: bytes
    serial: int
    totals: tuple[int, ...]
    gone: tuple[Gone, ...]
    pending: tuple[Loss, ...]
    carriers: tuple[Carrier, ...] = ()
    newest: End | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Saved).decode


class Ledger:
    """The serials that are gone, the losses that no durable gap names yet, and which records name the others.

    `serial` and `totals` are a floor for what the log has committed: known when the ledger was written.
    """

    def __init__(self, log_id: bytes = b"") -> None:
        self.log_id = log_id
        self.serial = 0
        self.totals: tuple[int, ...] = ZERO
        #: The newest record that this log ever held, as far as is known: it may be gone.
        self.newest: End | None = None
        self._gone: list[Gone] = []
        self._pending: list[Loss] = []
        # Told by a record that lies in memory only: not said again, and on record until that is durable.
        self._half_told: list[Loss] = []
        self._carriers: list[Carrier] = []
        # Lost themselves; on record until what they had told is pending again, maybe in the other log.
        self._lost_carriers: list[Carrier] = []

    def copy(self) -> Ledger:
        """The same again, to go back to."""
        ledger = Ledger(self.log_id)
        ledger.serial, ledger.totals, ledger.newest = self.serial, self.totals, self.newest
        ledger._gone, ledger._pending = list(self._gone), list(self._pending)
        ledger._half_told = list(self._half_told)
        ledger._carriers = list(self._carriers)
        return ledger

    def reached(self, end: End) -> None:
        """A record of this log was seen, or committed."""
        if self.newest is None or end > self.newest:
            self.newest = end

    @property
    def pending(self) -> Sequence[Loss]:
        """Losses to be said, oldest first."""
        return tuple(self._pending)

    def let_go(self, gone: Gone) -> None:
        """Nobody will miss these serials. Overlaps and neighbours join."""
        if gone.first >= gone.end:
            return
        at = bisect_left(self._gone, gone.first, key=lambda have: have.first)
        if at and self._gone[at - 1].end >= gone.first:
            at -= 1
        until = at
        while until < len(self._gone) and self._gone[until].first <= gone.end:
            have = self._gone[until]
            # Where both begin or end alike, known totals win over unknown ones.
            if have.first < gone.first or (have.first == gone.first and not gone.before):
                gone = Gone(have.first, gone.end, have.before, gone.after)
            if have.end > gone.end or (have.end == gone.end and not gone.after):
                gone = Gone(gone.first, have.end, gone.before, have.after)
            until += 1
        self._gone[at:until] = [gone]

    def lose(self, loss: Loss, gone: Gone) -> None:
        """These serials are lost; the loss is pending until a durable record accounts for it."""
        self.add(loss)
        self.let_go(gone)

    def add(self, loss: Loss) -> None:
        """One more loss to be said; its serials are gone already."""
        self._pending.append(loss)

    def unsay(self, loss: Loss) -> None:
        """The record that told of this loss is lost itself: it is to be said again."""
        self._half_told = [each for each in self._half_told if each.account != loss.account]
        if not any(_includes(each, loss.account) for each in self._pending):
            self.add(loss)

    # ------------------------------------------------------------ who tells of what

    def tell(self, serial: int, account: Account) -> None:
        """A record of this log, of any log's loss, tells of it: should nobody be able to read it one day."""
        carrier = _carrier(serial, account)
        if carrier is not None and carrier not in self._carriers:
            self._carriers.append(carrier)

    def tells(self, account: Account) -> bool:
        """Whether a record of this log that is here tells of it."""
        return any(each.account == account for each in self._carriers)

    def untell(self, serials: Container[int]) -> Sequence[Carrier]:
        """These records go; what they told of."""
        going = [each for each in self._carriers if each.serial in serials]
        if going:
            self._carriers = [each for each in self._carriers if each.serial not in serials]
        return going

    def carriers_found(
        self, found: Iterable[tuple[int, Account]], unknown: Container[int]
    ) -> Sequence[Account]:
        """Of these records a start knows what they tell; what those told of that it did not find.

        Args:
            unknown: serials of records that are here, and whose clear index is not.
        """
        here = [each for pair in found if (each := _carrier(*pair)) is not None]
        names = {(each.serial, each.account) for each in here}
        others = [each for each in self._carriers if (each.serial, each.account) not in names]
        self._carriers = here + [each for each in others if each.serial in unknown]
        self._lost_carriers = [each for each in others if each.serial not in unknown]
        return [each.account for each in self._lost_carriers]

    def forget_lost_carriers(self) -> bool:
        """What they told of is pending again, on record; whether there were any."""
        lost, self._lost_carriers = self._lost_carriers, []
        return bool(lost)

    def accounted(self, account: Account, *, durable: bool = True) -> None:
        """A record holds the gap of this loss; `durable` says whether it is on disk."""
        if not durable:
            self._half_told += [loss for loss in self._pending if loss.account == account]
        self._pending = [loss for loss in self._pending if loss.account != account]

    def all_durable(self) -> None:
        """No record lies in memory only any more."""
        self._half_told.clear()

    def missing(
        self, first: int, before: tuple[int, ...], end: int, after: tuple[int, ...]
    ) -> Iterator[Gone]:
        """The parts of [first, end) that are not gone for a known reason, with the totals around them."""
        for gone in self._gone:
            if gone.end <= first:
                continue
            if gone.first >= end:
                break
            if gone.first > first:
                yield Gone(first, gone.first, before, gone.before)
            first, before = gone.end, gone.after
        if first < end:
            yield Gone(first, end, before, after)

    def covers(self, serial: int) -> bool:
        """Whether this one serial is gone."""
        if not self._gone or serial >= self._gone[-1].end:
            return False
        at = bisect_left(self._gone, serial + 1, key=lambda have: have.first)
        return at > 0 and self._gone[at - 1].end > serial

    def end(self) -> tuple[int, tuple[int, ...]]:
        """The furthest serial (and totals) that this ledger has heard of."""
        furthest = (self.serial, self.totals)
        if self._gone and self._gone[-1].end > furthest[0]:
            furthest = (self._gone[-1].end, self._gone[-1].after)
        return furthest

    def encode(self) -> bytes:
        """The ledger as bytes, with a checksum."""
        saved = _Saved(
            self.log_id, self.serial, self.totals, tuple(self._gone), (*self._half_told, *self._pending),
            (*self._carriers, *self._lost_carriers), self.newest,
        )  # fmt: skip
        body = _encode(saved)
        return zlib.crc32(body).to_bytes(4, "big") + body

    @staticmethod
    def decode(data: bytes) -> Ledger | None:
        """A ledger from its bytes, None when they are damaged."""
        if len(data) < 4 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            return None
        try:
            saved = _decode(data[4:])
        except msgspec.MsgspecError:
            return None
        ledger = Ledger(saved.log_id)
        ledger.serial, ledger.totals, ledger.newest = saved.serial, saved.totals, saved.newest
        ledger._gone = list(saved.gone)
        ledger._pending = list(saved.pending)
        ledger._carriers = list(saved.carriers)
        return ledger


def _carrier(serial: int, account: Account) -> Carrier | None:
    told = account.told
    if told is None:
        return None
    brief = msgspec.structs.replace(told, devices=())
    return Carrier(serial, Account(account.log, account.first, account.end, told=brief))


def _includes(loss: Loss, account: Account) -> bool:
    """Whether saying the one says the other: the same, or all that lay in a wider stretch."""
    mine = loss.account
    if mine == account:
        return True
    whole = loss.records == mine.end - mine.first
    return whole and mine.first <= account.first < account.end <= mine.end
