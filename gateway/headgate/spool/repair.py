"""Mending a spool by hand: what a start would do to it, said before it is done, and nothing ever deleted.

A start heals by itself whatever it finds. This is for whoever wants to know first, and to keep every
byte: the very same code runs, once on a disk that takes nothing, once on one where a file that goes is
moved into the folder `repair` instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from headgate.env import AppendFile, Env, Files
from headgate.spool.records import Loss, Totals
from headgate.spool.spool import Spool

#: Beside the logs; what would have been deleted goes there.
KEPT = "repair"


class Step(msgspec.Struct, frozen=True):
    """One change to the folder: a file written anew, or moved away."""

    what: Literal["write", "move"]
    file: str


class Repair(msgspec.Struct, frozen=True):
    """What a repair found and did, or would do."""

    records: int
    losses: tuple[Loss, ...]
    steps: tuple[Step, ...]


def repair(env: Env, folder: Path, noted: Sequence[Totals], *, apply: bool) -> Repair:
    """Bring the ledgers and segments of the spool in `folder` into order.

    Args:
        noted: how far its logs had come, from `state.db`.
        apply: False changes nothing and says what would be done.

    Raises:
        SpoolLocked: a gateway runs on it, or a newer one wrote it.
        SpoolError: the folder cannot be used.
    """
    files = _Careful(env.files, folder, apply=apply)
    spool = Spool(Env(env.clock, env.random, files, env.net, env.single), folder, ballast_bytes=0)
    found = spool.open(noted)
    # Not `close`: the losses are a matter for the next start, which tells the platform of them.
    files.release()
    return Repair(found.records, found.losses, tuple(files.steps))


class _Careful(Files):
    """The disk, but that nothing is deleted on it, and that it is not changed at all unless `apply`."""

    def __init__(self, files: Files, folder: Path, *, apply: bool) -> None:
        self._files = files
        self._folder = folder
        self._apply = apply
        self._locks: list[int] = []
        self.steps: list[Step] = []

    def _note(self, what: Literal["write", "move"], path: Path) -> bool:
        self.steps.append(Step(what, str(path.relative_to(self._folder))))
        return self._apply

    def append(self, path: Path) -> AppendFile:
        raise NotImplementedError("a repair writes no records")

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        return self._files.read(path, offset, size)

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        try:
            same = self._files.read(path) == data
        except OSError:
            same = False
        if not same and self._note("write", path):
            self._files.replace(path, data, mode)

    def size(self, path: Path) -> int | None:
        return self._files.size(path)

    def list(self, folder: Path) -> list[str]:
        return self._files.list(folder)

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        if self._apply:
            self._files.make_folder(path, mode)

    def rename(self, old: Path, new: Path) -> None:
        if self._note("move", old):
            self._files.rename(old, new)
            self._files.sync_folder(new.parent)

    def remove(self, path: Path) -> None:
        if self._files.size(path) is None:
            return
        if self._note("move", path):
            kept = self._folder / KEPT / path.parent.name
            self._files.make_folder(kept, 0o750)
            self._files.rename(path, kept / path.name)
            self._files.sync_folder(kept)

    def sync_folder(self, folder: Path) -> None:
        if self._apply:
            self._files.sync_folder(folder)

    def free(self, folder: Path) -> int:
        return self._files.free(folder)

    def capacity(self, folder: Path) -> int:
        return self._files.capacity(folder)

    def lock(self, path: Path) -> int | None:
        taken = self._files.lock(path)
        if taken is not None:
            self._locks.append(taken)
        return taken

    def unlock(self, descriptor: int) -> None:
        self._locks.remove(descriptor)
        self._files.unlock(descriptor)

    def release(self) -> None:
        """Let go of every lock."""
        for descriptor in list(self._locks):
            self.unlock(descriptor)

    def database(self, path: Path) -> sqlite3.Connection:
        raise NotImplementedError("a repair of the spool leaves state.db alone")
