"""What was sent and what came back, on disk: the platform's memory of its commands.

One SQLite file. Everything is in it before it goes out or is acted on, so that a program that was killed
knows afterwards what it had asked for, and sends no OPERATE twice. Several programs may share one file.
`docs/operate/platform-commands.md` describes the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from headgate.env import Files
from headgate.envelope.command import Command, Content, Operation
from headgate_receiver.commands.errors import AlreadySent, CommandError
from headgate_receiver.commands.standing import SentStep, Standing, Told, standing

VERSION: Final = "1"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- The highest counter that each key has signed, by SM3 of its public key.
CREATE TABLE IF NOT EXISTS counters (issuer BLOB PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
-- One row per command: its content, exactly, and whose it is.
CREATE TABLE IF NOT EXISTS commands (
    command BLOB PRIMARY KEY, gateway TEXT NOT NULL, device TEXT NOT NULL, point TEXT NOT NULL,
    operation TEXT NOT NULL, value BLOB NOT NULL,      -- msgpack: its type is part of it
    unit TEXT NOT NULL, not_before_us INTEGER NOT NULL, expiry_us INTEGER NOT NULL,
    lease_s INTEGER NOT NULL, issuer TEXT NOT NULL, made_us INTEGER NOT NULL
) WITHOUT ROWID;
-- Messages of ours, written down before they leave. delivery: unsent (for certain), or what the broker
-- said (broker: it took it; nobody: it had no one to give it to); NULL while nobody knows.
CREATE TABLE IF NOT EXISTS sent (
    id INTEGER PRIMARY KEY, command BLOB NOT NULL REFERENCES commands (command), step TEXT NOT NULL,
    counter INTEGER NOT NULL, token BLOB, request BLOB NOT NULL UNIQUE, message BLOB NOT NULL,
    at_us INTEGER NOT NULL, delivery TEXT
);
-- One OPERATE or RENEW for each token, ever.
CREATE UNIQUE INDEX IF NOT EXISTS sent_once ON sent (command, token)
    WHERE step IN ('operate', 'renew');
-- What gateways said: answers (checked), and command results out of the receiver's store.
CREATE TABLE IF NOT EXISTS told (
    id INTEGER PRIMARY KEY, command BLOB NOT NULL, gateway TEXT NOT NULL, source TEXT NOT NULL,
    state TEXT NOT NULL, step TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,
    value BLOB NOT NULL, lease_ms INTEGER NOT NULL, who TEXT NOT NULL, request BLOB NOT NULL,
    token BLOB, token_ms INTEGER NOT NULL, at_us INTEGER NOT NULL, received_us INTEGER NOT NULL,
    message BLOB,                                      -- an answer as it came, signed
    UNIQUE (command, gateway, source, state, at_us, request)
);
"""


