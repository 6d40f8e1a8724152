"""Files of this machine."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from headgate.env.closing import KEPT
from headgate.env.doors import AppendFile


class _SystemAppendFile:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640
        )

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: a pipe that nobody writes to would never come back."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # a folder is told by who reads it
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file", path)


class SystemFiles:
    """The file system."""

    def append(self, path: Path) -> AppendFile:
        return _SystemAppendFile(path)

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if (kept := KEPT.get(path)) is not None:
            return os.pread(kept, 4096 if size is None else size, offset)
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            if offset:
                file.seek(offset)
            if size is None:
                return file.readall() or b""
            # A read may give less than there is: what is missing then would pass for damage.
            parts: list[bytes] = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        new = path.with_name(f".{path.name}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, path)
        self.sync_folder(path.parent)

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def list(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        path.mkdir(mode=mode, parents=True, exist_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free(self, folder: Path) -> int:
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize

    def capacity(self, folder: Path) -> int:
        stat = os.statvfs(folder)
        return stat.f_blocks * stat.f_frsize

    def lock(self, path: Path) -> int | None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            # A lock of an earlier start is as good on a disk that cannot be written.
            if error.errno != errno.EROFS or not path.exists():
                raise
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def unlock(self, descriptor: int) -> None:
        os.close(descriptor)

    def database(self, path: Path) -> sqlite3.Connection:
        if str(path) != ":memory:":
            # SQLite would let everybody read; what it makes beside the file has the file's rights.
            with suppress(OSError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
