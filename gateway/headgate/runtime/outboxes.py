"""Every uplink's outbox over the one stored copy, and when a segment may go: when all have passed it."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.terms import OutboxStatus
from headgate.spool import Position, Rows, Spool, State


class Outboxes:
    """Every uplink's outbox; a segment may go when all have passed it. With no uplink nothing ever may.

    All of it runs on the event loop except `needed`, which the writer's thread asks.
    """

    def __init__(self, spool: Spool, state: State, epoch: bytes) -> None:
        self._spool = spool
        self._state = state
        self._epoch = epoch
        self._outboxes: dict[str, SpoolOutbox] = {}
        spool.needed = self.needed

    def add(self, outbox: SpoolOutbox) -> None:
        """One more uplink, before the first commit or after."""
        self._outboxes[outbox.uplink] = outbox
        for log, number in outbox.cursor.known():
            self.passed(log, number)

    def remove(self, uplink: str) -> None:
        """An uplink is configured no more: nothing waits for it."""
        self._outboxes.pop(uplink, None)
        for outbox in list(self._outboxes.values()):
            for log, number in outbox.cursor.known():
                self.passed(log, number)

    def needed(self, rows: Rows, row: int) -> bool:
        """Whether any uplink still needs a record."""
        boxes = list(self._outboxes.values())
        return not boxes or any(box.cursor.needs(rows, row) for box in boxes)

    def passed(self, log: str, number: int) -> None:
        """One uplink has nothing left in a segment: give it to `SpoolOutbox`."""
        rows = self._spool.rows(log, number)
        if rows is None:
            return
        boxes = self._outboxes.values()
        # Where every record is settled before the next one comes, this is asked with each receipt.
        passed = bool(boxes) and all(box.cursor.done(rows) for box in boxes)
        if not passed and rows.dead:
            passed = not any(self.needed(rows, row) for row in rows.alive())
        if passed:
            self._spool.settle(log, number)

    def on_commit(self, positions: Sequence[Position]) -> None:
        """Tell every uplink of a commit."""
        touched = {(position.log, position.segment) for position in positions}
        for log, number in touched:
            rows = self._spool.rows(log, number)
            if rows is not None:
                for outbox in self._outboxes.values():
                    outbox.cursor.extend(rows)
        for outbox in self._outboxes.values():
            outbox.committed()

    def note(self) -> None:
        """Once a second: hand what changed to the state, forget segments and epochs that are gone."""
        here = {(rows.log, rows.number) for rows in self._spool.segments()}
        for outbox in self._outboxes.values():
            for key in outbox.cursor.known():
                if key not in here:
                    outbox.cursor.forget(*key)
            outbox.note()
        epochs = {rows.epoch(0) for rows in self._spool.segments() if len(rows)}
        for epoch in self._state.epochs_kept() - epochs - {self._epoch}:
            self._state.forget_epoch(epoch)
            for outbox in self._outboxes.values():
                outbox.cursor.settled.pop(epoch, None)

    def status(self) -> list[OutboxStatus]:
        """Every uplink's backlog."""
        return [outbox.status() for outbox in self._outboxes.values()]
