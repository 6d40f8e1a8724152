"""A disk in memory that remembers every operation, so that a power cut can be played after any of them.

What was synced is there after a cut. Of everything later, each 512-byte sector and each directory entry
may or may not have made it, in any mixture, and a sector that did not may be zero or old garbage.
`recorded.cut(rng, at)` gives one of the disks that a cut after operation `at` could leave.
"""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate.env import AppendFile

SECTOR = 512


@dataclass
class Inode:
    """One file: its bytes, and (operation, size) of each write and sync."""

    data: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, int]] = field(default_factory=list)
    syncs: list[tuple[int, int]] = field(default_factory=list)

    def size_at(self, at: int, history: list[tuple[int, int]]) -> int:
        return max((size for op, size in history if op <= at), default=0)


class RecordedFiles:
    """`headgate.env.Files` in memory. `fault` may raise before any operation that changes the disk."""

    def __init__(self, fault: Callable[[str, Path], None] = lambda call, path: None) -> None:
        self.op = 0
        self.fault = fault
        self.room = 1 << 40
        self.folders: set[Path] = {Path("/")}
        self.entries: dict[Path, Inode] = {}
        # For each name, what it pointed to from which operation on; and when its folder was synced.
        self.names: dict[Path, list[tuple[int, Inode | None]]] = {}
        self.folder_syncs: dict[Path, list[int]] = {}
        self.locks: set[Path] = set()

    # ------------------------------------------------------------ Files

    def append(self, path: Path) -> AppendFile:
        self._step("append", path)
        if path in self.entries:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        inode = Inode()
        self._name(path, inode)
        return _Append(self, path, inode)

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
        names = {path.name for path in self.entries if path.parent == folder}
        return sorted(names | {path.name for path in self.folders if path.parent == folder})

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        self.folders |= {path, *path.parents}

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
        if path in self.locks:
            return None
        self.locks.add(path)
        return 1

    def unlock(self, descriptor: int) -> None:
        self.locks.clear()

    def database(self, path: Path) -> sqlite3.Connection:
        raise NotImplementedError("state.db has its own engine")

    # ------------------------------------------------------------ the record

    def _step(self, call: str, path: Path) -> None:
        self.fault(call, path)
        self.op += 1

    def _name(self, path: Path, inode: Inode | None) -> None:
        self.names.setdefault(path, []).append((self.op, inode))
        if inode is None:
            self.entries.pop(path, None)
        else:
            self.entries[path] = inode

    def cut(self, rng: random.Random, at: int) -> RecordedFiles:
        """One of the disks that a power cut right after operation `at` may leave behind."""
        image = RecordedFiles()
        image.folders = set(self.folders)
        contents: dict[int, Inode] = {}
        for path, history in self.names.items():
            synced = max(
                (op for op in self.folder_syncs.get(path.parent, ()) if op <= at), default=0
            )
            sure = [inode for op, inode in history if op <= synced]
            maybe = [inode for op, inode in history if synced < op <= at]
            inode = rng.choice([sure[-1] if sure else None, *maybe])
            if inode is None:
                continue
            if id(inode) not in contents:
                contents[id(inode)] = Inode(self._content(inode, rng, at))
                size = len(contents[id(inode)].data)
                contents[id(inode)].writes = contents[id(inode)].syncs = [(0, size)]
            image._name(path, contents[id(inode)])
            image.folder_syncs[path.parent] = [0]
        return image

    @staticmethod
    def _content(inode: Inode, rng: random.Random, at: int) -> bytearray:
        sure = inode.size_at(at, inode.syncs)
        most = inode.size_at(at, inode.writes)
        size = rng.choice([sure, most, rng.randint(sure, most)]) if most > sure else sure
        data = bytearray(inode.data[:size])
        fate = rng.choice(["kept", "zero", "torn", "garbage"])
        begin = sure
        while begin < size and fate != "kept":
            end = min(size, (begin // SECTOR + 1) * SECTOR)
            if fate == "zero" or rng.random() < 0.5:
                lost = bytes(end - begin) if fate != "garbage" else rng.randbytes(end - begin)
                data[begin:end] = lost
            begin = end
        return data


class _Append:
    def __init__(self, files: RecordedFiles, path: Path, inode: Inode) -> None:
        self._files = files
        self._path = path
        self._inode = inode
        self._broken = False

    def write(self, data: bytes) -> None:
        try:
            self._files._step("write", self._path)
        except OSError:
            # Part of it may have reached the page cache before the error.
            self._inode.data += data[: len(data) // 2]
            self._inode.writes.append((self._files.op, len(self._inode.data)))
            raise
        self._inode.data += data
        self._inode.writes.append((self._files.op, len(self._inode.data)))

    def sync(self) -> None:
        assert not self._broken, "fsync was tried again on a file whose fsync had failed"
        try:
            self._files._step("sync", self._path)
        except OSError:
            self._broken = True
            raise
        self._inode.syncs.append((self._files.op, len(self._inode.data)))

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