class Journal:
    """One journal file. Calls are short and never overlap within one program."""

    def __init__(self, path: Path, files: Files) -> None:
        """Open or make it.

        Raises:
            CommandError: it cannot be used (HG-7102).
        """
        self._path = path
        try:
            self._db = files.database(path)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from None
        except CommandError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        # FULL: what was written down before it was sent is there after a power cut.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (VERSION,))
        found = self._meta("schema")
        if found != VERSION:
            raise self._unusable(f"schema {found}, not {VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ------------------------------------------------------------ what we ask

    def draft(self, content: Content, issuer: str, now_us: int) -> None:
        """Keep the content of a new command. The same content again is nothing new.

        Raises:
            CommandError: this id already names another content (HG-7103).
        """
        row = (
            content.command, content.gateway, content.device, content.point,
            content.operation.value, msgspec.msgpack.encode(content.value), content.unit,
            content.not_before_us, content.expiry_us, content.lease_s,
        )  # fmt: skip
        with self._transaction() as run:
            kept = run(
                "SELECT command, gateway, device, point, operation, value, unit, not_before_us,"
                " expiry_us, lease_s FROM commands WHERE command = ?",
                (content.command,),
            ).fetchone()
            if kept is None:
                run(
                    "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row, issuer, now_us),
                )
            elif kept != row:
                name = content.command.hex()
                raise CommandError(f"{name} names another", code="HG-7103", command=name)

    def next_counter(self, issuer: bytes, now_us: int) -> int:
        """A counter above all that this key has signed from here, on disk when this returns."""
        with self._transaction() as run:
            row = run("SELECT counter FROM counters WHERE issuer = ?", (issuer,)).fetchone()
            # Unix time where nothing is known: a journal that was lost begins above what it had used.
            counter = max(now_us, row[0] + 1 if row else 0)
            run("INSERT OR REPLACE INTO counters VALUES (?, ?)", (issuer, counter))
        return counter

    def sending(self, command: Command, request: bytes, message: bytes, now_us: int) -> None:
        """Note a message that is about to leave.

        Raises:
            AlreadySent: an OPERATE or RENEW with this token was noted before.
        """
        try:
            with self._transaction() as run:
                run(
                    "INSERT INTO sent (command, step, counter, token, request, message, at_us)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        command.content.command, command.step.value, command.counter, command.token,
                        request, message, now_us,
                    ),
                )  # fmt: skip
        except sqlite3.IntegrityError:
            name = command.content.command.hex()
            raise AlreadySent(
                f"{name} was operated", command=name, step=command.step.value
            ) from None

    def delivered(self, request: bytes, delivery: str) -> None:
        """Note what is known of a message's way: `broker`, `nobody`, or `unsent`."""
        with self._transaction() as run:
            run("UPDATE sent SET delivery = ? WHERE request = ?", (delivery, request))
            if delivery == "unsent":  # its token may be used after all
                run("UPDATE sent SET token = NULL WHERE request = ?", (request,))

    # ------------------------------------------------------------ what we are told

    def heard(self, gateway: str, told: Told, message: bytes | None = None) -> bool:
        """Keep a gateway's word; whether it is new."""
        return bool(self.heard_all([(gateway, told, message)]))

    def heard_all(
        self, words: Sequence[tuple[str, Told, bytes | None]], cursor: int | None = None
    ) -> list[Told]:
        """Keep several words, and how far the store was read, in one transaction; those that are new.

        Words about commands that are not in this journal are somebody else's, and left out.
        """
        new = []
        with self._transaction() as run:
            for gateway, told, message in words:
                ours = run("SELECT 1 FROM commands WHERE command = ?", (told.command,)).fetchone()
                if ours is None:
                    continue
                done = run(
                    "INSERT OR IGNORE INTO told (command, gateway, source, state, step, code, text,"
                    " value, lease_ms, who, request, token, token_ms, at_us, received_us, message)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        told.command, gateway, told.source, told.state, told.step, told.code,
                        told.text, msgspec.msgpack.encode(told.value), told.lease_ms, told.who,
                        told.request, told.token, told.token_ms, told.at_us, told.received_us,
                        message,
                    ),
                )  # fmt: skip
                if done.rowcount:
                    new.append(told)
            if cursor is not None:
                run("INSERT OR REPLACE INTO meta VALUES ('results', ?)", (str(cursor),))
        return new

    @property
    def cursor(self) -> int:
        """How far the receiver's store was read."""
        return int(self._meta("results") or 0)

    # ------------------------------------------------------------ how things stand

    def knows(self, command: bytes) -> bool:
        """Whether this command was drafted here."""
        found = self._run("SELECT 1 FROM commands WHERE command = ?", (command,)).fetchone()
        return found is not None

    def content(self, command: bytes) -> Content:
        """The content of a command.

        Raises:
            CommandError: it is not here (HG-7104).
        """
        return self._row(command)[0]

    def standing(self, command: bytes) -> Standing:
        """Where a command stands. Raises CommandError as `content` does."""
        content, issuer = self._row(command)
        sent = [
            SentStep(command, step, request, at_us, delivery, token)
            for step, request, at_us, delivery, token in self._run(
                "SELECT step, request, at_us, delivery, token FROM sent WHERE command = ?"
                " ORDER BY id",
                (command,),
            )
        ]
        # An answer of another gateway than the one that was asked says nothing about this command.
        told = [
            _told(command, row)
            for row in self._run(
                f"SELECT {_TOLD} FROM told WHERE command = ? AND gateway = ? ORDER BY id",  # noqa: S608
                (command, content.gateway),
            )
        ]
        return standing(content, issuer, sent, told)

    def commands(self, limit: int = 50) -> list[Standing]:
        """The newest commands first."""
        rows = self._run(
            "SELECT command FROM commands ORDER BY made_us DESC, command LIMIT ?", (limit,)
        )
        return [self.standing(command) for (command,) in rows]

    def find(self, beginning: str) -> bytes:
        """The id of the one command whose id, in hex, begins so.

        Raises:
            CommandError: none, or more than one (HG-7104).
        """
        wanted = beginning.strip().lower()
        rows = self._run("SELECT command FROM commands WHERE lower(hex(command)) LIKE ?||'%'",
                         ("".join(c for c in wanted if c in "0123456789abcdef"),)).fetchall()  # fmt: skip
        if len(rows) != 1 or not wanted:
            raise CommandError(f"{len(rows)} begin so", code="HG-7104", command=beginning)
        return bytes(rows[0][0])

    # ------------------------------------------------------------ SQL

    def _row(self, command: bytes) -> tuple[Content, str]:
        row = self._run(
            "SELECT gateway, device, point, operation, value, unit, not_before_us, expiry_us,"
            " lease_s, issuer FROM commands WHERE command = ?",
            (command,),
        ).fetchone()
        if row is None:
            name = command.hex()
            raise CommandError(f"no command {name} here", code="HG-7104", command=name)
        gateway, device, point, operation, value, unit, begins, ends, lease, issuer = row
        content = Content(
            gateway, device, point, Operation(operation), msgspec.msgpack.decode(value), unit,
            command, begins, ends, lease,
        )  # fmt: skip
        return content, issuer

    def _meta(self, key: str) -> str | None:
        row = self._run("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _run(self, query: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, parameters)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db.execute
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, reason: object) -> CommandError:
        return CommandError(
            f"{self._path}: {reason}", code="HG-7102", path=str(self._path), reason=str(reason)
        )


_TOLD: Final = (
    "source, state, step, code, text, value, lease_ms, who, request, token, token_ms, at_us,"
    " received_us"
)


def _told(command: bytes, row: Sequence[Any]) -> Told:
    source, state, step, code, text, value, lease, who, request, token, token_ms, at, received = row
    return Told(
        command, state, source, at, received, step, code, text, msgspec.msgpack.decode(value), lease,
        who, request, token, token_ms,
    )  # fmt: skip
