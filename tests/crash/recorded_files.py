"""A disk in memory that remembers every operation, so that a power cut can be played after any of them.

    files = RecordedFiles()                 # `headgate.env.Files`, SQLite's files included
    ...                                     # something writes; `files.op` counts its operations
    disk = files.cut(rng, at)               # one of the disks that a cut after operation `at` could leave

What a cut may leave is said in `power_cut.py`; how SQLite gets here in `sqlite_files.py`.
"""

from __future__ import annotations

import errno
import random
import sqlite3
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from headgate.env import AppendFile

ROOT = Path("/")


class Inode:
    """One file: what a reader sees now, every change, and what was on the medium after each sync."""

    __slots__ = ("changes", "data", "platter", "syncs")

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.data = bytearray(data)
        #: (operation, offset, bytes written) or (operation, new size, None).
        self.changes: list[tuple[int, int, bytes | None]] = []
        self.syncs: list[tuple[int, bytes]] = [(0, bytes(data))]
        # After a sync that failed the page cache shows what the medium may never get.
        self.platter: bytearray | None = None

    def write(self, op: int, offset: int, data: bytes) -> None:
        """Put bytes at a place; a hole before it reads as zeros."""
        self.changes.append((op, offset, data))
        for target in (self.data, self.platter):
            if target is not None:
                if offset > len(target):
                    target += bytes(offset - len(target))
                target[offset : offset + len(data)] = data

    def truncate(self, op: int, size: int) -> None:
        """Cut off, or extend with zeros."""
        self.changes.append((op, size, None))
        for target in (self.data, self.platter):
            if target is not None:
                del target[size:]
                target += bytes(size - len(target))

    def sync(self, op: int) -> None:
        """Everything so far is on the medium, but for what a failed sync has thrown away."""
        self.syncs.append((op, bytes(self.data if self.platter is None else self.platter)))

    def fail(self) -> None:
        """A sync failed: what was not on the medium is marked clean, and will not be written again."""
        if self.platter is None:
            self.platter = bytearray(self.syncs[-1][1])

    def durable(self, at: int) -> tuple[int, bytes]:
        """The last sync up to an operation, and what was on the medium then."""
        return self.syncs[bisect_right(self.syncs, at, key=lambda sync: sync[0]) - 1]

    def pending(self, since: int, at: int) -> list[tuple[int, int, bytes | None]]:
        """Changes after one operation, up to another."""
        changes = self.changes
        first = bisect_right(changes, since, key=lambda change: change[0])
        return changes[first : bisect_right(changes, at, first, key=lambda change: change[0])]

    def rot(self, change: Callable[[bytearray], object]) -> None:
        """Change what lies on the medium, behind everybody's back."""
        change(self.data)
        self.syncs = [(0, bytes(self.data))]
        self.changes = []


class Folder:
    """What a name points to when it is a folder."""


