"""What a platform asks for again: records that are still here wait once more, lost links are told."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from headgate.env import Env
from headgate.model import Event, Item
from headgate.runtime.cursor import Cursor
from headgate.runtime.terms import ReceiptLike
from headgate.spool import Spool, State

log = logging.getLogger(__name__)

_ASKS: Final = 1024


class Asks:
    """Follows the asks of one uplink's receipts, each once in a start."""

    def __init__(
        self,
        env: Env,
        spool: Spool,
        state: State,
        uplink: str,
        cursor: Cursor,
        say: Callable[[Item], None],
    ) -> None:
        self._env = env
        self._spool = spool
        self._state = state
        self._uplink = uplink
        self._cursor = cursor
        self._say = say
        #: Asks that were followed, by (epoch, serial).
        self._asked: OrderedDict[tuple[bytes, int], None] = OrderedDict()

    def follow(self, receipt: ReceiptLike) -> list[tuple[bytes, int]]:
        """What of it is still here and waits once more now, by (epoch, n)."""
        epoch = receipt.epoch
        link = None
        if receipt.resend and min(first for first, _ in receipt.resend) == 0:
            link = self._link_to_tell(epoch)
        if not receipt.resend or not (self._cursor.knows(epoch) or link):
            return []
        if (epoch, receipt.serial) in self._asked:
            # Signed, but not said again by the platform: somebody on the way repeats it.
            log.info("a repeated ask is let be", extra={"uplink": self._uplink})
            return []
        self._asked[epoch, receipt.serial] = None
        if len(self._asked) > _ASKS:
            self._asked.popitem(last=False)
        if link is not None:
            self._say(link)
        again: list[tuple[bytes, int]] = []
        for first, last in receipt.resend:
            for position in self._cursor.unsettle(epoch, first, last):
                self._spool.unsettle(position.log, position.segment)
                rows = self._spool.rows(position.log, position.segment)
                if rows is not None:
                    again.append((epoch, rows.ns[position.row]))
        if again:
            log.warning(
                "the platform misses records: sending again",
                extra={"uplink": self._uplink, "records": len(again)},
            )
        return again

    def _link_to_tell(self, epoch: bytes) -> Event | None:
        """Where an epoch's first record is gone: what its link said, so that who asks finds its way on."""
        if self._cursor.holds(epoch, 0):
            return None
        starts = {known.epoch: known for known in self._state.epochs()}
        known = starts.get(epoch)
        if known is None or known.previous is None:
            return None
        before = starts.get(known.previous)
        return Event(
            "epoch",
            self._env.clock.boottime_us(),
            {
                "epoch": epoch.hex(),
                "previous": known.previous.hex(),
                "last_n": None if before is None else before.last_n,
            },
        )
