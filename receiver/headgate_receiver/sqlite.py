"""The receiver's store in one SQLite file. `schema.sql` beside this file is its documented form."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files as packaged
from pathlib import Path
from typing import Any, Final

from headgate.env import Files
from headgate.envelope.payload import decode_table
from headgate.envelope.ranges import RangeSet
from headgate.envelope.record import RecordKey
from headgate.model import PointTable
from headgate_receiver.forks import SEVERITY, text
from headgate_receiver.inserts import insert_item, reading_rows
from headgate_receiver.store import (
    Batch,
    Before,
    Held,
    OpenRecord,
    StoredGrant,
    StoreError,
)

VERSION: Final = "1"
#: Refusals that nothing proves are kept for looking at, not for ever.
KEPT_REFUSALS: Final = 10_000


def schema() -> str:
    """The tables, indexes and views, as SQL."""
    return packaged(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


class SqliteSink:
    """A `Sink` in one file. One receiver writes it; any number of programs may read it meanwhile."""

    keeps_readings = True

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._open()

    def _open(self) -> None:
        try:
            db = self._files.database(self._path)
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._path}: {error}", code="HG-7011", file=str(self._path)
            ) from None
        try:
            # FULL: a receipt promises that a power cut does not take it back.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
                db.execute(f"PRAGMA {pragma}")
            db.executescript(schema())
            db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (VERSION,))
            (found,) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if found != VERSION:
                raise StoreError(
                    f"{self._path} has schema {found}, this receiver writes {VERSION}",
                    code="HG-7012",
                    file=str(self._path),
                    found=found,
                )
        except sqlite3.Error as error:
            db.close()
            raise StoreError(
                f"{self._path}: {error}", code="HG-7011", file=str(self._path)
            ) from None
        except StoreError:
            db.close()
            raise
        self._db = db
        self._inode = _inode(self._path)
        self._seen = self._data_version()
        self._boots: dict[tuple[str, bytes], int] = {}
        self._points: dict[tuple[str, bytes], int] = {}

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def changed(self) -> bool:
        """Whether somebody wrote to the file, or put another one in its place."""
        if _inode(self._path) != self._inode:
            # SQLite would go on writing into the file that has no name any more.
            self._db.close()
            self._open()
            return True
        seen, self._seen = self._seen, self._data_version()
        if seen == self._seen:
            return False
        self._db.executescript(schema())
        self._boots.clear()
        self._points.clear()
        return True

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ------------------------------------------------------------ lookups

    def grants(self, epoch: bytes, key_id: bytes) -> Sequence[StoredGrant]:
        """Grants of this key id."""
        rows = self._db.execute(
            "SELECT gateway, salt, record_key, core, certificate, signer, der FROM grants "
            "LEFT JOIN certificates ON digest = certificate "
            "WHERE epoch = ? AND key_id = ? ORDER BY received_us",
            (epoch, key_id),
        )
        return [
            StoredGrant(
                gateway, epoch, RecordKey(key_id, salt, key), core, certificate, signer or b"",
                der or b"",
            )
            for gateway, salt, key, core, certificate, signer, der in rows
        ]  # fmt: skip

    def newest_keys(self, gateway: str, most: int) -> Sequence[tuple[bytes, bytes]]:
        """(epoch, key id) of the grants of a gateway that came last, the newest first."""
        return self._db.execute(
            "SELECT epoch, key_id FROM grants WHERE gateway = ? ORDER BY received_us DESC LIMIT ?",
            (gateway, most),
        ).fetchall()

    def table(self, digest: bytes) -> bytes | None:
        """The announced form of a table."""
        body: bytes | None = self._one("SELECT body FROM tables WHERE digest = ?", digest)
        return body

    def read_table(self, digest: bytes) -> PointTable:
        """A table that is known to be kept."""
        return decode_table(self.table(digest) or b"")

    def stored(self, gateway: str, epoch: bytes) -> RangeSet:
        """Which n of an epoch are committed."""
        return RangeSet(
            self._db.execute(
                "SELECT first, last FROM stored_ranges WHERE gateway = ? AND epoch = ? ORDER BY first",
                (gateway, epoch),
            )
        )

    def refusal(self, gateway: str, epoch: bytes, n: int) -> str | None:
        """Why a record was refused for good."""
        reason: str | None = self._one(
            "SELECT reason FROM refusals WHERE gateway = ? AND epoch = ? AND n = ? LIMIT 1",
            gateway,
            epoch,
            n,
        )
        return reason

    def refused(self, gateway: str, epoch: bytes) -> Sequence[int]:
        """Every n of an epoch that was refused for good."""
        rows = self._db.execute(
            "SELECT DISTINCT n FROM refusals WHERE gateway = ? AND epoch = ? AND n IS NOT NULL",
            (gateway, epoch),
        )
        return [n for (n,) in rows]

    def successors(self, gateway: str, previous: bytes | None) -> Sequence[bytes]:
        """Epochs whose link names `previous` as the one before them."""
        rows = self._db.execute(
            "SELECT epoch FROM epochs WHERE gateway = ?1 AND previous IS ?2"
            " AND (linked = 1 OR previous IS NOT NULL)",
            (gateway, previous),
        )
        return [epoch for (epoch,) in rows]

    def end(self, gateway: str, epoch: bytes) -> int | None:
        """The lowest last n that a later epoch's link names of this one."""
        end: int | None = self._one(
            "SELECT min(last_n) FROM epochs WHERE gateway = ? AND previous = ?", gateway, epoch
        )
        return end

    def before(self, gateway: str, epoch: bytes) -> Before | None:
        """What the epoch link of this epoch says."""
        row = self._db.execute(
            "SELECT previous, last_n FROM epochs "
            "WHERE gateway = ? AND epoch = ? AND previous IS NOT NULL",
            (gateway, epoch),
        ).fetchone()
        return None if row is None else Before(*row)

    def link(self, gateway: str, epoch: bytes, n: int) -> tuple[bytes, bytes] | None:
        """Of a stored record that is signed: its link, and the link that it names before it."""
        row: tuple[bytes, bytes] | None = self._db.execute(
            "SELECT link, previous FROM signed_records WHERE gateway = ? AND epoch = ? AND n = ?",
            (gateway, epoch, n),
        ).fetchone()
        return row

    def held(self) -> Sequence[Held]:
        """All records that wait, oldest first."""
        rows = self._db.execute(
            "SELECT digest, sender, waits_for, data FROM held ORDER BY received_us"
        )
        return [Held(*row) for row in rows]

    def _one(self, query: str, *parameters: Any) -> Any:
        row = self._db.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    # ------------------------------------------------------------ commit

    def commit(self, batch: Batch) -> None:
        """Everything of the batch in one transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._write(batch)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                self._boots.clear()
                self._points.clear()
                raise
        except (sqlite3.Error, OverflowError) as error:
            reason = str(error)
            raise StoreError(
                f"{self._path}: {reason}", file=str(self._path), reason=reason
            ) from None

    def _write(self, batch: Batch) -> None:
        run, many = self._db.execute, self._db.executemany
        now = batch.received_us
        many(
            "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    g.gateway,
                    g.epoch,
                    g.key.key_id,
                    g.key.salt,
                    g.key.key,
                    g.core,
                    g.certificate,
                    now,
                )
                for g in batch.grants
            ),
        )
        many(
            "INSERT OR IGNORE INTO certificates VALUES (?, ?, ?)",
            ((g.certificate, g.signer, g.der) for g in batch.grants if g.der),
        )
        many(
            "INSERT OR IGNORE INTO epochs (gateway, epoch, first_us) VALUES (?, ?, ?)",
            ((g.gateway, g.epoch, now) for g in batch.grants),
        )
        many(
            "INSERT OR IGNORE INTO tables VALUES (?, ?, ?)",
            ((t.digest, t.body, now) for t in batch.tables),
        )
        self._tables = {t.digest: t for t in batch.tables}
        readings: list[tuple[Any, ...]] = []
        touched: dict[tuple[str, bytes], list[int]] = {}
        for record in batch.records:
            readings += self._record(record, now)
            touched.setdefault((record.gateway, record.epoch), []).append(record.n)
        many("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", readings)
        for (gateway, epoch), numbers in touched.items():
            self._settle(gateway, epoch, numbers)
        many(
            "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, ?)",
            ((h.digest, h.sender, h.waits_for, h.data, now) for h in batch.held),
        )
        many("DELETE FROM held WHERE digest = ?", ((digest,) for digest in batch.released))
        many(
            "INSERT INTO refusals (kind, sender, code, reason, gateway, epoch, n, received_us) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (r.kind, r.sender, r.code, r.reason, r.gateway, r.epoch, r.n, now)
                for r in batch.refusals
            ),
        )
        if batch.refusals:
            run(
                "DELETE FROM refusals WHERE gateway IS NULL "
                "AND id <= (SELECT max(id) FROM refusals) - ?",
                (KEPT_REFUSALS,),
            )
        many(
            # Once: what is there already was told, also by an earlier run of the receiver.
            "INSERT INTO alarms (gateway, number, point, code, severity, active, at_us, text, source)"
            " SELECT ?1, 0, '', ?2, ?3, 1, ?4, ?5, 'receiver' WHERE NOT EXISTS (SELECT 1 FROM alarms"
            " WHERE gateway = ?1 AND code = ?2 AND text = ?5 AND source = 'receiver')",
            (
                (fork.gateway, fork.code, SEVERITY[fork.code], now, text(fork))
                for fork in batch.forks
            ),
        )

    def _settle(self, gateway: str, epoch: bytes, numbers: list[int]) -> None:
        """Melt new numbers into the stored ranges around them."""
        low, high = min(numbers), max(numbers)
        # The range that starts below `low` may reach it; all others begin inside.
        before = self._one(
            "SELECT max(first) FROM stored_ranges WHERE gateway = ? AND epoch = ? AND first <= ?",
            gateway,
            epoch,
            low,
        )
        start = low if before is None else before
        where = "WHERE gateway = ? AND epoch = ? AND first BETWEEN ? AND ?"
        span = (gateway, epoch, start, high + 1)
        ranges = RangeSet(
            self._db.execute(f"SELECT first, last FROM stored_ranges {where} ORDER BY first", span)  # noqa: S608
        )
        for n in numbers:
            ranges.add(n)
        self._db.execute(f"DELETE FROM stored_ranges {where}", span)  # noqa: S608
        self._db.executemany(
            "INSERT INTO stored_ranges VALUES (?, ?, ?, ?)",
            ((gateway, epoch, first, last) for first, last in ranges.ranges()),
        )

    def _record(self, record: OpenRecord, now: int) -> Iterator[tuple[Any, ...]]:
        boot = self._boot(record.gateway, record.boot)
        cursor = self._db.execute(
            "INSERT INTO records (gateway, epoch, n, boot, received_us) VALUES (?, ?, ?, ?, ?)",
            (record.gateway, record.epoch, record.n, boot, record.received_us),
        )
        number = cursor.lastrowid
        assert number is not None
        if (signed := record.signed) is not None:
            self._db.execute(
                "INSERT INTO signed_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.gateway, record.epoch, record.n, signed.link, signed.previous,
                    signed.signature, signed.header, signed.lengths, signed.frame, number,
                ),
            )  # fmt: skip
        for item in record.items:
            insert_item(self._db, item, record, boot, number, self._boot)
        self._db.executemany(
            "INSERT INTO unknown_items VALUES (?, ?, ?, ?)",
            ((record.gateway, each.type, each.data, number) for each in record.unknown),
        )
        for look in record.looks if self.keeps_readings else ():
            base = self._point_base(record.gateway, look.table)
            yield from reading_rows(look, base, boot, number)

    def _boot(self, gateway: str, boot: bytes) -> int:
        key = (gateway, boot)
        number = self._boots.get(key)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO boots (gateway, boot) VALUES (?, ?)", key)
            number = int(self._one("SELECT id FROM boots WHERE gateway = ? AND boot = ?", *key))
            self._boots[key] = number
        return number

    def _point_base(self, gateway: str, digest: bytes) -> int:
        """The id of a table's first point for this gateway; the others follow it."""
        key = (gateway, digest)
        base = self._points.get(key)
        if base is None:
            found = self._one(
                "SELECT id FROM points WHERE gateway = ? AND digest = ? AND position = 0", *key
            )
            base = self._points[key] = self._describe(gateway, digest) if found is None else found
        return base

    def _describe(self, gateway: str, digest: bytes) -> int:
        new = self._tables.get(digest)
        table = self.read_table(digest) if new is None else new.table
        base = int(self._one("SELECT coalesce(max(id), 0) + 1 FROM points"))
        self._db.executemany(
            "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    base + at, gateway, digest, at, table.device, table.number, point.name, point.type,
                    point.unit, point.data_class.value, point.title,
                )
                for at, point in enumerate(table.points)
            ),
        )  # fmt: skip
        self._db.execute(
            "INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                gateway, table.device, table.number, table.name,
                json.dumps(table.labels, ensure_ascii=False, sort_keys=True), table.vendor, table.model,
                table.firmware, table.profile, table.interval_us, table.heartbeat_us, digest,
            ),
        )  # fmt: skip
        return base


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
