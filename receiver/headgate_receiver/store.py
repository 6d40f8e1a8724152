"""What a store must do for the receiver, and what it is handed.

A `Sink` keeps readings *and* the receiver's own memory (grants, tables, what is settled) in one
transaction: that is why a receipt can promise what it promises. SQLite and JSON lines are here; your
own database is a class with these methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from headgate.envelope.payload import Unknown
from headgate.envelope.ranges import RangeSet
from headgate.envelope.record import RecordKey
from headgate.errors import HeadgateError
from headgate.model import Item, PointTable, Value


class StoreError(HeadgateError):
    """The store could not commit: nothing of the batch is kept, nothing is acknowledged."""

    retryable = True
    default_code = "HG-7010"


class StoredGrant(msgspec.Struct, frozen=True):
    """A record key and whose it is."""

    gateway: str
    epoch: bytes
    key: RecordKey
    core: bytes
    certificate: bytes
    signer: bytes = b""
    """The gateway's public key (SubjectPublicKeyInfo)."""
    der: bytes = b""
    """Its certificate."""


class Look(msgspec.Struct, frozen=True):
    """One block, read with its table: parallel lists, one entry per point that is present.

    `raws` are as the device gave them, `values` converted (None where there is none to trust).
    """

    table: bytes
    device: int
    at_us: int
    slot: int | None
    device_time_us: int | None
    points: Sequence[int]
    """Positions in the table."""
    raws: Sequence[Value]
    values: Sequence[Value]
    qualities: Sequence[int]
    statuses: Sequence[int]
    offsets_us: Sequence[int] | None


class SignedRecord(msgspec.Struct, frozen=True):
    """What of a signed record convinces somebody else: all that was signed, and the signature.

    With the gateway's certificate and the grant's core, anybody can check it (uplink.md, section 5).
    """

    link: bytes
    previous: bytes
    signature: bytes
    header: bytes
    lengths: bytes
    frame: bytes


class OpenRecord(msgspec.Struct, frozen=True):
    """A record to be stored: checked, opened, read."""

    gateway: str
    epoch: bytes
    n: int
    boot: bytes
    received_us: int
    looks: Sequence[Look]
    items: Sequence[Item]
    """Everything that is no block."""
    unknown: Sequence[Unknown]
    signed: SignedRecord | None = None
    """None: that it is the gateway's rests on the seal, whose key this platform has alone."""


class NewTable(msgspec.Struct, frozen=True):
    """An announced table, seen for the first time."""

    digest: bytes
    body: bytes
    table: PointTable


class Held(msgspec.Struct, frozen=True):
    """A record that waits: for a grant (`epoch || key id`) or for a table (its SM3)."""

    digest: bytes
    sender: str
    waits_for: bytes
    data: bytes


class Refusal(msgspec.Struct, frozen=True):
    """What was not taken. `gateway` is None where nothing proves whose it is."""

    kind: str
    sender: str
    code: str
    reason: str
    gateway: str | None = None
    epoch: bytes | None = None
    n: int | None = None


class Fork(msgspec.Struct, frozen=True):
    """One gateway lives twice, or began anew: what `forks.py` says of it.

    `previous` is the epoch that all of `epochs` follow, None where they know none; of a `chain-fork` the
    epoch in which record `n` does not fit.
    """

    gateway: str
    previous: bytes | None
    epochs: tuple[bytes, ...]
    code: str = "epoch-fork"
    n: int | None = None


class Before(msgspec.Struct, frozen=True):
    """The epoch before another one, as that one's epoch link says. `last_n`: the last n committed there."""

    previous: bytes
    last_n: int | None


class Batch(msgspec.Struct):
    """Everything that one commit must make durable, or nothing of it."""

    received_us: int
    grants: list[StoredGrant] = []
    tables: list[NewTable] = []
    records: list[OpenRecord] = []
    held: list[Held] = []
    released: list[bytes] = []
    refusals: list[Refusal] = []
    forks: list[Fork] = []

    @property
    def empty(self) -> bool:
        """Nothing to commit."""
        return not (
            self.grants or self.tables or self.records or self.held or self.released
            or self.refusals or self.forks
        )  # fmt: skip


class Sink(Protocol):
    """A transactional store. Calls never overlap; `commit` may come from another thread.

    Lookups answer from what is committed; the receiver keeps in mind what it has not committed yet.
    """

    def changed(self) -> bool:
        """Whether the contents changed behind the receiver's back since the last call (wiped, restored)."""
        ...

    def grants(self, epoch: bytes, key_id: bytes) -> Sequence[StoredGrant]:
        """Grants of this key id: one, unless somebody imitates a key id."""
        ...

    def newest_keys(self, gateway: str, most: int) -> Sequence[tuple[bytes, bytes]]:
        """(epoch, key id) of the grants of a gateway that came last, the newest first."""
        ...

    def table(self, digest: bytes) -> bytes | None:
        """The announced form of a table."""
        ...

    def stored(self, gateway: str, epoch: bytes) -> RangeSet:
        """Which n of an epoch are committed."""
        ...

    def refusal(self, gateway: str, epoch: bytes, n: int) -> str | None:
        """Why a record was refused for good; None when it was not."""
        ...

    def refused(self, gateway: str, epoch: bytes) -> Sequence[int]:
        """Every n of an epoch that was refused for good."""
        ...

    def successors(self, gateway: str, previous: bytes | None) -> Sequence[bytes]:
        """Epochs of this gateway whose link names `previous` as the one before; None: names none."""
        ...

    def end(self, gateway: str, epoch: bytes) -> int | None:
        """The lowest last n that a later epoch's link names of this one; None while there is none."""
        ...

    def before(self, gateway: str, epoch: bytes) -> Before | None:
        """What the epoch link of this epoch says; None while it is not here, or for the first epoch."""
        ...

    def link(self, gateway: str, epoch: bytes, n: int) -> tuple[bytes, bytes] | None:
        """Of a stored record that is signed: its link, and the link that it names before it."""
        ...

    def held(self) -> Sequence[Held]:
        """All records that wait."""
        ...

    def commit(self, batch: Batch) -> None:
        """Make all of a batch durable, or nothing of it.

        Raises:
            StoreError: it is not; the receiver acknowledges nothing and tries again later.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
