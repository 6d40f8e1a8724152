"""Uplinks: what delivers to one platform, and the window through which it sees the spool.

An uplink never holds keys. It takes stored records from its `Outbox`, sends their bytes as they are,
and reports back; the core verifies receipts and moves the cursor.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from headgate.errors import HeadgateError
from headgate.model import Item, Lane, PointTable


class StoredRecord(msgspec.Struct, frozen=True):
    """One sealed record as it lies in the spool: `data` is sent as it is, every time."""

    epoch: bytes
    n: int
    key_id: bytes
    lane: Lane
    data: bytes
    readings: int


class Acknowledged(msgspec.Struct, frozen=True):
    """What a receipt changed: how many records it settled, and what the platform asks for."""

    settled: int
    need_grants: tuple[bytes, ...] = ()
    resend: tuple[tuple[bytes, int], ...] = ()
    refused: tuple[tuple[bytes, int, str], ...] = ()


class Outbox(ABC):
    """One uplink's own cursor in the spool. Alarms come first, then live, then paced history."""

    @abstractmethod
    async def take(self, limit: int) -> Sequence[StoredRecord]:
        """The next records to send, at least one; waits while there is none."""

    def sent(self, records: Sequence[StoredRecord]) -> None:  # noqa: B027 - an uplink need not say it
        """The link has taken these (a PUBACK came); only a receipt settles them."""

    @abstractmethod
    def settle(self, records: Sequence[StoredRecord]) -> None:
        """The platform has these for good (`ack = "broker"`, or a foreign platform said so)."""

    @abstractmethod
    def give_back(self, records: Sequence[StoredRecord]) -> None:
        """These were not delivered: offer them again."""

    @abstractmethod
    def refuse(self, record: StoredRecord, reason: str) -> None:
        """The platform will never take this one: dead letter and gap."""

    @abstractmethod
    def receipt(self, message: bytes) -> Acknowledged:
        """Check a platform receipt and free what it names.

        Raises:
            SecurityError: not signed by the pinned receipt key, or for another gateway.
        """

    def command(self, message: bytes, *, how: Literal["live", "retained"]) -> None:  # noqa: B027
        """A command came down. Never raises and never waits: the core proves it, or does not."""

    async def answer(self) -> bytes:
        """The next answer to a command of this uplink, to be sent up once; waits while there is none.

        One that cannot be sent may be lost: what became of a command stands in the records.
        """
        never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        return await never

    @abstractmethod
    def grants(self) -> Sequence[tuple[bytes, bytes]]:
        """(key id, message) of every grant that unsettled records of this uplink need, oldest first."""

    @abstractmethod
    def grant(self, key_id: bytes) -> bytes | None:
        """One grant message by key id."""

    @abstractmethod
    def open(self, record: StoredRecord) -> Sequence[Item]:
        """The items of a record, for uplinks that convert. Blocks name their table by SM3.

        Raises:
            SecurityError: this box keeps no local wrap of that key.
        """

    def earlier(self, since_us: int) -> Iterator[StoredRecord]:
        """What this uplink had settled when this is called and the spool still keeps, newest first.

        Each is read from the disk when it is asked for; one that is gone or damaged is left out. It ends
        before this wall time, as far as times are known.
        """
        return iter(())

    def boot(self, epoch: bytes) -> bytes | None:
        """The boot that the times of an epoch's records belong to, once one of them was opened."""
        return None

    @abstractmethod
    def table(self, digest: bytes) -> PointTable | None:
        """The announced table of this SM3."""

    @abstractmethod
    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        """Wall time of a boottime, by the best clock fix known; None while there is none."""


class ProbeStep(msgspec.Struct, frozen=True):
    """One step of the way to a platform.

    `name` is one of name, tcp, tls, certificate, login, subscribe, publish, receiver, or the uplink's
    own. `detail` is what was found ("10.0.3.1"); a step that failed names its sentence by `code` and
    `fields`.
    """

    name: str
    passed: bool
    detail: str = ""
    code: str = ""
    fields: dict[str, str | int | float | None] = {}


class UplinkContext(msgspec.Struct, frozen=True):
    """What the core tells an uplink about itself."""

    id: str
    gateway: str
    options: Mapping[str, Any]


class Uplink(ABC):
    """Delivers to one platform until cancelled. Reconnecting is its own work; `run` never returns.

    Options are checked in `__init__`, off the network. `state` is what `headgate status` shows; `error`
    is what stands in the way now, None while nothing does.
    """

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]] = ()
    #: Keys of its own options: a misspelt one is then told with file and line. None: only it knows.
    option_keys: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, context: UplinkContext) -> None:
        self.context = context
        self.state = "starting"
        self.error: HeadgateError | None = None

    @abstractmethod
    async def run(self, outbox: Outbox) -> None:
        """Deliver until cancelled."""

    async def probe(self) -> Sequence[ProbeStep]:
        """Each step of the way, from name resolution on, to the first that fails."""
        return ()
