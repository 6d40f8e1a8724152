"""Readings as JSON lines, one reading a line, for whatever tails a file.

The receiver's own memory lies in an SQLite file beside it (`FILE.state`), which also records how far
the lines are committed: after a crash, what was written beyond that is cut off and comes again. So a
line is there exactly once. Clock fixes that come later do not change a line: its `wall_us` is what was
known when it was written, and `boot` with `at_us` is the truth.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headgate.env import Files
from headgate.model import ClockFix, PointTable, Value
from headgate_receiver.sqlite import SqliteSink
from headgate_receiver.store import Batch, Look, OpenRecord, StoreError

_encoder = msgspec.json.Encoder()


class JsonLinesSink(SqliteSink):
    """A `Sink` that writes readings, gaps, alarms and events as lines, and keeps the rest in SQLite."""

    keeps_readings = False

    def __init__(self, path: Path, files: Files) -> None:
        self._lines = path
        self._fd = -1
        super().__init__(path.with_name(path.name + ".state"), files)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._end = int(self._one("SELECT value FROM meta WHERE key = 'lines_end'") or 0)
            if os.fstat(self._fd).st_size < self._end:
                raise StoreError(
                    f"{path} is shorter than its state file says", code="HG-7011", file=str(path)
                )
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            self.close()
            raise StoreError(f"{path}: {error}", code="HG-7011", file=str(path)) from None
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Close both files."""
        super().close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def commit(self, batch: Batch) -> None:
        """Lines first, and synced; then the state that says how far they count."""
        fixes = {
            (record.gateway, item.boot): item
            for record in batch.records
            for item in record.items
            if isinstance(item, ClockFix)
        }
        fresh = {new.digest: new.table for new in batch.tables}
        lines = b"".join(
            _encoder.encode(line) + b"\n"
            for record in batch.records
            for line in self._record_lines(record, fresh, fixes)
        )
        before = self._end
        try:
            if lines:
                view = memoryview(lines)
                while view:
                    view = view[os.write(self._fd, view) :]
                os.fdatasync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, before)
            raise StoreError(f"{self._lines}: {error}", reason=str(error)) from None
        self._end = before + len(lines)
        try:
            super().commit(batch)
        except StoreError:
            self._end = before
            os.ftruncate(self._fd, before)
            raise

    def _write(self, batch: Batch) -> None:
        super()._write(batch)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('lines_end', ?)", (str(self._end),))

    def _record_lines(
        self,
        record: OpenRecord,
        fresh: dict[bytes, PointTable],
        fixes: dict[tuple[str, bytes], ClockFix],
    ) -> list[dict[str, Any]]:
        head = {
            "gateway": record.gateway, "epoch": record.epoch.hex(), "n": record.n,
            "origin": "sealed" if record.signed is None else "signed",
        }  # fmt: skip
        fix = fixes.get((record.gateway, record.boot)) or self._fix(record)
        lines: list[dict[str, Any]] = []
        for look in record.looks:
            lines += _look_lines(look, self._table_of(look.table, fresh), record, head, fix)
        for item in record.items:
            lines.append(
                {
                    "kind": type(item).__name__.lower(),
                    **head,
                    "boot": record.boot.hex(),
                    **{name: _plain(getattr(item, name)) for name in item.__struct_fields__},
                }
            )
        return lines

    def _table_of(self, digest: bytes, fresh: dict[bytes, PointTable]) -> PointTable:
        if digest not in fresh:
            fresh[digest] = self.read_table(digest)
        return fresh[digest]

    def _fix(self, record: OpenRecord) -> ClockFix | None:
        row = self._db.execute(
            "SELECT at_us, wall_us, error_us, state FROM clock_fixes AS f JOIN boots AS b "
            "ON b.id = f.boot WHERE b.gateway = ? AND b.boot = ? AND chosen = 1 "
            "ORDER BY at_us DESC LIMIT 1",
            (record.gateway, record.boot),
        ).fetchone()
        return None if row is None else ClockFix(record.boot, *row)


def _look_lines(
    look: Look,
    table: PointTable,
    record: OpenRecord,
    head: dict[str, Any],
    fix: ClockFix | None,
) -> list[dict[str, Any]]:
    lines = []
    offsets: Sequence[int] = look.offsets_us or (0,) * len(look.points)
    for position, raw, value, quality, status, offset in zip(
        look.points, look.raws, look.values, look.qualities, look.statuses, offsets, strict=True
    ):
        point = table.points[position]
        at = look.at_us + offset
        lines.append(
            {
                "kind": "reading",
                **head,
                "device": table.device,
                "point": point.name,
                "unit": point.unit,
                "boot": record.boot.hex(),
                "at_us": at,
                "wall_us": None if fix is None else fix.wall_us + at - fix.at_us,
                "wall_state": None if fix is None else fix.state,
                "slot": look.slot,
                "value": _plain(value),
                "raw": _plain(raw),
                "quality": quality,
                "status": status,
                "device_time_us": look.device_time_us,
                "received_us": record.received_us,
            }
        )
    return lines


def _plain(value: Value) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
