"""A run of a spool that remembers what it was promised, and the judge of what a later start finds."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
from recorded_files import RecordedFiles, env_on

from headgate.errors import SpoolCorrupt, SpoolError
from headgate.model import Lane
from headgate.spool import ClearIndex, Loss, SealedRecord, Spool
from headgate.spool.records import Position

FOLDER = Path("/state/spool")
BOOT = b"b" * 16


def record(
    epoch: bytes, n: int, rng: random.Random, *, accounts: tuple[Loss, ...] = ()
) -> SealedRecord:
    """A record whose content can be recognised from its name, and only from it."""
    body = random.Random(f"{epoch.hex()}/{n}").randbytes(rng.choice([40, 700, 3000]))
    lane = Lane.ALARM if n % 7 == 3 else Lane.LIVE
    index = ClearIndex(
        n % 5 + 1,
        n * 10,
        n * 10 + 9,
        BOOT,
        ((n % 3 + 1, n % 5 + 1),),
        (),
        tuple(getattr(loss, "carried", loss.account) for loss in accounts),
    )
    return SealedRecord(epoch, n, b"k" * 8, lane, body, index)


def expected(epoch: bytes, n: int, data: bytes) -> bool:
    """Whether these are the bytes of this record: never half of them, never another's."""
    return data == random.Random(f"{epoch.hex()}/{n}").randbytes(len(data)) and len(data) in (
        40,
        700,
        3000,
    )


def open_spool(files: RecordedFiles, seed: int = 0, quota: int = 1 << 20) -> Spool:
    return Spool(
        env_on(files, seed),
        FOLDER,
        segment_bytes=8192,
        quota_bytes=quota,
        alarm_bytes=1 << 18,
        ballast_bytes=4096,
    )


def run(
    spool: Spool, files: RecordedFiles, epoch: bytes, rng: random.Random, commits: int
) -> dict[tuple[bytes, int], int]:
    """Commit batches; for each record promised durable, the operation after which it was."""
    promised: dict[tuple[bytes, int], int] = {}
    n = 0
    for _ in range(commits):
        losses = spool.losses()
        batch = [
            record(epoch, n + i, rng, accounts=losses if i == 0 else ())
            for i in range(rng.randint(1, 4))
        ]
        n += len(batch)
        try:
            spool.commit(batch)
        except SpoolError:
            continue
        for one in batch:
            promised[one.epoch, one.n] = files.op
    return promised


class Found(msgspec.Struct):
    """What a start found: positions by name, and how many records are said to be lost."""

    positions: dict[tuple[bytes, int], Position]
    lost: int


def survey(spool: Spool) -> Found:
    """Read everything back. Raises AssertionError on wrong content, wrong order, or a record twice."""
    positions: dict[tuple[bytes, int], Position] = {}
    for rows in spool.segments():
        last: dict[bytes, int] = {}
        for row in rows.alive():
            name = (rows.epoch(row), rows.ns[row])
            position = Position(rows.log, rows.number, row)
            assert name not in positions, f"{name} is there twice"
            assert rows.ns[row] > last.get(name[0], -1), f"{name} is out of order"
            last[name[0]] = rows.ns[row]
            try:
                data = spool.read(position)
            except SpoolCorrupt:
                continue
            assert expected(*name, data), f"{name} has wrong content"
            positions[name] = position
    return Found(positions, sum(loss.records for loss in spool.losses()))
