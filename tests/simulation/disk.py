"""Files for a simulation: real ones, without waiting for a medium, that can be full."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from headgate.env import AppendFile, SystemFiles


class Disk(SystemFiles):
    """`full`: nothing can be written. Nothing here survives a power cut, and none is simulated."""

    full = False

    def append(self, path: Path) -> AppendFile:
        self._room()
        return _Appended(super().append(path), self)

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        self._room()
        path.write_bytes(data)
        path.chmod(mode)

    def sync_folder(self, folder: Path) -> None:
        """Nothing to wait for."""

    def database(self, path: Path) -> sqlite3.Connection:
        database = super().database(path)
        database.execute("PRAGMA synchronous = OFF")
        return database

    def _room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")


class _Appended:
    def __init__(self, file: AppendFile, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: bytes) -> None:
        self._disk._room()
        self._file.write(data)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()
