"""The press: batches become sealed records, and records become durable. Runs in the writer's thread.

Numbering, encoding, compressing and sealing happen here and nowhere else. A batch is sealed once: a
commit that is tried again stores the same bytes under the same n.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.envelope.payload import PayloadBuilder, decode_payload
from headgate.envelope.record import Sealer
from headgate.errors import SpoolError
from headgate.model import Block, EpochLink, Gap, GapReason, Item, Lane
from headgate.runtime.batch import Batch, Committed
from headgate.runtime.keyring import Keyring
from headgate.spool import Account, ClearIndex, Loss, Position, SealedRecord

log = logging.getLogger(__name__)

#: Tables that ride in one record: 1,000 devices announce 5 MB at a start, more than a record holds.
ANNOUNCED_BYTES = 512 * 1024
#: A record's items stay below this, so that with tables (the largest is 1 MiB) they fit its 2 MiB.
LARGEST_PAYLOAD = 1_280 * 1024
LARGEST_ITEM = 1_088 * 1024


class Store(Protocol):
    """What the press needs of the spool."""

    def losses(self) -> Sequence[Loss]:
        """Losses that no durable gap names yet."""
        ...

    def commit(self, records: Sequence[SealedRecord]) -> Sequence[Position]:
        """Make records durable, all or (SpoolError) none."""
        ...


class Ring(Protocol):
    """Memory for records while the disk refuses."""

    def hold(self, records: Sequence[SealedRecord]) -> Sequence[Position]:
        """Keep records that are not durable, and give up the oldest for them. Raises SpoolError."""
        ...

    def come_back(self, *, now: bool = False) -> None:
        """Make durable what is kept, also where the disk has refused a moment ago. Raises SpoolError."""
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
    """Seals and commits batches of one epoch.

    With a `ring` what the disk refuses is held there; without one it is refused to whoever commits.
    """

    def __init__(
        self,
        env: Env,
        provider: CryptoProvider,
        keyring: Keyring,
        store: Store,
        sealing: Sealing,
        ring: Ring | None = None,
    ) -> None:
        self._env = env
        self._keyring = keyring
        self._store = store
        self._ring = ring
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
        """Seal what is not sealed yet, and commit everything in order.

        Raises:
            SpoolError: nothing of this is durable, nor is it held.
        """
        # A record that is tried again carries its losses already; saying them twice would double them.
        riding = {account for b in batches for r in b.records for account in r.index.accounts}
        losses = [loss for loss in self._store.losses() if loss.account not in riding]
        for batch in batches:
            if not batch.records:
                # Gaps of losses ride with the first record of live data: durable together, or not at all.
                with_losses = losses if batch.lane is Lane.LIVE else []
                batch.records = self._seal(batch, with_losses)
                if with_losses:
                    losses = []
        records = [record for batch in batches for record in batch.records]
        try:
            self._grants_written()
            return Committed(records, self._store.commit(records))
        except SpoolError as refusal:
            if self._ring is None:
                raise
            return Committed(records, self._ring.hold(records), refusal)

    def come_back(self, *, now: bool = False) -> None:
        """Make durable what is held in memory. Raises SpoolError while the disk refuses."""
        if self._ring is not None:
            self._grants_written()
            self._ring.come_back(now=now)

    def _grants_written(self) -> None:
        # On disk before the first record of its key can be: without it nobody could open the record.
        if not self._keyring.written():
            raise SpoolError("the grant of a key could not be written")

    def _seal(self, batch: Batch, losses: Sequence[Loss]) -> tuple[SealedRecord, ...]:
        """The records of one batch: one, and before it others where its tables are too big to ride along.

        Whatever can fail comes before the first n is spent and before anything counts as announced, so
        that a batch that is tried again lacks nothing.
        """
        sealing = self._sealing
        now = self._env.clock.boottime_us()
        gaps = [gap for loss in losses for gap in loss.gaps(now, sealing.boot)]
        said: list[Item] = [*gaps, *batch.items]
        asked = set(self._again)
        parcels: list[list[bytes]] = [[]]
        wanted = ((self._tables_of(said) - self._announced) | asked) & self._tables.keys()
        for name in sorted(wanted):
            if sum(len(self._tables[n].data) for n in parcels[-1]) >= ANNOUNCED_BYTES:
                parcels.append([])
            parcels[-1].append(name)
        parts: list[tuple[bytes, _Tally]] = []
        for parcel in parcels:
            first = self._n == 0 and not parts
            head = [EpochLink(sealing.previous, sealing.last_n, sealing.boot, now)] if first else []
            items = said if parcel is parcels[-1] else []
            parts.append(self._payload([*head, *items], parcel))
        keys = [self._keyring.current(unwritten=self._ring is not None) for _ in parts]
        records: list[SealedRecord] = []
        for (payload, tally), key in zip(parts, keys, strict=True):
            last = len(records) + 1 == len(parts)
            n, self._n = self._n, self._n + 1
            if key.core is None:
                data = self._sealer.seal(key, sealing.epoch, n, payload)
            else:
                chain = self._keyring.chain
                data = self._sealer.seal_signed(key, sealing.epoch, n, payload, chain)
            records.append(
                SealedRecord(
                    epoch=sealing.epoch,
                    n=n,
                    key_id=key.key_id,
                    lane=batch.lane,
                    data=data,
                    index=tally.index(
                        now, sealing.boot, tuple(x.carried for x in losses) if last else ()
                    ),
                )
            )
        self._announced |= wanted
        self._again -= asked
        return tuple(records)

    def _tables_of(self, items: Iterable[Item]) -> set[bytes]:
        # A plan names its table, too, but need not wait for it: the looks that it promises bring it.
        return {
            item.table for item in items if isinstance(item, Block) and type(item.table) is bytes
        }

    def _payload(self, items: Sequence[Item], announce: Iterable[bytes]) -> tuple[bytes, _Tally]:
        try:
            return self._encode(items, announce)
        except Exception as error:
            # A plugin's stage or driver made something that no record can hold. Committing it again would
            # fail again, for ever: what cannot be kept is told as a gap, and the rest goes on.
            log.exception("an item cannot be encoded", extra={"reason": str(error)})
        return self._encode([self._sound(item) for item in items], announce)

    def _encode(self, items: Iterable[Item], announce: Iterable[bytes]) -> tuple[bytes, _Tally]:
        builder = PayloadBuilder(self._sealing.boot)
        tally = _Tally(self._tables)
        for item in items:
            builder.add(item)
            tally.see(item)
        if builder.size > LARGEST_PAYLOAD:
            raise ValueError(f"{builder.size} bytes of items in one record")
        for name in announce:
            builder.announce(self._tables[name].data)
        return builder.close(), tally

    def _sound(self, item: Item) -> Item:
        """The item, or a gap in its place when no record can hold it."""
        try:
            payload, _ = self._encode([item], ())
            if len(payload) > LARGEST_ITEM:
                raise ValueError(f"{len(payload)} bytes, {LARGEST_ITEM} allowed")
            decode_payload(payload)
        except Exception as error:  # noqa: BLE001 - whatever a plugin made of it
            now = self._env.clock.boottime_us()
            device = getattr(item, "device", 0)
            known = type(device) is int and 0 <= device < 1 << 31
            looks = 1 if type(item) is Block else None
            reason = f"{type(error).__name__}: {error}"[:200]
            return Gap(
                device if known else 0, GapReason.REFUSED, now, now, looks, None, text=reason
            )
        return item


class _Tally:
    """What the clear index says of a record."""

    def __init__(self, tables: dict[bytes, KnownTable]) -> None:
        self._known = tables
        self.devices: dict[int, int] = {}
        self.origins: list[bytes] = []
        self.readings = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def see(self, item: Item) -> None:
        if type(item) is not Block:
            return
        name = item.table
        assert isinstance(name, bytes)
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

    def index(self, now: int, boot: bytes, accounts: tuple[Account, ...]) -> ClearIndex:
        return ClearIndex(
            readings=self.readings,
            first_us=now if self.first_us is None else self.first_us,
            last_us=now if self.last_us is None else self.last_us,
            boot=boot,
            devices=tuple(self.devices.items()),
            origins=tuple(self.origins),
            accounts=accounts,
        )
