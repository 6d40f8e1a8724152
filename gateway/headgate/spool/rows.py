"""What the gateway keeps in memory of each stored record: columns, 45 bytes a record, no object each.

A day's backlog at a record a second is 86,400 rows, under 4 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from headgate.model import Lane
from headgate.spool.segment import Entry


class Rows:
    """The records of one segment, in commit order, as columns. Only grows; a dead row keeps its place."""

    def __init__(self, log: str, number: int, names: Names) -> None:
        self.log = log
        self.number = number
        self._names = names
        self.offsets = array("I")
        self.sizes = array("I")
        self.heads = array("I")  # header and clear index: what stands before the sealed bytes
        self.lanes = array("B")
        self.epochs = array("I")
        self.keys = array("I")
        self.ns = array("Q")
        self.readings = array("I")
        self.last_us = array("q")
        self.serials = array("Q")
        self.dead: set[int] = set()
        #: Of all its records: a segment holds those of one start. None while no clear index could be read.
        self.boot: bytes | None = None
        #: Bytes of the file, torn ends included.
        self.file_size = 0

    def __len__(self) -> int:
        return len(self.ns)

    def add(self, entry: Entry) -> int:
        """Add one record; its row. `ns` grows last: a reader in another thread never sees half a row."""
        index = entry.index
        if self.boot is None and index is not None:
            self.boot = index.boot
        self.offsets.append(entry.offset)
        self.sizes.append(entry.size)
        self.heads.append(entry.sealed_offset - entry.offset)
        self.lanes.append(entry.lane)
        self.epochs.append(self._names.number(entry.epoch))
        self.keys.append(self._names.number(entry.key_id))
        self.readings.append(0 if index is None else index.readings)
        self.last_us.append(-1 if index is None else index.last_us)
        self.serials.append(entry.serial)
        self.ns.append(entry.n)
        return len(self.ns) - 1

    def epoch(self, row: int) -> bytes:
        """The epoch of a row."""
        return self._names.name(self.epochs[row])

    def key_id(self, row: int) -> bytes:
        """The key of a row."""
        return self._names.name(self.keys[row])

    def lane(self, row: int) -> Lane:
        """The lane a row was committed in."""
        return Lane(self.lanes[row])

    def alive(self) -> Iterator[int]:
        """Rows whose record is there."""
        return (row for row in range(len(self.ns)) if row not in self.dead)


class Names:
    """Epochs and key ids, each stored once for all rows: a start of the gateway adds a few."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, name: bytes) -> int:
        """A small number for this name, the same every time."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def name(self, number: int) -> bytes:
        """The name behind a number."""
        return self._names[number]
