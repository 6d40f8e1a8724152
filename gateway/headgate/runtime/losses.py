"""Which losses of the spool have become durable gaps: what was given up for room, or rotted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from headgate.model import Gap
from headgate.spool import Loss, Position, SealedRecord


class Records(Protocol):
    """What the press needs of the spool."""

    def losses(self) -> Sequence[Loss]: ...
    def commit(self, records: Sequence[SealedRecord]) -> Sequence[Position]: ...


class Losses:
    """The spool as the press sees it: notices which losses have become durable gaps.

    `commit` runs in the writer's thread, `told` on the loop.
    """

    def __init__(self, spool: Records) -> None:
        self._spool = spool
        self._waiting: deque[Loss] = deque()

    def losses(self) -> Sequence[Loss]:
        """As the spool."""
        return self._spool.losses()

    def commit(self, records: Sequence[SealedRecord]) -> Sequence[Position]:
        """As the spool."""
        accounts = {account for record in records for account in record.index.accounts}
        told = (
            [loss for loss in self._spool.losses() if loss.account in accounts] if accounts else []
        )
        positions = self._spool.commit(records)
        self._waiting.extend(told)
        return positions

    def told(self, now_us: int, boot: bytes) -> list[Gap]:
        """The gaps of losses that a commit made durable, each once."""
        gaps: list[Gap] = []
        while self._waiting:
            gaps += self._waiting.popleft().gaps(now_us, boot)
        return gaps
