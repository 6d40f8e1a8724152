"""What waits for the next commit: items by lane, their size, and who waits for them to be durable."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from headgate.errors import SpoolError
from headgate.model import Block, Item, Lane
from headgate.spool import Position, SealedRecord

#: What an item weighs beside its columns, roughly, once encoded.
ITEM_BYTES = 48


def weight(item: Item) -> int:
    """About how many bytes an item takes in a record. Cheap: exactness is the spool's matter."""
    if type(item) is not Block or item.columns is None:
        return ITEM_BYTES * 2
    size = ITEM_BYTES
    for column in item.columns:
        size += len(column) if isinstance(column, bytes) else sum(len(v) for v in column)
    return size


class Batch:
    """Items of one lane that will be sealed together, and the futures that wait for them."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.items: list[Item] = []
        self.bytes = 0
        self.waiters: list[asyncio.Future[None]] = []
        #: Whether something inside should not wait for the tick.
        self.urgent = False
        #: The records it became. Sealed once: a commit that is tried again stores the same bytes.
        self.records: tuple[SealedRecord, ...] = ()

    def add(self, item: Item, size: int) -> None:
        """Append one item that weighs `size`."""
        self.items.append(item)
        self.bytes += size

    def settle(self, error: BaseException | None) -> None:
        """Tell everybody who waits what became of it."""
        for waiter in self.waiters:
            if not waiter.done():
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)
        self.waiters.clear()


class Committed(NamedTuple):
    """What one commit made durable, and where it lies, in the same order.

    With a `refusal` it is not durable: the disk took nothing, and it is held in memory until it does.
    """

    records: Sequence[SealedRecord]
    positions: Sequence[Position]
    refusal: SpoolError | None = None


class Queue:
    """Batches in order: closed ones wait for the next commit, one per lane is open.

    Bounded by bytes, over everything that is not durable yet: `room` is what the pollers look at.
    """

    def __init__(self, record_bytes: int, limit_bytes: int) -> None:
        self.record_bytes = record_bytes
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._open = {lane: Batch(lane) for lane in (Lane.ALARM, Lane.LIVE)}
        self._closed: list[Batch] = []

    @property
    def full(self) -> bool:
        """Whether nothing more may be put in."""
        return self.bytes >= self.limit_bytes

    @property
    def due(self) -> bool:
        """Whether a whole record is ready and should not wait for the tick."""
        return bool(self._closed)

    @property
    def urgent(self) -> bool:
        """Whether something waits that should not wait for the tick: an alarm, a waiter, a whole record."""
        opened = self._open.values()
        return bool(self._closed or any(batch.urgent or batch.waiters for batch in opened))

    @property
    def waiting(self) -> list[Batch]:
        """Every batch that holds anything."""
        return self._closed + [batch for batch in self._open.values() if batch.items]

    def put(self, item: Item, lane: Lane = Lane.LIVE, *, urgent: bool = False) -> Batch:
        """Append an item; gives the batch it is in."""
        batch = self._open[lane]
        size = weight(item)
        batch.add(item, size)
        batch.urgent = batch.urgent or urgent
        self.bytes += size
        if batch.bytes >= self.record_bytes:
            self._closed.append(batch)
            self._open[lane] = Batch(lane)
        return batch

    def last(self) -> Batch | None:
        """The youngest batch that holds anything: who waits for it waits for everything before."""
        live, alarm = self._open[Lane.LIVE], self._open[Lane.ALARM]
        if live.items:
            return live
        if alarm.items:
            return alarm
        return self._closed[-1] if self._closed else None

    def take(self) -> Sequence[Batch]:
        """Everything that waits, alarms first; it stays counted until `done` or `back`."""
        batches = self.waiting
        self._closed = []
        self._open = {lane: Batch(lane) for lane in self._open}
        batches.sort(key=lambda b: b.lane)
        return batches

    def done(self, batches: Sequence[Batch]) -> None:
        """These are durable: their room is free again."""
        self.bytes -= sum(b.bytes for b in batches)

    def back(self, batches: Sequence[Batch]) -> None:
        """These could not be committed: they go first next time."""
        self._closed = list(batches) + self._closed
