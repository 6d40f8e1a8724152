"""Power cuts of the spool alone: two logs, their ledgers and the ballast, many times as often as a whole box.

A case is `LIFE/CUT` as in `part_images.py`. Records are opaque bytes that can be recognised from their
name; nobody takes them, so that whatever room cannot hold is a loss to be said exactly.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import lru_cache
from typing import Any

from part_images import moment
from programme import Counts, Report, cases
from promises import Book, Judge
from recorded_files import RecordedFiles
from workload import FOLDER, record

from headgate.errors import SpoolError
from headgate.spool import Spool
from headgate.testing.env import fake_env

CUTS = 60
SHORT = 20_000
UNIT, AGAIN = "spool images", "spool images after a cut in recovery"


class SpoolBox:
    """One start of a spool, and what it was told."""

    def __init__(self, files: RecordedFiles, quota: int, book: Book, rng: random.Random) -> None:
        self.files, self.quota, self.book, self.rng = files, quota, book, rng
        self.spool = Spool(
            fake_env(files=files, seed=rng.getrandbits(32)), FOLDER,
            segment_bytes=8192, quota_bytes=quota, alarm_bytes=16 << 10, ballast_bytes=4096,
        )  # fmt: skip
        self.spool.open(book.noted)
        self.epoch = rng.randbytes(8)
        self.n = 0
        book.epochs.append(self.epoch)

    def commit(self) -> bool:
        """A batch of one to four, the first with the gaps of all losses."""
        losses = self.spool.losses()
        self.book.know(losses, self.files.op)
        batch = [
            record(self.epoch, self.n + i, self.rng, accounts=losses if i == 0 else ())
            for i in range(self.rng.randint(1, 4))
        ]
        self.n += len(batch)
        self.book.attempt(batch)
        try:
            positions = self.spool.commit(batch)
        except SpoolError:
            return False
        self.book.promised(batch, positions, self.spool, self.files.op)
        self.book.know(self.spool.losses(), self.files.op)
        return True

    def live(self, steps: int) -> SpoolBox:
        """Commits, now and then a clean stop and the next start."""
        box = self
        for _ in range(steps):
            if self.rng.random() < 0.06:
                box.spool.close()
                box = SpoolBox(self.files, self.quota, self.book, self.rng)
            box.commit()
        return box


class Bare:
    """What the judge wants to see of a box that is a spool and nothing else."""

    class shape:  # noqa: N801 - read like an attribute
        uplinks = ("nobody",)

    def __init__(self, spool: Spool) -> None:
        self.spool = spool


@lru_cache(maxsize=2)
def life(seed: str) -> SpoolBox:
    """A life, kept for its cuts."""
    rng = random.Random(seed)
    quota = rng.choice([1 << 20, 1 << 20, 48_000, SHORT])
    # Where room is shortest, long enough that records go which had told what went before.
    steps = rng.randint(2, 36 if quota == SHORT else 12)
    return SpoolBox(RecordedFiles(), quota, Book(), rng).live(steps)


def case(name: str) -> Counts:
    """One cut of one life, and the cuts that follow from it."""
    rng = random.Random(name)
    box = life(name.partition("/")[0])
    done: Counter[str] = Counter()
    depths = rng.choice([1, 1, 1, 2, 3])
    for depth in range(depths):
        at = moment(box.files, rng)
        disk = box.files.cut(rng, at)
        book = box.book
        box = SpoolBox(disk, box.quota, book, rng)
        bare: Any = Bare(box.spool)
        judge = Judge(bare, book, at)
        judge.judge_losses()
        done[AGAIN if depth else UNIT] += 1
        if depth + 1 < depths or rng.random() < 0.2:
            box.book = judge.spool_after()
            box.live(rng.randint(1, 3))
    return Counts(done)


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    lives = (str(rng.getrandbits(40)) for _ in iter(int, 1))
    cases(case, (f"{one}/{cut}" for one in lives for cut in range(CUTS)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
