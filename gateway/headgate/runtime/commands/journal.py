"""What commands must not forget: counters, ids and their results, leases, moves, the lock. `commands.db`.

Everything is in memory; a change is durable before it is known there. A journal that was damaged is set aside
and begun again, and says so: who relies on it then treats every lease as ended.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from headgate.env import Env
from headgate.envelope.command import CommandValue, Content
from headgate.errors import SpoolError
from headgate.runtime.commands.allowed import End, Move
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.witness import Witness
from headgate.spool.database import Change, Database, refused

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE kept (kind TEXT NOT NULL, name BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, name));
"""
#: Results of ids that are spent, and of those that never moved anything.
MOST_SPENT: Final = 4096
MOST_UNSPENT: Final = 256
MOST_ISSUERS: Final = 1024
#: Moves of one point that are remembered: an hour of them at the most that can be allowed.
MOST_MOVES: Final = 3600

#: States in which nothing more comes, but for the end of a lease.
OVER: Final = frozenset(
    {
        "confirmed",
        "failed",
        "unknown",
        "refused",
        "cancelled",
        "expired",
        "superseded",
        "renewed",
        "ended",
    }
)
_UNUSABLE = (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, OSError)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One command: who wanted what, how far it came, and what was written and read.

    `spent` is whether it was ever accepted: such an id is never carried out again. `before` and `back`
    are raw values of the point, from before and after the write; `value` is the latter in its unit.
    """

    content: Content
    issuer: bytes
    who: str
    step: str
    state: str
    at_us: int
    boot: bytes
    code: str = ""
    text: str = ""
    spent: bool = False
    raw: bool | int | float | None = None
    before: bool | int | float | None = None
    value: CommandValue | None = None
    uplink: str = ""
    request: bytes = b""
    """SM3 of the body of the message that is answered last; empty for what was done at the box."""
    number: int = 0
    fields: dict[str, str | int | float | bool | None] = {}
    """What fills the sentence of `code`, in whatever language it is said."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A point that is forced, and all that its end needs, whatever the site file says by then.

    `until_us` is boottime of `boot`. `ending` is why it is being ended; empty while it runs.
    """

    device: str
    point: str
    command: bytes
    who: str
    value: CommandValue
    raw: bool | int | float
    on_end: str
    end: End | None
    until_us: int
    boot: bytes
    ending: str = ""

    @property
    def name(self) -> Place:
        """Device and point."""
        return self.device, self.point


class Lock(msgspec.Struct, frozen=True):
    """Remote commands are locked out: by whom, why, and since when (boottime, boot)."""

    who: str
    reason: str
    at_us: int
    boot: bytes


class Changes(msgspec.Struct, kw_only=True):
    """What becomes durable together. None in a value takes it away."""

    counters: Mapping[bytes, int] = {}
    commands: Sequence[Kept] = ()
    leases: Mapping[Place, Lease | None] = {}
    moves: Mapping[Place, tuple[Move, ...]] = {}
    lock: Lock | None = None
    unlock: bool = False


class Journal:
    """The memory of commands. `write` returns when it is on the medium.

    `runtime` is a folder that ends with the boot, where this boot's own memory of it lies.
    """

    def __init__(self, env: Env, path: Path, runtime: Path | None = None) -> None:
        self._env = env
        self._database = Database(env.files, path, _SCHEMA, VERSION)
        self._thread = env.single("headgate-commands")
        self._witness = Witness(env, path, runtime)
        #: How often it was written, ever.
        self._written = 0
        self._counters: dict[bytes, int] = {}
        self._commands: dict[bytes, Kept] = {}
        self._moves: dict[Place, tuple[Move, ...]] = {}
        self.leases: dict[Place, Lease] = {}
        self.lock: Lock | None = None
        #: Whether what was known is gone: no lease can be shown to run.
        self.damaged = False

    # ------------------------------------------------------------ start and stop

    def open(self) -> None:
        """Load what is remembered. A disk that refuses is met again, and told, at the first write.

        Raises:
            SpoolLocked: the journal is of a newer version; nothing is changed.
        """
        try:
            self._load(self._database.open())
        except _UNUSABLE as error:
            if refused(error):
                log.error("commands.db cannot be written", extra={"error": str(error)})
                self._load_frozen()
                return
            log.error("commands.db is damaged and set aside", extra={"error": str(error)})
            self.damaged = True
            self._database.set_aside()
            self._forget()
        if self._witness.knows_more(self._written):
            log.error("commands.db is older than this boot remembers")
            self.damaged = True

    def _load_frozen(self) -> None:
        self._database.close()
        try:
            db = self._database.frozen()
            if db is not None:
                self._load(db)
                db.close()
        except _UNUSABLE as error:
            log.error("commands.db cannot be read", extra={"error": str(error)})
            self.damaged = True
            self._forget()

    def _forget(self) -> None:
        self._counters, self._commands, self._moves = {}, {}, {}
        self.leases, self.lock = {}, None

    def close(self) -> None:
        """Close. Everything is written already."""
        self._thread.shutdown(wait=True)
        self._database.close()

    def _load(self, db: sqlite3.Connection) -> None:
        for kind, name, data in db.execute("SELECT kind, name, data FROM kept ORDER BY rowid"):
            body = data[4:]
            if data[:4] != _checksum(kind, name, body):
                # A rotten bit could set a counter back, or call a forced pump free.
                raise ValueError(f"{kind} {name.hex()} is damaged")
            if kind == "counter":
                self._counters[name] = _unpack(body, int)
            elif kind == "command":
                self._commands[name] = _unpack(body, Kept)
            elif kind == "lease":
                lease = _unpack(body, Lease)
                self.leases[lease.name] = lease
            elif kind == "moves":
                place, moves = _unpack(body, tuple[Place, tuple[Move, ...]])
                self._moves[place] = moves
            elif kind == "lock":
                self.lock = _unpack(body, Lock)
            elif kind == "written":
                self._written = _unpack(body, int)

    # ------------------------------------------------------------ what is known

    def counter(self, issuer: bytes) -> int:
        """The highest counter of a key so far; -1 when it was never heard."""
        return self._counters.get(issuer, -1)

    def command(self, command: bytes) -> Kept | None:
        """What became of a command id."""
        return self._commands.get(command)

    def commands(self) -> Sequence[Kept]:
        """Every command remembered, oldest first."""
        return tuple(self._commands.values())

    def moves(self, place: Place) -> tuple[Move, ...]:
        """Writes of a point that were carried out, oldest first."""
        return self._moves.get(place, ())

    # ------------------------------------------------------------ writing

    async def write(self, changes: Changes) -> None:
        """Make changes durable, all or none.

        Raises:
            SpoolError: the disk refuses; nothing of them is known, but a counter stays spent.
        """
        for issuer, counter in changes.counters.items():
            # Spent at once and for good: a disk that fails must not let a message come again.
            self._counters[issuer] = max(counter, self.counter(issuer))
        rows, gone = self._rows(changes)
        written = self._written = self._written + 1
        try:
            await self._aside(lambda: self._put(rows, written))
        except (sqlite3.Error, OSError) as error:
            reason = str(error)
            raise SpoolError(f"commands.db: {reason}", code="HG-6528", reason=reason) from error
        self._know(changes, gone)

    def _put(self, rows: Sequence[Change], written: int) -> None:
        self._database.write(rows)
        self._witness.note(written)

    def _know(self, changes: Changes, gone: Sequence[bytes]) -> None:
        for command in gone:
            self._commands.pop(command, None)
        for kept in changes.commands:
            self._commands.pop(kept.content.command, None)
            self._commands[kept.content.command] = kept
        for place, lease in changes.leases.items():
            if lease is None:
                self.leases.pop(place, None)
            else:
                self.leases[place] = lease
        for place, moves in changes.moves.items():
            self._moves[place] = moves[-MOST_MOVES:]
        if changes.lock is not None or changes.unlock:
            self.lock = changes.lock

    def _rows(self, changes: Changes) -> tuple[list[Change], list[bytes]]:
        """The rows that are written, and the ids that are forgotten for them."""
        rows: list[Change] = []

        def put(kind: str, name: bytes, what: object) -> None:
            body = msgspec.msgpack.encode(what)
            data = _checksum(kind, name, body) + body
            rows.append(("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (kind, name, data)))

        def drop(kind: str, name: bytes) -> None:
            rows.append(("DELETE FROM kept WHERE kind = ? AND name = ?", (kind, name)))

        put("written", b"", self._written + 1)
        for issuer in changes.counters:
            put("counter", issuer, self._counters[issuer])
        for kept in changes.commands:
            put("command", kept.content.command, kept)
        for place, lease in changes.leases.items():
            name = _name(place)
            drop("lease", name) if lease is None else put("lease", name, lease)
        for place, moves in changes.moves.items():
            put("moves", _name(place), (place, moves[-MOST_MOVES:]))
        if changes.lock is not None:
            put("lock", b"", changes.lock)
        elif changes.unlock:
            drop("lock", b"")
        gone = self._too_many(changes.commands)
        for command in gone:
            drop("command", command)
        return rows, gone

    def _too_many(self, new: Sequence[Kept]) -> list[bytes]:
        """The oldest ids beyond the bounds; none that is still under way."""
        ids = {kept.content.command: kept for kept in self._commands.values()}
        for kept in new:
            ids.pop(kept.content.command, None)
            ids[kept.content.command] = kept
        if len(ids) <= MOST_UNSPENT:
            return []
        gone: list[bytes] = []
        for spent, most in ((True, MOST_SPENT), (False, MOST_UNSPENT)):
            known = [i for i, kept in ids.items() if kept.spent is spent]
            surplus = known[: max(0, len(known) - most)]
            gone += [i for i in surplus if ids[i].state in OVER or not spent]
        return gone

    def knows_issuer(self, issuer: bytes) -> bool:
        """Whether there is room for a key's counter."""
        return issuer in self._counters or len(self._counters) < MOST_ISSUERS

    async def _aside(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work)


def _name(place: Place) -> bytes:
    return "/".join(place).encode()


def _unpack(data: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(data, type=kind)


def _checksum(kind: str, name: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(name, zlib.crc32(kind.encode()))).to_bytes(4, "big")
