"""What the gateway remembers beside its records: `state.db`. Losing it costs resends, never a record.

Everything small lives in memory and is written in batches, so nobody on the event loop waits for a disk:
changes are noted at once from any thread, and `flush` (one thread: the writer's) makes them durable in one
transaction. A damaged database is set aside and begun again, at a start from nothing, later from memory.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from headgate.env import Env
from headgate.envelope.ranges import RangeSet
from headgate.errors import EnvelopeError
from headgate.spool.database import Change, Database, damaged, full, refused
from headgate.spool.devices import DeviceNumbers
from headgate.spool.epochs import Epochs
from headgate.spool.records import Totals
from headgate.spool.remembered import DeadLetter, Epoch, Grant, OriginKey

log = logging.getLogger(__name__)

VERSION: Final = 1
_SCHEMA = """
CREATE TABLE epochs (
    epoch BLOB PRIMARY KEY, boot BLOB NOT NULL, previous BLOB, last_n INTEGER, started INTEGER NOT NULL);
CREATE TABLE settled (
    uplink TEXT NOT NULL, epoch BLOB NOT NULL, ranges BLOB NOT NULL, PRIMARY KEY (uplink, epoch));
CREATE TABLE devices (id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE);
CREATE TABLE tables (digest BLOB PRIMARY KEY, data BLOB NOT NULL, epoch BLOB NOT NULL);
CREATE TABLE grants (
    key_id BLOB PRIMARY KEY, epoch BLOB NOT NULL, core BLOB NOT NULL, wrap BLOB, message BLOB,
    created INTEGER NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE origins (
    station TEXT NOT NULL, function TEXT NOT NULL, serial INTEGER NOT NULL, digest BLOB NOT NULL,
    epoch BLOB NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (station, function, serial, digest));
CREATE TABLE plans (device INTEGER PRIMARY KEY, plan BLOB NOT NULL);
CREATE TABLE dead_letters (
    uplink TEXT NOT NULL, epoch BLOB NOT NULL, n INTEGER NOT NULL, key_id BLOB NOT NULL,
    reason TEXT NOT NULL, at INTEGER NOT NULL, data BLOB, PRIMARY KEY (uplink, epoch, n));
CREATE TABLE noted (spool BLOB PRIMARY KEY, serial INTEGER NOT NULL, totals BLOB NOT NULL);
"""
_pack = msgspec.msgpack.encode
#: What costs a resend or a wider gap at most when the last seconds of it are lost.
_SOFT: Final = frozenset({"settled", "noted", "epoch"})
_SIGN: Final = ("counter", "last-sign-us")
_SPARE_US: Final = 10_000_000
_TENTH: Final = 10
#: What may come of opening or reading a database that is damaged, or of a disk that refuses.
_UNUSABLE = (sqlite3.Error, msgspec.MsgspecError, EnvelopeError, ValueError, TypeError, OSError)


class State:
    """The memory of the gateway. Reads never wait for the disk, `table` and dead letters excepted."""

    def __init__(
        self, env: Env, path: Path, *, most_origins: int = 20_000, most_dead_letters: int = 1_000,
        most_epochs: int = 1_000,
    ) -> None:  # fmt: skip
        self._env = env
        self._path = path
        self._most_origins = most_origins
        self._most_dead_letters = most_dead_letters
        self._database = Database(env.files, path, _SCHEMA, VERSION)
        self._dirty: dict[tuple[object, ...], Change] = {}
        self._epochs = Epochs(most_epochs, self._note_epoch, self._forget_start)
        self._settled: dict[str, dict[bytes, RangeSet]] = {}
        self._devices = DeviceNumbers(env.files, path.with_name("devices"), self._note_device)
        self._tables: dict[bytes, bytes] = {}  # digest -> epoch that announced it last
        self._fresh: dict[bytes, bytes] = {}  # table bytes not flushed yet
        self._grants: dict[bytes, Grant] = {}
        self._counters: dict[str, int] = {}
        self._origins: dict[OriginKey, tuple[bytes, int]] = {}
        self._plans: dict[int, bytes] = {}
        self._noted: dict[bytes, Totals] = {}
        #: Whether the database was found damaged, and begun again.
        self.rebuilt = False
        self._complaint = ""
        # When what may wait was last written, and how much had been written for it and for readings then.
        self._spared_us: int | None = None
        self._spared = self._paid = 0
        #: Asked for room when the disk is full; how many bytes it gave. Set by whoever keeps some back.
        self.give_room: Callable[[], int] = lambda: 0

    # ------------------------------------------------------------ start and stop

    def open(self) -> None:
        """Load what is remembered; without a disk that can be written, from there on in memory.

        Raises:
            SpoolLocked: the database is of a newer version; nothing is changed.
        """
        try:
            self._load(self._database.open())
        except _UNUSABLE as error:
            if refused(error):
                # A full or read-only disk: go on from memory; `flush` keeps trying.
                log.error("state.db cannot be written", extra={"error": str(error)})
                self._load_frozen()
            else:
                self._begin_again(error)
        self._devices.load()

    def look(self) -> bool:
        """Load what is remembered and change nothing: for tools, also beside a running gateway.

        Returns:
            False when the database is damaged, and nothing is known.

        Raises:
            SpoolLocked: the database is of a newer version.
        """
        try:
            if (db := self._database.look()) is not None:
                self._load(db)
        except _UNUSABLE as error:
            log.warning("state.db cannot be read", extra={"error": str(error)})
            return False
        return True

    def release(self) -> None:
        """Let go of the database, writing nothing."""
        self._disconnect()

    def _load_frozen(self) -> None:
        self._database.close()
        try:
            db = self._database.frozen()
            if db is not None:
                self._load(db)
                db.close()
        except _UNUSABLE as error:
            log.error("state.db cannot be read", extra={"error": str(error)})

    def _begin_again(self, error: BaseException) -> None:
        log.error("state.db is damaged and set aside", extra={"error": str(error)})
        self._database.set_aside()
        self.rebuilt = True
        try:
            self._load(self._database.open())
        except _UNUSABLE as worse:
            log.error("state.db cannot be written", extra={"error": str(worse)})
            self._database.close()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._disconnect()

    def _disconnect(self) -> None:
        self._database.close()

    @property
    def written(self) -> int:
        """Bytes written to the database since the start, about."""
        return self._database.written

    def _load(self, db: sqlite3.Connection) -> None:
        rows = db.execute(
            "SELECT epoch, boot, previous, last_n, started FROM epochs ORDER BY started"
        )
        self._epochs.known({row[0]: Epoch(*row) for row in rows})
        self._settled = {}
        for uplink, epoch, ranges in db.execute("SELECT uplink, epoch, ranges FROM settled"):
            known = _unsealed(uplink, epoch, ranges)
            if known is None:
                # A rotten bit could call records settled that are not: better to send them again.
                log.error("settled ranges are damaged", extra={"uplink": uplink})
                continue
            self._settled.setdefault(uplink, {})[epoch] = known
        self._devices.known(dict(db.execute("SELECT id, number FROM devices")))
        self._tables = dict(db.execute("SELECT digest, epoch FROM tables"))
        self._grants = {
            row[0]: Grant(*row)
            for row in db.execute(
                "SELECT key_id, epoch, core, wrap, message, created FROM grants ORDER BY created, rowid"
            )
        }
        self._counters = dict(db.execute("SELECT name, value FROM counters"))
        self._origins = {
            OriginKey(*row[:4]): (row[4], row[5])
            for row in db.execute(
                "SELECT station, function, serial, digest, epoch, n FROM origins ORDER BY rowid"
            )
        }
        self._plans = dict(db.execute("SELECT device, plan FROM plans"))
        self._noted = {
            row[0]: Totals(row[0], row[1], msgspec.msgpack.decode(row[2], type=tuple[int, ...]))
            for row in db.execute("SELECT spool, serial, totals FROM noted")
        }

    # ------------------------------------------------------------ writing

    def _note(self, key: tuple[object, ...], sql: str, *values: object) -> None:
        # One entry per key, so a disk that is full for a day does not fill the memory instead.
        self._dirty[key] = (sql, values)

    def flush(self) -> bool:
        """Make what was noted durable in one transaction. False when the disk refuses; nothing is lost."""
        self._devices.save()
        if not self._dirty:
            return True
        taken: dict[tuple[object, ...], Change] = {}
        for key in list(self._dirty):
            taken[key] = self._dirty.pop(key)
        try:
            self._write(taken)
        except (sqlite3.Error, OSError) as error:
            self._complain(error)
            for key, change in taken.items():
                self._dirty.setdefault(key, change)
            if damaged(error):
                # Nothing would ever be written to it again. What memory knows goes into a new one.
                self._database.set_aside()
                self.rebuilt = True
                self._note_all()
            return False
        self._complaint = ""
        for key in taken:
            if key[0] == "table" and isinstance(key[1], bytes):
                self._fresh.pop(key[1], None)
        return True

    def flush_in_time(self, payload: int) -> bool:
        """As `flush`, but what may be lost without harm waits: it must not wear out the medium.

        Grants, tables, devices, plans, refused records and counters of commands go out at once. What is
        settled, how far the spool has come and the last sign of life go when they are a tenth of what
        was written for readings anyhow, and every ten seconds at the latest.

        Args:
            payload: sealed bytes that the spool has written since the start.
        """
        now = self._env.clock.boottime_us()
        soft = all(key[0] in _SOFT or key == _SIGN for key in list(self._dirty))
        early = self._spared_us is not None and now - self._spared_us < _SPARE_US
        if soft and early and self.written - self._spared > (payload - self._paid) // _TENTH:
            return True
        self._spared_us, self._spared, self._paid = now, self.written, payload
        return self.flush()

    def _complain(self, error: Exception) -> None:
        # Once a second for a week would be a log that nobody reads, on a disk that is full already.
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("state.db not written", extra={"error": self._complaint})

    def _write(self, taken: Mapping[tuple[object, ...], Change]) -> None:
        try:
            self._database.write(taken.values())
        except sqlite3.Error as error:
            if not full(error) or not self.give_room():
                raise
            self._database.write(taken.values())

    def _note_all(self) -> None:
        """Note everything that memory knows. Tables whose bytes lay in the database are announced again."""
        for digest in [digest for digest in self._tables if digest not in self._fresh]:
            del self._tables[digest]
        for digest, data in self._fresh.items():
            self._note_table(digest, data, self._tables[digest])
        for known in self._epochs.all():
            self._note_epoch(known)
        for uplink, settled in self._settled.items():
            for of, ranges in settled.items():
                self.settle(uplink, of, ranges)
        for device, number in self._devices.all().items():
            self._note_device(device, number)
        for grant in self._grants.values():
            self.keep_grant(grant)
        for name, value in self._counters.items():
            self.count(name, value)
        for key, (of, n) in self._origins.items():
            self._note_origin(key, of, n)
        for number, plan in self._plans.items():
            self.keep_plan(number, plan)
        self.note(self._noted.values())

    # ------------------------------------------------------------ epochs

    def begin_epoch(
        self, epoch: bytes, found: tuple[bytes | None, int | None]
    ) -> tuple[bytes | None, int | None]:
        """Start an epoch; the (previous epoch, last n committed there) to be announced in its link.

        Args:
            found: newest epoch and highest n of the spool's scan.
        """
        return self._epochs.begin(epoch, self._env.clock.boot_id(), found, self.epochs_kept)

    def _note_epoch(self, known: Epoch) -> None:
        # A start that could not read the database does not know how many there were: this one is the last.
        self._note(
            ("epoch", known.epoch), "INSERT OR REPLACE INTO epochs VALUES (?1, ?2, ?3, ?4, max(?5, "
            "(SELECT ifnull(max(started), 0) + 1 FROM epochs WHERE epoch != ?1 AND ?1 = ?6)))",
            known.epoch, known.boot, known.previous, known.last_n, known.started,
            self._epochs.current,
        )  # fmt: skip

    def _forget_start(self, epoch: bytes) -> None:
        self._note(("epoch", epoch), "DELETE FROM epochs WHERE epoch = ?", epoch)

    def committed(self, epoch: bytes, n: int) -> None:
        """A record of this epoch is durable."""
        self._epochs.committed(epoch, n)

    def epochs(self) -> Sequence[Epoch]:
        """Every epoch remembered, oldest first."""
        return self._epochs.all()

    def note(self, totals: Iterable[Totals]) -> None:
        """Remember how far the spool's logs have come."""
        for one in totals:
            self._noted[one.spool] = one
            self._note(
                ("noted", one.spool), "INSERT OR REPLACE INTO noted VALUES (?, ?, ?)",
                one.spool, one.serial, _pack(one.totals),
            )  # fmt: skip

    def noted(self) -> Sequence[Totals]:
        """How far the spool's logs had come, as remembered."""
        return tuple(self._noted.values())

    # ------------------------------------------------------------ settled

    def settled(self, uplink: str) -> Mapping[bytes, RangeSet]:
        """What each epoch's records were settled with this uplink, as remembered at the start."""
        return {epoch: ranges.copy() for epoch, ranges in self._settled.get(uplink, {}).items()}

    def settle(self, uplink: str, epoch: bytes, ranges: RangeSet) -> None:
        """Remember the whole set of settled n of one epoch."""
        self._settled.setdefault(uplink, {})[epoch] = ranges
        self._note(
            ("settled", uplink, epoch), "INSERT OR REPLACE INTO settled VALUES (?, ?, ?)",
            uplink, epoch, _sealed(uplink, epoch, ranges),
        )  # fmt: skip

    def epochs_kept(self) -> set[bytes]:
        """Epochs that settled ranges, grants or tables are kept for."""
        kept = {grant.epoch for grant in self._grants.values()} | set(self._tables.values())
        return kept.union(*self._settled.values())

    def forget_epoch(self, epoch: bytes) -> None:
        """No record of this epoch is in the spool: forget its settled ranges, grants and last tables.

        The epoch itself stays: the link of a later one may be asked for.
        """
        self._note(("settled-forget", epoch), "DELETE FROM settled WHERE epoch = ?", epoch)
        for settled in self._settled.values():
            settled.pop(epoch, None)
        for key_id in [grant.key_id for grant in self._grants.values() if grant.epoch == epoch]:
            self._grants.pop(key_id)
            self._dirty.pop(("grant", key_id), None)
        self._note(("grants-forget", epoch), "DELETE FROM grants WHERE epoch = ?", epoch)
        for digest in [digest for digest, last in self._tables.items() if last == epoch]:
            self._tables.pop(digest)
            self._fresh.pop(digest, None)
            self._dirty.pop(("table", digest), None)
            self._note(("table-forget", digest), "DELETE FROM tables WHERE digest = ?", digest)

    # ------------------------------------------------------------ devices

    def device_number(self, device: str) -> int:
        """The number of a device, for ever, never given to another. Flush before a record uses a new one."""
        return self._devices.number(device)

    def numbers_kept(self) -> bool:
        """Whether every number that was given is kept in its second home, too, by the last `flush`."""
        return self._devices.kept

    def devices(self) -> Mapping[str, int]:
        """Every device that ever had a number."""
        return self._devices.all()

    def number_above(self, number: int) -> None:
        """Give no number up to this: a clear index uses it, and whose it is was lost with the database."""
        self._devices.above(number)

    def _note_device(self, device: str, number: int) -> None:
        self._note(
            ("device", device), "INSERT OR REPLACE INTO devices VALUES (?, ?)", device, number
        )

    # ------------------------------------------------------------ tables and grants

    def keep_table(self, digest: bytes, data: bytes, epoch: bytes) -> None:
        """Keep an announced table; `epoch` is the latest that used it."""
        if self._tables.get(digest) == epoch:
            return
        self._tables[digest] = epoch
        self._fresh[digest] = data
        self._note_table(digest, data, epoch)

    def _note_table(self, digest: bytes, data: bytes, epoch: bytes) -> None:
        self._note(
            ("table", digest), "INSERT OR REPLACE INTO tables VALUES (?, ?, ?)", digest, data, epoch
        )

    def table(self, digest: bytes) -> bytes | None:
        """The bytes of an announced table."""
        if digest not in self._tables:
            return None
        fresh = self._fresh.get(digest)
        if fresh is not None:
            return fresh
        reader = self._database.reader
        if reader is None:
            return None
        try:
            row = reader.execute("SELECT data FROM tables WHERE digest = ?", (digest,)).fetchone()
        except sqlite3.Error as error:
            log.warning("table not read", extra={"error": str(error)})
            return None
        return bytes(row[0]) if row else None

    def tables(self) -> Mapping[bytes, bytes]:
        """The digest of every table kept, and the latest epoch that used it."""
        return dict(self._tables)

    def keep_grant(self, grant: Grant) -> None:
        """Keep a grant, or its new message or wrap."""
        self._grants[grant.key_id] = grant
        self._note(
            ("grant", grant.key_id), "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)",
            grant.key_id, grant.epoch, grant.core, grant.wrap, grant.message, grant.created,
        )  # fmt: skip

    def grant(self, key_id: bytes) -> Grant | None:
        """One grant."""
        return self._grants.get(key_id)

    def grants(self) -> Sequence[Grant]:
        """Every grant kept, oldest first."""
        return tuple(self._grants.values())

    # ------------------------------------------------------------ counters, origins, plans

    def counter(self, name: str) -> int:
        """A counter; 0 when it was never set."""
        return self._counters.get(name, 0)

    def counters(self) -> Mapping[str, int]:
        """Every counter that is not 0."""
        return dict(self._counters)

    def count(self, name: str, value: int) -> None:
        """Set a counter; with 0 it is forgotten."""
        key = ("counter", name)
        if value:
            self._counters[name] = value
            self._note(key, "INSERT OR REPLACE INTO counters VALUES (?, ?)", name, value)
        else:
            self._counters.pop(name, None)
            self._note(key, "DELETE FROM counters WHERE name = ?", name)

    def origin(self, key: OriginKey) -> tuple[bytes, int] | None:
        """(epoch, n) of the record that holds this delivery; None when it is new."""
        return self._origins.get(key)

    def origins(self) -> Sequence[OriginKey]:
        """Every delivery that is remembered, oldest first."""
        return tuple(self._origins)

    def keep_origin(self, key: OriginKey, epoch: bytes, n: int) -> None:
        """Remember a delivery; the oldest are forgotten at the bound."""
        self._origins[key] = (epoch, n)
        self._note_origin(key, epoch, n)
        while len(self._origins) > self._most_origins:
            old = next(iter(self._origins))
            del self._origins[old]
            self._note(
                ("origin", old),
                "DELETE FROM origins WHERE (station, function, serial, digest) = (?, ?, ?, ?)",
                old.station, old.function, old.serial, old.digest,
            )  # fmt: skip

    def _note_origin(self, key: OriginKey, epoch: bytes, n: int) -> None:
        self._note(
            ("origin", key), "INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?, ?, ?)",
            key.station, key.function, key.serial, key.digest, epoch, n,
        )  # fmt: skip

    def plan(self, device: int) -> bytes | None:
        """The active plan of a device, as it was announced."""
        return self._plans.get(device)

    def keep_plan(self, device: int, plan: bytes) -> None:
        """Remember the active plan of a device."""
        self._plans[device] = plan
        self._note(("plan", device), "INSERT OR REPLACE INTO plans VALUES (?, ?)", device, plan)

    # ------------------------------------------------------------ dead letters

    def bury(self, letter: DeadLetter) -> None:
        """Keep a refused record; beyond the bound the oldest are given up."""
        self._note(
            ("dead", letter.uplink, letter.epoch, letter.n),
            "INSERT OR IGNORE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?)",
            letter.uplink, letter.epoch, letter.n, letter.key_id, letter.reason, letter.at, letter.data,
        )  # fmt: skip
        self._note(
            ("dead-bound",), "DELETE FROM dead_letters WHERE rowid NOT IN"
            " (SELECT rowid FROM dead_letters ORDER BY rowid DESC LIMIT ?)",
            self._most_dead_letters,
        )  # fmt: skip

    def dead_letters(self, uplink: str | None = None) -> Sequence[DeadLetter]:
        """Refused records that are flushed, oldest first."""
        reader = self._database.reader
        if reader is None:
            return ()
        rows = reader.execute(
            "SELECT uplink, epoch, n, key_id, reason, at, data FROM dead_letters"
            " WHERE ?1 IS NULL OR uplink = ?1 ORDER BY rowid",
            (uplink,),
        )
        return tuple(DeadLetter(*row) for row in rows)


def _sealed(uplink: str, epoch: bytes, ranges: RangeSet) -> bytes:
    """Settled ranges with a checksum over whose they are: what is wrongly settled is lost in silence."""
    data = ranges.encode()
    return _checksum(uplink, epoch, data) + data


def _unsealed(uplink: str, epoch: bytes, sealed: bytes) -> RangeSet | None:
    data = sealed[4:]
    if sealed[:4] != _checksum(uplink, epoch, data):
        return None
    return RangeSet.decode(data)


def _checksum(uplink: str, epoch: bytes, data: bytes) -> bytes:
    return zlib.crc32(data, zlib.crc32(epoch, zlib.crc32(uplink.encode()))).to_bytes(4, "big")
