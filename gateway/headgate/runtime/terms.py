"""What an outbox is given and what it says: receipts, its share of a link, a look inside, the backlog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from headgate.model import Item, PointTable
from headgate.runtime.cursor import Depth
from headgate.sdk import StoredRecord


class VerdictLike(Protocol):
    """One record's verdict in a receipt."""

    @property
    def n(self) -> int: ...
    @property
    def code(self) -> int: ...
    @property
    def detail(self) -> str | bytes: ...


class ReceiptLike(Protocol):
    """A receipt whose signature was checked."""

    @property
    def epoch(self) -> bytes: ...
    @property
    def serial(self) -> int: ...
    @property
    def floor(self) -> int: ...
    @property
    def stored(self) -> Sequence[tuple[int, int]]: ...
    @property
    def verdicts(self) -> Sequence[VerdictLike]: ...
    @property
    def resend(self) -> Sequence[tuple[int, int]]: ...
    @property
    def retire(self) -> Sequence[bytes]: ...


class Commanding(Protocol):
    """Where commands go that came down an uplink, and where the answers to them come from."""

    def receive(self, uplink: str, message: bytes, how: Literal["live", "retained"]) -> None: ...
    async def answer(self, uplink: str) -> bytes: ...


class Pace(msgspec.Struct, frozen=True):
    """How an uplink shares its link.

    Live data older than `history_after_s` is history. History takes at most `history_share` of the
    window (one record at least, or it would never go), and `history_bytes_s` on average where that is
    set. At most `ahead` records wait for their receipt; one that got none within `receipt_s` is offered
    again, twice as late each time until any receipt comes; `hurry_s` after a receipt for something
    sent later.
    """

    history_after_s: float = 60.0
    history_share: float = 0.5
    history_bytes_s: float | None = None
    ahead: int = 512
    receipt_s: float = 60.0
    receipt_longest_s: float = 3600.0
    hurry_s: float = 2.0


class OutboxStatus(msgspec.Struct, frozen=True):
    """One uplink's backlog.

    `oldest_s`: age of the oldest record, None if there is none or it is older than this start.
    """

    uplink: str
    alarm: Depth
    live: Depth
    history: Depth
    in_flight: int
    oldest_s: float | None
    settled: int
    refused: int
    corrupt: int


class Insight(Protocol):
    """How uplinks that convert look into records; the app gives this, for it needs keys and clock fixes."""

    def open(self, record: StoredRecord) -> Sequence[Item]: ...
    def boot(self, epoch: bytes) -> bytes | None: ...
    def table(self, digest: bytes) -> PointTable | None: ...
    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None: ...
