"""An outbox in memory: records in order, an account of what became of each, receipts signed with "ok"."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from headgate.model import Item, Lane, PointTable
from headgate.sdk import Acknowledged, Outbox, SecurityError, StoredRecord

EPOCH = bytes.fromhex("0011223344556677")
KEY = b"key-0001"
BOOT = bytes(range(16))


def record(n: int, *, key: bytes = KEY, data: bytes | None = None) -> StoredRecord:
    """A record that is told apart by its bytes."""
    return StoredRecord(EPOCH, n, key, Lane.LIVE, data or b"record %d" % n, 1)


def receipt(
    *stored: tuple[int, int],
    floor: int = 0,
    verdicts: Sequence[tuple[int, int, object]] = (),
    signature: bytes = b"ok",
) -> bytes:
    """A receipt in the form of the wire."""
    body = ["headgate-receipt-v1", "gate-7", EPOCH, 1, floor, list(stored), list(verdicts), []]
    return b"HG\x03\x01" + msgspec.msgpack.encode([msgspec.msgpack.encode(body), signature])


class MemoryOutbox(Outbox):
    """What a spool would do, without one. `settled`, `refused` and `given_back` are the account."""

    def __init__(
        self,
        records: Iterable[StoredRecord] = (),
        *,
        opened: Mapping[int, Sequence[Item]] | None = None,
        tables: Iterable[tuple[bytes, PointTable]] = (),
        wall: int | None = None,
    ) -> None:
        self.waiting: list[StoredRecord] = list(records)
        self.in_flight: dict[tuple[bytes, int], StoredRecord] = {}
        self.settled: set[int] = set()
        self.refused: dict[int, str] = {}
        self.given_back: list[int] = []
        self.was_sent: list[int] = []
        self.keys: dict[bytes, bytes] = {KEY: b"grant " + KEY}
        self.opened = opened
        self.tables = dict(tables)
        self.wall = wall
        #: What an earlier start settled, oldest first.
        self.kept: list[StoredRecord] = []
        self.boots: dict[bytes, bytes] = {EPOCH: BOOT}
        self._changed = asyncio.Event()

    def put(self, *records: StoredRecord) -> None:
        """More to send."""
        self.waiting.extend(records)
        self._changed.set()

    async def until_settled(self, *ns: int) -> None:
        """Wait until these have been settled."""
        while not self.settled.issuperset(ns):
            self._changed.clear()
            await self._changed.wait()

    async def until_so_many_settled(self, count: int) -> None:
        """Wait until at least so many have been settled."""
        while len(self.settled) < count:
            self._changed.clear()
            await self._changed.wait()

    async def until_refused(self, *ns: int) -> None:
        """Wait until these have been refused for good."""
        while not self.refused.keys() >= set(ns):
            self._changed.clear()
            await self._changed.wait()

    async def until_given_back(self, n: int) -> None:
        """Wait until this one was given back at least once."""
        while n not in self.given_back:
            self._changed.clear()
            await self._changed.wait()

    async def take(self, limit: int) -> Sequence[StoredRecord]:
        assert limit > 0
        while not self.waiting:
            self._changed.clear()
            await self._changed.wait()
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.in_flight.update({(each.epoch, each.n): each for each in taken})
        return taken

    def sent(self, records: Sequence[StoredRecord]) -> None:
        self.was_sent.extend(each.n for each in records)
        self._changed.set()

    def settle(self, records: Sequence[StoredRecord]) -> None:
        for each in records:
            self._settle(each.epoch, each.n)

    def _settle(self, epoch: bytes, n: int) -> int:
        fresh = n not in self.settled
        self.in_flight.pop((epoch, n), None)
        self.waiting = [each for each in self.waiting if each.n != n]
        self.settled.add(n)
        self._changed.set()
        return fresh

    def give_back(self, records: Sequence[StoredRecord]) -> None:
        back = [e for e in records if self.in_flight.pop((e.epoch, e.n), None) is not None]
        self.waiting = sorted([*back, *self.waiting], key=lambda each: each.n)
        self.given_back.extend(each.n for each in back)
        self._changed.set()

    def refuse(self, record: StoredRecord, reason: str) -> None:
        self.in_flight.pop((record.epoch, record.n), None)
        self.refused[record.n] = reason
        self._changed.set()

    def receipt(self, message: bytes) -> Acknowledged:
        body, signature = msgspec.msgpack.decode(message[4:])
        if signature != b"ok":
            raise SecurityError("not signed by the receipt key", code="HG-6003")
        _, _, epoch, _, floor, stored, verdicts, _ = msgspec.msgpack.decode(body)
        count = 0
        for first, last in [(0, floor - 1), *stored]:
            count += sum(self._settle(epoch, n) for n in range(first, last + 1))
        refused = [(epoch, n, detail) for n, code, detail in verdicts if code == 1]
        for _, n, reason in refused:
            self.refused[n] = reason
            self.in_flight.pop((epoch, n), None)
        grants = tuple(detail for _, code, detail in verdicts if code == 2)
        return Acknowledged(count, grants, (), tuple(refused))

    def grants(self) -> Sequence[tuple[bytes, bytes]]:
        needed = dict.fromkeys(each.key_id for each in self.waiting)
        return [(key, self.keys[key]) for key in needed if key in self.keys]

    def grant(self, key_id: bytes) -> bytes | None:
        return self.keys.get(key_id)

    def open(self, record: StoredRecord) -> Sequence[Item]:
        if self.opened is None:
            raise SecurityError("no local wrap of this key", code="HG-6000")
        return self.opened[record.n]

    def earlier(self, since_us: int) -> Iterator[StoredRecord]:
        return reversed(list(self.kept))

    def boot(self, epoch: bytes) -> bytes | None:
        return self.boots.get(epoch)

    def table(self, digest: bytes) -> PointTable | None:
        return self.tables.get(digest)

    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        assert boot == BOOT
        return None if self.wall is None else self.wall + at_us