class RecordedFiles:
    """`headgate.env.Files` in memory. `fault` may raise before any operation that changes the disk."""

    def __init__(self, fault: Callable[[str, Path], None] = lambda call, path: None) -> None:
        self.op = 0
        self.fault = fault
        #: How many errors `fault` has raised.
        self.raised = 0
        self.room = 1 << 40
        self.folders: set[Path] = {ROOT}
        self.entries: dict[Path, Inode] = {}
        #: For each name what it pointed to from which operation on, and when its folder was synced.
        self.names: dict[Path, list[tuple[int, Inode | Folder | None]]] = {}
        self.folder_syncs: dict[Path, list[int]] = {}
        self.locks: dict[int, Path] = {}
        self._databases: Any = None

    # ------------------------------------------------------------ Files

    def append(self, path: Path) -> AppendFile:
        return _Append(self, path, self.create(path))

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if path not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        data = self.entries[path].data
        return bytes(data[offset:] if size is None else data[offset : offset + size])

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        new = path.with_name(f".{path.name}.new")
        self.remove(new)
        file = self.append(new)
        file.write(data)
        file.sync()
        self.rename(new, path)
        self.sync_folder(path.parent)

    def size(self, path: Path) -> int | None:
        return len(self.entries[path].data) if path in self.entries else None

    def list(self, folder: Path) -> list[str]:
        return sorted(
            path.name
            for path in self.names
            if self.parent(path) == folder and (path in self.entries or path in self.folders)
        )

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        if path in self.folders:
            return
        self.make_folder(path.parent)
        self._step("make_folder", path)
        self.folders.add(path)
        self.names.setdefault(path, []).append((self.op, Folder()))

    @staticmethod
    @lru_cache(maxsize=4096)
    def parent(path: Path) -> Path:
        """The folder of a path: pathlib makes it anew each time, and this is asked very often."""
        return path.parent

    def rename(self, old: Path, new: Path) -> None:
        self._step("rename", new)
        inode = self.entries[old]
        self._name(old, None)
        self._name(new, inode)

    def remove(self, path: Path) -> None:
        if path in self.entries:
            self._step("remove", path)
            self._name(path, None)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync_folder", folder)
        self.folder_syncs.setdefault(folder, []).append(self.op)

    def free(self, folder: Path) -> int:
        return self.room

    def lock(self, path: Path) -> int | None:
        if path in self.locks.values():
            return None
        if path not in self.entries:
            self.create(path)
        descriptor = max(self.locks, default=0) + 1
        self.locks[descriptor] = path
        return descriptor

    def unlock(self, descriptor: int) -> None:
        self.locks.pop(descriptor, None)

    def database(self, path: Path) -> sqlite3.Connection:
        if self._databases is None:
            from sqlite_files import Databases

            self._databases = Databases(self)
        connection: sqlite3.Connection = self._databases.connect(path)
        return connection

    # ------------------------------------------------------------ beyond Files: what SQLite does

    def create(self, path: Path) -> Inode:
        """A new empty file. Raises FileExistsError, FileNotFoundError."""
        if self.parent(path) not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        self._step("append", path)
        if path in self.entries:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        inode = Inode()
        self._name(path, inode)
        return inode

    def write(self, path: Path, inode: Inode, offset: int, data: bytes) -> None:
        """Write at a place."""
        try:
            self._step("write", path)
        except OSError:
            # Part of it may have reached the page cache before the error.
            inode.write(self.op, offset, data[: len(data) // 2])
            raise
        inode.write(self.op, offset, data)

    def truncate(self, path: Path, inode: Inode, size: int) -> None:
        """Set the size."""
        self._step("truncate", path)
        inode.truncate(self.op, size)

    def sync(self, path: Path, inode: Inode) -> None:
        """Sync a file."""
        try:
            self._step("sync", path)
        except OSError:
            inode.fail()
            raise
        inode.sync(self.op)

    # ------------------------------------------------------------ the record

    def _step(self, call: str, path: Path) -> None:
        try:
            self.fault(call, path)
        except OSError:
            self.raised += 1
            raise
        self.op += 1

    def _name(self, path: Path, inode: Inode | None) -> None:
        self.names.setdefault(path, []).append((self.op, inode))
        if inode is None:
            self.entries.pop(path, None)
        else:
            self.entries[path] = inode

    def cut(self, rng: random.Random, at: int) -> RecordedFiles:
        """One of the disks that a power cut right after operation `at` may leave behind."""
        from power_cut import PowerCut

        return PowerCut(rng, at).disk(self)

    def power_off(self) -> None:
        """Nothing is written any more, whoever still holds a connection."""

        def off(call: str, path: Path) -> None:
            raise OSError(errno.EIO, "the power is off", str(path))

        self.fault = off


class _Append:
    def __init__(self, files: RecordedFiles, path: Path, inode: Inode) -> None:
        self._files = files
        self._path = path
        self._inode = inode

    def write(self, data: bytes) -> None:
        self._files.write(self._path, self._inode, len(self._inode.data), data)

    def sync(self) -> None:
        assert self._inode.platter is None, "fsync was tried again on a file whose fsync had failed"
        self._files.sync(self._path, self._inode)

    def close(self) -> None:
        pass


def env_on(files: RecordedFiles, seed: int = 0) -> Any:
    """An `Env` whose disk is this one and whose randomness is seeded."""
    from headgate.env import Env, SystemClock, SystemNet

    return Env(SystemClock(), SeededRandom(seed), files, SystemNet(), lambda name: None)  # type: ignore[arg-type, return-value]


class SeededRandom:
    """Randomness of a test: the same every time."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def token(self, size: int) -> bytes:
        return self._rng.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._rng.uniform(low, high)
