"""What a receiver keeps, read back: its SQLite file, or its JSON lines.

The tables are in docs/reference/store.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headgate.envelope.payload import decode_table
from headgate.errors import EnvelopeError, HeadgateError
from headgate.model import Quality, Value
from headgate_receiver.verify.items import Fix, Look, Run, Stored, StoredGap, StoredPlan
from headgate_receiver.verify.sound import sounds


class StoredError(HeadgateError):
    """The store cannot be read."""

    default_code = "HG-7520"


def open_stored(source: str, gateway: str | None = None) -> Stored:
    """A store by name: `sqlite:FILE` or `jsonl:FILE`; of one gateway, or of all.

    Raises:
        StoredError: no such kind, or nothing there that can be read.
    """
    kind, colon, path = source.partition(":")
    if not colon or not path or kind not in ("sqlite", "jsonl"):
        raise StoredError(f"{source}: no such kind of store", code="HG-7521", source=source)
    if kind == "sqlite":
        return SqliteStored(Path(path), gateway)
    from headgate_receiver.verify.lines import LinesStored

    return LinesStored(Path(path), gateway)


class SqliteStored:
    """The receiver's SQLite file, read only: the receiver may go on meanwhile."""

    def __init__(self, path: Path, gateway: str | None = None) -> None:
        self._path = path
        self._gateway = gateway
        if not path.is_file():
            raise unreadable(path, "no such file")
        try:
            self._database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise unreadable(path, str(error)) from None
        try:
            # One snapshot: what is stored from now on is not looked at in one table and missed in another.
            self._database.execute("BEGIN")
            self._boots: dict[int, bytes] = dict(self.rows("SELECT id, boot FROM boots"))
            # By epoch first: of a box that was restored, a number may be another device's since.
            self._devices: dict[tuple[str, bytes | None, int], str] = {}
            for gateway, epoch, number, body in self.rows(
                "SELECT DISTINCT p.gateway, r.epoch, p.number, t.body FROM plans AS p"
                " JOIN records AS r ON r.id = p.record JOIN tables AS t ON t.digest = p.digest"
            ):
                device = decode_table(body).device
                self._devices[gateway, epoch, number] = device
                self._devices[gateway, None, number] = device
        except (StoredError, EnvelopeError) as error:
            self._database.close()
            raise unreadable(path, str(error)) from None
        self._runs: dict[tuple[str, bytes], Run] = {}

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def plans(self) -> Iterator[StoredPlan]:
        """Every plan."""
        for row in self.rows(
            "SELECT p.gateway, r.epoch, p.number, p.boot, p.start_us, p.interval_us, p.readings,"
            " p.first_slot FROM plans AS p JOIN records AS r ON r.id = p.record"
            " WHERE ?1 IS NULL OR p.gateway = ?1"
            # As they were said: one that ends at once has the start of the one it ends.
            " ORDER BY r.n, p.rowid",
            self._gateway,
        ):
            gateway, epoch, number, boot, *rest = row
            device = self._device(gateway, epoch, number)
            yield StoredPlan(self.run(gateway, epoch), device, self._boots[boot], *rest)

    def gaps(self) -> Iterator[StoredGap]:
        """Every gap."""
        for row in self.rows(
            "SELECT g.gateway, r.epoch, g.number, g.reason, g.first_boot, g.first_us, g.boot,"
            " g.last_us, g.looks, g.first_slot, g.last_slot, g.readings"
            " FROM gaps AS g JOIN records AS r ON r.id = g.record"
            " WHERE ?1 IS NULL OR g.gateway = ?1",
            self._gateway,
        ):
            gateway, epoch, number, reason, first_boot, first_us, boot, *rest = row
            yield StoredGap(
                self.run(gateway, epoch),
                self._device(gateway, epoch, number) if number else None,
                reason,
                self._boots[first_boot],
                first_us,
                self._boots[boot],
                *rest,
            )

    def fixes(self) -> Iterator[Fix]:
        """Every clock fix."""
        for boot, at_us, wall_us, state in self.rows(
            "SELECT boot, at_us, wall_us, state FROM clock_fixes"
        ):
            yield Fix(self._boots[boot], at_us, wall_us, state)

    def looks(self) -> Iterator[Look]:
        """Every look, in the order in which they were stored."""
        # Readings of a look were stored one after another: no sorting, whatever there is.
        points = {
            row[0]: row[1:]
            for row in self.rows("SELECT id, gateway, device, point, position, digest FROM points")
        }
        tables = dict(self.rows("SELECT digest, body FROM tables"))
        sound = {digest: sounds(decode_table(body)) for digest, body in tables.items()}
        wrong: list[str] = []
        records: dict[int, tuple[Run, float]] = {}
        part: tuple[object, ...] | None = None
        last_position = -1
        look: Look | None = None
        for point, boot, at_us, slot, value, raw, quality, status, own_us, record in self.rows(
            "SELECT point, boot, at_us, slot, value, raw, quality, status, device_time_us, record"
            " FROM reading ORDER BY rowid"
        ):
            gateway, device, name, position, digest = points[point]
            # A point that comes again begins another look, also where all else is the same.
            if (record, device, slot, own_us) != part or position <= last_position:
                if look is not None:
                    yield look._replace(wrong="; ".join(wrong)) if wrong else look
                    look = None
                wrong.clear()
                part = (record, device, slot, own_us)
                if self._gateway is None or gateway == self._gateway:
                    known = records.get(record)
                    if known is None:
                        known = records[record] = self._record(record)
                        if len(records) > 64:
                            del records[next(iter(records))]
                    run, received_s = known
                    look = Look(
                        run, device, self._boots[boot], at_us, slot, received_s, {}, "", own_us
                    )
            last_position = position
            if look is not None:
                # A point may tell of an instant long past (what midnight froze): a look was its newest.
                if slot is not None and at_us > look.at_us:
                    look = look._replace(at_us=at_us)
                look.values[name] = good_value(value, quality)
                if text := sound[digest][position].wrong(value, raw, quality, status):
                    wrong.append(f"{name}: {text}")
        if look is not None:
            yield look._replace(wrong="; ".join(wrong)) if wrong else look

    def _record(self, record: int) -> tuple[Run, float]:
        ((gateway, epoch, received_us),) = self.rows(
            "SELECT gateway, epoch, received_us FROM records WHERE id = ?", record
        )
        return self.run(gateway, epoch), received_us / 1e6

    def run(self, gateway: str, epoch: bytes) -> Run:
        """A process start, one object each."""
        return self._runs.setdefault((gateway, epoch), Run(gateway, epoch))

    def _device(self, gateway: str, epoch: bytes, number: int) -> str:
        known = self._devices.get((gateway, epoch, number))
        return known or self._devices.get((gateway, None, number), f"{gateway}#{number}")

    def rows(self, query: str, *given: Any) -> Iterator[Any]:
        """The rows of a query."""
        try:
            yield from self._database.execute(query, given)
        except sqlite3.Error as error:
            raise unreadable(self._path, str(error)) from None


def good_value(value: Value, quality: int) -> Value:
    """A bad value is none; none that claims to be good equals nothing."""
    if quality >= Quality.BAD:
        return None
    return float("nan") if value is None else value


def unreadable(path: Path, reason: str) -> StoredError:
    """The error of a store that cannot be read."""
    return StoredError(f"{path}: {reason}", path=str(path), reason=reason)
