"""The press: batches become sealed records, and records become durable. Runs in the writer's thread.

Numbering, encoding, compressing and sealing happen here and nowhere else. A batch is sealed once: a
commit that is tried again stores the same bytes under the same n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.envelope.payload import PayloadBuilder
from headgate.envelope.record import Sealer
from headgate.model import Block, EpochLink, Item, Lane, Plan
from headgate.runtime.batch import Batch, Committed
from headgate.runtime.keyring import Keyring
from headgate.spool import ClearIndex, Loss, Position, SealedRecord


class Store(Protocol):
    """What the press needs of the spool."""

    def losses(self) -> Sequence[Loss]:
        """Losses that no durable gap names yet."""
        ...

    def commit(self, records: Sequence[SealedRecord]) -> Sequence[Position]:
        """Make records durable, all or (SpoolError) none."""
        ...


class KnownTable(msgspec.Struct, frozen=True):
    """A point table as it is announced, and how many points it has."""

    data: bytes
    points: int


class Sealing(msgspec.Struct, frozen=True):
    """The epoch that is being written: its name, its boot, and what came before."""

    epoch: bytes
    boot: bytes
    previous: bytes | None
    last_n: int | None


class SealingPress:
    """Seals and commits batches of one epoch."""

    def __init__(
        self, env: Env, provider: CryptoProvider, keyring: Keyring, store: Store, sealing: Sealing
    ) -> None:
        self._env = env
        self._keyring = keyring
        self._store = store
        self._sealing = sealing
        self._sealer = Sealer(provider)
        self._n = 0
        self._tables: dict[bytes, KnownTable] = {}
        self._announced: set[bytes] = set()
        self._again: set[bytes] = set()

    def learn(self, name: bytes, table: KnownTable) -> None:
        """Know a table that blocks will name, before the first of them comes."""
        self._tables[name] = table

    def announce_again(self, name: bytes) -> bool:
        """Carry this table in the next record, because the platform asked; False when it is not known."""
        if name not in self._tables:
            return False
        self._again.add(name)
        return True

    def commit(self, batches: Sequence[Batch]) -> Committed:
        """Seal what is not sealed yet, and commit everything in order."""
        losses = list(self._store.losses())
        for batch in batches:
            if batch.record is None:
                # Gaps of losses ride with the first record of live data; loss and gap become durable together.
                with_losses = losses if batch.lane is Lane.LIVE else []
                batch.record = self._seal(batch, with_losses)
                if with_losses:
                    losses = []
        records = [batch.record for batch in batches if batch.record is not None]
        return Committed(records, self._store.commit(records))

    def _seal(self, batch: Batch, losses: Sequence[Loss]) -> SealedRecord:
        sealing = self._sealing
        now = self._env.clock.boottime_us()
        builder = PayloadBuilder(sealing.boot)
        tally = _Tally(self._tables)
        if self._n == 0:
            builder.add(EpochLink(sealing.previous, sealing.last_n, sealing.boot, now))
        for loss in losses:
            for gap in loss.gaps(now, sealing.boot):
                builder.add(gap)
        for item in batch.items:
            builder.add(item)
            tally.see(item)
        wanted = tally.tables - self._announced
        while self._again:
            wanted.add(self._again.pop())
        for name in sorted(wanted):
            known = self._tables.get(name)
            if known is not None:
                builder.announce(known.data)
                self._announced.add(name)
        key = self._keyring.current()
        n, self._n = self._n, self._n + 1
        data = self._sealer.seal(key, sealing.epoch, n, builder.close())
        return SealedRecord(
            epoch=sealing.epoch,
            n=n,
            key_id=key.key_id,
            lane=batch.lane,
            data=data,
            index=ClearIndex(
                readings=tally.readings,
                first_us=now if tally.first_us is None else tally.first_us,
                last_us=now if tally.last_us is None else tally.last_us,
                boot=sealing.boot,
                devices=tuple(tally.devices.items()),
                origins=tuple(tally.origins),
                accounts=tuple(loss.account for loss in losses),
            ),
        )


class _Tally:
    """What the clear index says of a record."""

    def __init__(self, tables: dict[bytes, KnownTable]) -> None:
        self._known = tables
        self.tables: set[bytes] = set()
        self.devices: dict[int, int] = {}
        self.origins: list[bytes] = []
        self.readings = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def see(self, item: Item) -> None:
        if type(item) is Plan:
            self.tables.add(item.table)
            return
        if type(item) is not Block:
            return
        name = item.table
        assert isinstance(name, bytes)
        self.tables.add(name)
        known = self._known.get(name)
        if item.presence is not None:
            count = int.from_bytes(item.presence, "little").bit_count()
        else:
            count = known.points if known else 0
        self.readings += count
        self.devices[item.device] = self.devices.get(item.device, 0) + count
        at = item.at_us
        if self.first_us is None or at < self.first_us:
            self.first_us = at
        if self.last_us is None or at > self.last_us:
            self.last_us = at
        if item.origin is not None:
            self.origins.append(item.origin.digest)
