"""What was published and has no receipt yet: bounded, and offered again when receipts stay out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.sdk import StoredRecord
from headgate_plugins.mqtt.receipts import Named

Name = tuple[bytes, int]

#: How often the patience with a silent platform may double.
_DOUBLINGS = 3


class Window:
    """Records on their way, by name, oldest first.

    Args:
        records: how many may wait at most.
        size: how many bytes.
        patience_s: how long a published record waits for its receipt; doubles while none comes.
        shy: how many may wait while no receipts come: enough to notice the platform's return.
    """

    def __init__(self, records: int, size: int, patience_s: float, shy: int) -> None:
        self._most, self._most_bytes, self._shy = records, size, shy
        self._first_patience_s = self._patience_s = patience_s
        self._flying: dict[Name, StoredRecord] = {}
        self._waiting: dict[Name, tuple[StoredRecord, float]] = {}
        self._bytes = 0
        self.silent = False

    def __len__(self) -> int:
        return len(self._flying) + len(self._waiting)

    def room(self) -> int:
        """How many more records may be taken. One always may when none is under way."""
        if self._bytes >= self._most_bytes:
            return 0
        return max(0, (self._shy if self.silent else self._most) - len(self))

    def add(self, record: StoredRecord) -> None:
        """A record is being published. One that was waiting starts anew."""
        name = (record.epoch, record.n)
        self.drop(name)
        self._flying[name] = record
        self._bytes += len(record.data)

    def published(self, record: StoredRecord, now_s: float) -> None:
        """The broker has it; a receipt is awaited from now on. Nothing when one came already."""
        name = (record.epoch, record.n)
        if self._flying.pop(name, None) is not None:
            self._waiting[name] = (record, now_s)

    def drop(self, name: Name) -> StoredRecord | None:
        """This record is no longer under way; None when it was not."""
        record = self._flying.pop(name, None)
        if record is None:
            record, _ = self._waiting.pop(name, (None, 0.0))
        if record is not None:
            self._bytes -= len(record.data)
        return record

    def settle(self, named: Named) -> int:
        """Drop what a receipt names; how many that were. Any such word ends the silence."""
        gone = [name for name in (*self._flying, *self._waiting) if named.settles(*name)]
        for name in gone:
            self.drop(name)
        if gone:
            self.silent = False
            self._patience_s = self._first_patience_s
        return len(gone)

    def overdue(self, now_s: float) -> list[StoredRecord]:
        """Published records whose receipt has stayed out too long; no longer under way."""
        late: list[StoredRecord] = []
        for record, since_s in self._waiting.values():
            if since_s + self._patience_s > now_s:
                break
            late.append(record)
        for record in late:
            self.drop((record.epoch, record.n))
        if late:
            self.silent = True
            longest = self._first_patience_s * 2**_DOUBLINGS
            self._patience_s = min(self._patience_s * 2, longest)
        return late

    def next_due_s(self) -> float | None:
        """When `overdue` will have something; None when nothing waits."""
        for _, since_s in self._waiting.values():
            return since_s + self._patience_s
        return None

    def all(self) -> Iterable[StoredRecord]:
        """Everything under way."""
        return [*self._flying.values(), *(record for record, _ in self._waiting.values())]
