"""Command results as the receiver stores them: the durable word about a command, read from its store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from headgate.env import Files
from headgate.envelope.command import CommandValue
from headgate_receiver.commands.errors import CommandError
from headgate_receiver.commands.standing import Told

_MOST: Final = 1000


class StoredResult(NamedTuple):
    """One row: its number in the store, which rises, the gateway that said it, and what it said."""

    id: int
    gateway: str
    told: Told


class PointFacts(NamedTuple):
    """What the store knows of a point. `value` is the newest one, None where there is none to trust."""

    type: str
    unit: str
    title: str
    device_name: str
    value: CommandValue | None
    received_us: int | None


class Results(Protocol):
    """A store with command results. Yours is a class with these methods."""

    def newest(self) -> int:
        """The highest number in the store; 0 when there is none. It falls when the store begins anew."""
        ...

    def since(self, cursor: int) -> Sequence[StoredResult]:
        """Results with a number above `cursor`, in order, at most a thousand at a time."""
        ...

    def point(self, gateway: str, device: str, point: str) -> PointFacts | None:
        """What is known of a point; None when it was never announced."""
        ...


class SqliteResults:
    """Reads the store of `headgate receive` (`sqlite:FILE`, `jsonl:FILE`) while that is running."""

    def __init__(self, path: Path, files: Files) -> None:
        """Raises CommandError: there is no store (HG-7117)."""
        self._path = path
        if files.size(path) is None:
            raise self._unusable("no such file")
        try:
            self._db = files.database(path)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            self._db.execute("PRAGMA query_only = ON")
            self._db.execute("PRAGMA busy_timeout = 5000")
            self._db.execute("SELECT 1 FROM command_results LIMIT 1")
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def newest(self) -> int:
        """The highest number in the store."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM command_results")[0][0])

    def since(self, cursor: int) -> Sequence[StoredResult]:
        """Results above `cursor`."""
        rows = self._rows(
            "SELECT c.id, c.gateway, c.command, c.state, c.step, c.code, c.text, c.value, c.who,"
            " c.lease_us, c.at_us, r.received_us, p.type"
            " FROM command_results AS c JOIN records AS r ON r.id = c.record"
            " LEFT JOIN devices AS d ON d.gateway = c.gateway AND d.number = c.number"
            " LEFT JOIN points AS p ON p.gateway = c.gateway AND p.digest = d.digest"
            " AND p.point = c.point WHERE c.id > ? ORDER BY c.id LIMIT ?",
            (cursor, _MOST),
        )
        return [
            StoredResult(
                id_, gateway,
                Told(
                    command, state, "record", at, received, step, code, text, _typed(value, type_),
                    0 if lease is None else lease // 1000, who,
                ),
            )
            for id_, gateway, command, state, step, code, text, value, who, lease, at, received,
            type_ in rows
        ]  # fmt: skip

    def point(self, gateway: str, device: str, point: str) -> PointFacts | None:
        """What is known of a point."""
        rows = self._rows(
            "SELECT p.id, p.type, p.unit, p.title, d.name FROM devices AS d JOIN points AS p"
            " ON p.gateway = d.gateway AND p.digest = d.digest AND p.device = d.device"
            " WHERE d.gateway = ? AND d.device = ? AND p.point = ?",
            (gateway, device, point),
        )
        if not rows:
            return None
        id_, type_, unit, title, name = rows[0]
        newest = self._rows(
            "SELECT v.value, r.received_us FROM reading AS v JOIN records AS r ON r.id = v.record"
            " WHERE v.point = ? ORDER BY v.boot DESC, v.at_us DESC LIMIT 1",
            (id_,),
        )
        value, received = newest[0] if newest else (None, None)
        return PointFacts(type_, unit, title, name, _typed(value, type_), received)

    def _rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, reason: object) -> CommandError:
        return CommandError(
            f"{self._path}: {reason}", code="HG-7117", path=str(self._path), reason=str(reason)
        )


def _typed(value: CommandValue | None, type_: str | None) -> CommandValue | None:
    """SQLite has no bool."""
    return bool(value) if type_ == "bool" and value is not None else value
