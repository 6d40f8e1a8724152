"""The file behind `State`: opened, set aside when it is damaged, done without while the disk refuses."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headgate.env import Files
from headgate.errors import SpoolLocked
from headgate.spool.wal import folded

log = logging.getLogger(__name__)

Change = tuple[str, tuple[object, ...]]

#: Primary result codes that speak of the disk, or of a disk that cannot be written, and not of the file:
#: PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN. Source: sqlite.org/rescode.html.
_REFUSALS: Final = frozenset({3, 5, 6, 7, 8, 10, 13, 14})
#: IOERR_READ, IOERR_SHORT_READ, IOERR_DATA, IOERR_CORRUPTFS: a sector that rots is the file's fault.
_ROTTEN: Final = frozenset({266, 522, 8202, 8458})
_FULL: Final = 13
_READ_ONLY: Final = 8
#: ERROR (no such table), CORRUPT, NOTADB.
_DAMAGE: Final = frozenset({1, 11, 26})
_FRAME_HEADER: Final = 24


def _code(error: BaseException) -> int:
    """SQLite's extended result code; 0 where the error has none."""
    return int(getattr(error, "sqlite_errorcode", 0))


def refused(error: BaseException) -> bool:
    """Whether this is the disk's refusal, with nothing said against the file."""
    code = _code(error)
    return isinstance(error, OSError) or (code & 0xFF in _REFUSALS and code not in _ROTTEN)


def damaged(error: BaseException) -> bool:
    """Whether this is the file's fault."""
    return _code(error) & 0xFF in _DAMAGE or _code(error) in _ROTTEN


def full(error: BaseException) -> bool:
    """Whether there is no room."""
    return _code(error) & 0xFF == _FULL


class Database:
    """One SQLite file: a connection that writes, in one thread, and one that reads, on the loop.

    `written` is about what went to the disk: frames of the log, and pages when it is folded in.
    """

    def __init__(self, files: Files, path: Path, schema: str, version: int) -> None:
        self._files = files
        self._path = path
        self._schema = schema
        self._version = version
        self._writer: sqlite3.Connection | None = None
        self.reader: sqlite3.Connection | None = None
        self.written = 0
        self._frames = 0
        self._page_size = 4096

    @property
    def connected(self) -> bool:
        """Whether there is a file to write to."""
        return self._writer is not None

    def open(self) -> sqlite3.Connection:
        """Open the file, make it where it is missing; the connection to load from.

        Raises:
            SpoolLocked: it is of a newer version; nothing is changed.
            sqlite3.Error, OSError: `refused` and `damaged` say whose fault that is.
        """
        db = self._files.database(self._path)
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            db.execute("PRAGMA synchronous = FULL")
            if self._check(db) == 0:
                schema = f"BEGIN IMMEDIATE; {self._schema} PRAGMA user_version = {self._version}; COMMIT;"
                db.executescript(schema)
            self._page_size = int(db.execute("PRAGMA page_size").fetchone()[0])
            if self.reader is None:
                self.reader = self._files.database(self._path)
        except BaseException:
            db.close()
            raise
        self._writer = db
        return db

    def _check(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > self._version:
            raise SpoolLocked(
                f"{self._path} is of version {version}, newer than this runtime knows",
                code="HG-4004", path=str(self._path), version=version,
            )  # fmt: skip
        if version and db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            found = sqlite3.DatabaseError("quick_check found damage")
            found.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise found
        return version

    def look(self) -> sqlite3.Connection | None:
        """A connection that only reads, as `reader`; None where there is no file.

        Raises:
            SpoolLocked, sqlite3.Error, OSError: as `open`.
        """
        if not self._files.size(self._path):
            return None
        db = self._files.database(self._path)
        try:
            db.execute("PRAGMA query_only = 1")
            self._check(db)
        except BaseException:
            db.close()
            raise
        self.reader = db
        return db

    def frozen(self) -> sqlite3.Connection | None:
        """What lies in the file of a disk that cannot be written, as a copy in memory; None without one.

        What SQLite had not folded into the file yet is folded in here.

        Raises:
            SpoolLocked, sqlite3.Error, OSError: as `open`.
        """
        if not self._files.size(self._path):
            return None
        data = bytearray(folded(self._files.read(self._path), self._log_beside()))
        # A copy cannot have a log beside it: read and write version 1, sqlite.org/fileformat2.html, 1.3.2.
        data[18:20] = b"\x01\x01"
        db = self._files.database(Path(":memory:"))
        try:
            db.deserialize(bytes(data))
            version = self._check(db)
        except BaseException:
            db.close()
            raise
        if version == 0:
            db.close()
            return None
        return db

    def _log_beside(self) -> bytes:
        try:
            return self._files.read(self._path.with_name(f"{self._path.name}-wal"))
        except FileNotFoundError:
            return b""
        except OSError as error:
            # An older memory costs less than none.
            log.error("log of state.db not read", extra={"error": str(error)})
            return b""

    def write(self, changes: Iterable[Change]) -> None:
        """Make changes durable, all or none. Raises sqlite3.Error, OSError."""
        if self._writer is None:
            self.open()
        db = self._writer
        assert db is not None
        try:
            db.execute("BEGIN IMMEDIATE")
            for sql, values in changes:
                db.execute(sql, values)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            try:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()
            if _code(error) & 0xFF == _READ_ONLY:
                # A file opened while the disk was read-only stays so: sqlite.org/c3ref/open.html.
                self._reopen_to_write()
            raise
        self._count()

    def _reopen_to_write(self) -> None:
        """The next write opens the file again; what is read meanwhile is read from where it was."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _count(self) -> None:
        # The log's own count of its frames: sqlite.org/walformat.html, 2.1, mxFrame in the host's order.
        try:
            head = self._files.read(self._path.with_name(f"{self._path.name}-shm"), 16, 4)
        except OSError:
            return
        frames = int.from_bytes(head, sys.byteorder)
        if frames < self._frames:
            pages = (self._files.size(self._path) or 0) // self._page_size
            self.written += min(self._frames, pages) * self._page_size
            self._frames = 0
        self.written += (frames - self._frames) * (self._page_size + _FRAME_HEADER)
        self._frames = frames

    def close(self) -> None:
        """Close both connections."""
        for connection in (self.reader, self._writer):
            if connection is not None:
                try:
                    connection.close()
                except sqlite3.Error as error:
                    log.warning("state.db did not close", extra={"error": str(error)})
        self._writer = self.reader = None

    def set_aside(self) -> None:
        """Keep a damaged file beside itself, out of the way."""
        self.close()
        self._frames = 0
        for suffix in ("", "-wal", "-shm"):
            path = self._path.with_name(self._path.name + suffix)
            try:
                if self._files.size(path) is not None:
                    self._files.rename(path, path.with_name(f"{path.name}.damaged"))
            except OSError as error:
                log.warning("damaged state not set aside", extra={"error": str(error)})
