"""A database with its log folded in by hand is the one that SQLite would open."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from headgate.spool.wal import folded

Rows = Sequence[tuple[int, str]]
FRAME = 24


def rows_of(data: bytes) -> Rows:
    """What SQLite reads in these bytes, without any log beside them."""
    plain = bytearray(data)
    plain[18:20] = b"\x01\x01"
    db = sqlite3.connect(":memory:")
    try:
        db.deserialize(bytes(plain))
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute("SELECT id, text FROM things ORDER BY id").fetchall()
    finally:
        db.close()


def pictures(
    path: Path, rng: random.Random, page_size: int = 4096
) -> list[tuple[bytes, bytes, Rows]]:
    """(database, log, rows) as they lay on the disk after each of many commits."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size = {page_size}")
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, text TEXT)")
    seen: list[tuple[bytes, bytes, Rows]] = []
    for step in range(40):
        db.execute("BEGIN")
        for _ in range(rng.randint(1, 30)):
            text = "x" * rng.randint(0, 3000)
            db.execute("INSERT OR REPLACE INTO things VALUES (?, ?)", (rng.randint(1, 200), text))
        if rng.random() < 0.3:
            db.execute("DELETE FROM things WHERE id > ?", (rng.randint(1, 200),))
        db.execute("COMMIT")
        if step % 9 == 8:
            # Folded in by SQLite: the next commit begins its log anew, over stale frames.
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        rows = db.execute("SELECT id, text FROM things ORDER BY id").fetchall()
        wal = path.with_name(f"{path.name}-wal").read_bytes()
        seen.append((path.read_bytes(), wal, rows))
    db.close()
    return seen


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_what_was_committed_is_there_after_every_commit(tmp_path: Path, page_size: int) -> None:
    for data, wal, rows in pictures(tmp_path / "db", random.Random(1), page_size):
        assert rows_of(folded(data, wal)) == rows


def test_a_torn_log_gives_its_last_whole_commit(tmp_path: Path) -> None:
    seen = pictures(tmp_path / "db", random.Random(2))[:8]  # before the log begins anew
    earlier = [[], *(rows for _, _, rows in seen)]
    data, wal, _ = seen[-1]
    rng = random.Random(3)
    before = -1
    for cut in sorted(rng.randrange(32 + FRAME, len(wal)) for _ in range(40)):
        try:
            rows = rows_of(folded(data, wal[:cut]))
        except sqlite3.OperationalError:
            continue  # no such table: not even that had been committed
        at = max(before, earlier.index(rows))
        assert earlier[at] == rows, "a later cut gives an earlier commit"
        before = at
    assert before > 3


def test_a_log_with_a_rotten_byte_gives_nothing_of_it_or_after_it(tmp_path: Path) -> None:
    seen = pictures(tmp_path / "db", random.Random(4))[:8]
    earlier = [[], *(rows for _, _, rows in seen)]
    data, wal, last = seen[-1]
    rng = random.Random(5)
    for _ in range(40):
        rotten = bytearray(wal)
        rotten[rng.randrange(len(wal) // 2, len(wal))] ^= 1 << rng.randrange(8)
        try:
            rows = rows_of(folded(data, bytes(rotten)))
        except sqlite3.OperationalError:
            continue
        assert rows in earlier
        assert rows != last


@pytest.mark.parametrize("wal", [b"", b"\0" * 32, b"\xff" * 4096, b"7\x7f\x06\x82" + bytes(60)])
def test_what_is_no_log_changes_nothing(wal: bytes) -> None:
    assert folded(b"database", wal) == b"database"
