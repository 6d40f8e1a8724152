"""Which serials of a log are gone for a known reason, so that everything else that is missing is a loss.

A log counts its records from 0 and never uses a serial twice. Every serial is then either in a segment,
or let go (settled everywhere, or its loss is said in a gap that is itself durable), or lost. The ledger
holds the middle part as ranges with the running totals at both ends, which makes every loss a subtraction.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec

from headgate.spool.records import Account, Loss
from headgate.spool.segment import ZERO


class Gone(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Serials [first, end), with the running totals before the first and after the last."""

    first: int
    end: int
    before: tuple[int, ...]
    after: tuple[int, ...]


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    log_id: bytes
    serial: int
    totals: tuple[int, ...]
    gone: tuple[Gone, ...]
    pending: tuple[Loss, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Saved).decode


class Ledger:
    """The serials that are gone, and the losses that no durable gap names yet.

    `serial` and `totals` are a floor for what the log has committed: known when the ledger was written.
    """

    def __init__(self, log_id: bytes = b"") -> None:
        self.log_id = log_id
        self.serial = 0
        self.totals: tuple[int, ...] = ZERO
        self._gone: list[Gone] = []
        self._pending: list[Loss] = []

    def copy(self) -> Ledger:
        """The same again, to go back to."""
        ledger = Ledger(self.log_id)
        ledger.serial, ledger.totals = self.serial, self.totals
        ledger._gone, ledger._pending = list(self._gone), list(self._pending)
        return ledger

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
        if all(each.account != loss.account for each in self._pending):
            self.add(loss)

    def accounted(self, account: Account) -> None:
        """A durable record holds the gap of this loss."""
        self._pending = [loss for loss in self._pending if loss.account != account]

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
            self.log_id, self.serial, self.totals, tuple(self._gone), tuple(self._pending)
        )
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
        ledger.serial, ledger.totals = saved.serial, saved.totals
        ledger._gone = list(saved.gone)
        ledger._pending = list(saved.pending)
        return ledger
