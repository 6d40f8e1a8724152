"""What a power cut may leave of a recorded disk. The model is that of `docs/reference/crash.md`.

- A file: what its last sync saw is there. Of every later change each sector (512 bytes, or 4 KiB) is as
  it was at any moment since, on its own; a sector that never was on the medium may also be zeros,
  garbage or stale bytes of another file of ours. Its size is any that it had since, or between.
- A name: what the last sync of its folder saw, or anything it was since, each name on its own. Syncing
  a file says nothing about its name, and syncing a folder nothing about the bytes in its files.
- Nothing is ordered but by syncs.

That is every mixture; most are unlike what any one file system does. So that the likely ones are tried
often, too, each image has a *fate*: everything arrived, nothing did, all up to a moment (an ordered
journal), all but one operation, one operation alone, names without bytes, bytes without names, or every
piece by its own dice.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorded_files import Inode, RecordedFiles

SECTORS = (512, 512, 4096)
Change = tuple[int, int, bytes | None]


class Fate(Enum):
    """What arrived of all that was not synced."""

    ALL = "all"
    NOTHING = "nothing"
    UNTIL = "until"
    BUT_ONE = "but one"
    ONLY_ONE = "only one"
    NAMES = "names"
    BYTES = "bytes"
    DICE = "dice"


_FATES = [*Fate, Fate.DICE, Fate.DICE, Fate.DICE, Fate.UNTIL]


class PowerCut:
    """A cut right after operation `at`, for one image. `fate` and `pivot` pin what is random otherwise."""

    def __init__(
        self, rng: random.Random, at: int, fate: Fate | None = None, pivot: int | None = None
    ) -> None:
        self._rng = rng
        self._at = at
        self.fate = fate or rng.choice(_FATES)
        self._sector = rng.choice(SECTORS)
        # The moment, or the one operation: near the cut, for that is where the unsynced is.
        back = min(at, rng.choice((3, 10, 40)))
        self._pivot = at - rng.randint(0, back) if pivot is None else pivot
        self._files: RecordedFiles | None = None

    def disk(self, files: RecordedFiles) -> RecordedFiles:
        """The disk that is left, all of it durable."""
        from recorded_files import Folder, Inode, RecordedFiles

        image = RecordedFiles()
        image.room = files.room
        contents: dict[int, Inode] = {}
        self._files = files
        # Folders come before what is in them: they were made before.
        for path in files.names:
            if files.parent(path) not in image.folders:
                continue
            there = self._named(files, path)
            if isinstance(there, Folder):
                image.folders.add(path)
                image.names[path] = [(0, there)]
            elif there is not None:
                if id(there) not in contents:
                    contents[id(there)] = Inode(self._content(there))
                image.entries[path] = contents[id(there)]
                image.names[path] = [(0, contents[id(there)])]
        return image

    # ------------------------------------------------------------ names

    def _named(self, files: RecordedFiles, path: Path) -> object:
        at = self._at
        syncs = files.folder_syncs.get(files.parent(path), ())
        last = bisect_right(syncs, at)
        synced = syncs[last - 1] if last else 0
        sure: object = None
        maybe: list[tuple[int, object]] = []
        for op, inode in files.names[path]:
            if op <= synced:
                sure = inode
            elif op <= at:
                maybe.append((op, inode))
        if not maybe:
            return sure
        fate = self.fate
        if fate in (Fate.ALL, Fate.NAMES):
            return maybe[-1][1]
        if fate in (Fate.NOTHING, Fate.BYTES):
            return sure
        if fate is Fate.DICE:
            return self._rng.choice([sure, *(inode for _, inode in maybe)])
        arrived = [(op, inode) for op, inode in maybe if self._arrives(op)]
        return arrived[-1][1] if arrived else sure

    def _arrives(self, op: int) -> bool:
        if self.fate is Fate.UNTIL:
            return op <= self._pivot
        return (op == self._pivot) is (self.fate is Fate.ONLY_ONE)

    # ------------------------------------------------------------ bytes

    def _content(self, inode: Inode) -> bytes | bytearray:
        since, durable = inode.durable(self._at)
        pending = inode.pending(since, self._at)
        if inode.platter is not None and self._rng.random() < 0.5:
            # A sync of it failed once: what it threw away is gone for good in half of the worlds.
            pending = []
        if not pending or self.fate in (Fate.NOTHING, Fate.NAMES):
            return durable
        if self.fate in (Fate.ALL, Fate.BYTES):
            return _applied(durable, pending)
        if self.fate is not Fate.DICE:
            arrived = [change for change in pending if self._arrives(change[0])]
            rest = [] if self.fate is Fate.ONLY_ONE else pending
            if self.fate is Fate.UNTIL and self._rng.random() < 0.5:
                return self._torn(_applied(durable, arrived), rest[len(arrived) :])
            return _applied(durable, arrived)
        return self._torn(durable, pending)

    def _torn(self, durable: bytes | bytearray, pending: list[Change]) -> bytes | bytearray:
        """Each sector as it was at any moment; the size any that it was, or between."""
        if not pending:
            return durable
        rng, sector = self._rng, self._sector
        states = [durable]
        for change in pending:
            states.append(_applied(states[-1], [change]))
        sizes = [len(state) for state in states]
        size = rng.choice([*sizes, rng.randint(min(sizes), max(sizes))])
        unwritten = rng.choice(["zeros", "garbage", "stale"])
        lost = rng.choice([0.1, 0.5, 0.9])
        image = bytearray(states[-1][:size])
        if len(image) < size:
            image += bytes(size - len(image))
        touched = set[int]()
        for _, offset, data in pending:
            end = len(image) if data is None else offset + len(data)
            touched.update(range(offset // sector, -(-end // sector)))
        for number in sorted(touched):
            begin, end = number * sector, min((number + 1) * sector, size)
            if begin >= end or rng.random() >= lost:
                continue
            state = rng.choice(states[:-1])
            piece = bytes(state[begin:end])
            missing = end - begin - len(piece)
            if missing:
                piece += self._unwritten(unwritten, missing)
            image[begin:end] = piece
        return image

    def _unwritten(self, kind: str, size: int) -> bytes:
        if kind == "garbage":
            return self._rng.randbytes(size)
        if kind == "stale":
            return self._stale(size)
        return bytes(size)

    def _stale(self, size: int) -> bytes:
        """Bytes that some file of ours had on the medium by then, perhaps a deleted one."""
        from recorded_files import Inode

        assert self._files is not None
        history = self._rng.choice(list(self._files.names.values()))
        op, inode = self._rng.choice(history)
        if op > self._at or not isinstance(inode, Inode):
            return bytes(size)
        old = inode.durable(self._at)[1]
        begin = self._rng.randrange(len(old) // 512 + 1) * 512
        return old[begin : begin + size].ljust(size, b"\0")


def _applied(data: bytes | bytearray, changes: list[Change]) -> bytearray:
    image = bytearray(data)
    for _, offset, piece in changes:
        if piece is None:
            del image[offset:]
            image += bytes(offset - len(image))
        else:
            if offset > len(image):
                image += bytes(offset - len(image))
            image[offset : offset + len(piece)] = piece
    return image
