"""A disk that says no: at any operation, once, for a while or for good, with any of its errors.

A case is a number: a box lives on a disk that fails in a window of operations, heals, or does not; then
the power goes, and what is left is judged. What was refused was not promised; what was promised is there.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from pathlib import Path

from part_images import live, moment, shape_of, start
from programme import FAULTS, Counts, Report, cases
from promises import Book, Judge
from recorded_files import RecordedFiles

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
UNIT = "box images after disk errors"


class Trouble:
    """Errors at operations [begin, end) counted from when it is switched on; perhaps of one kind only."""

    def __init__(self, rng: random.Random) -> None:
        self.error = rng.choice(ERRORS)
        self.begin = rng.randint(0, 60)
        self.end = self.begin + rng.choice([1, 1, 1, 2, 5, 20, 1 << 30])
        self.only = rng.choice(
            [None, None, None, "sync", "write", "sync_folder", "rename", "append"]
        )
        self.seen = 0
        self.on = False

    def __call__(self, call: str, path: Path) -> None:
        if not self.on or (self.only is not None and call != self.only):
            return
        self.seen += 1
        if self.begin < self.seen <= self.end:
            raise OSError(self.error, "injected", str(path))


def case(name: str) -> Counts:
    """One box on one bad disk."""
    rng = random.Random(name)
    book, shape = Book(), shape_of(rng)
    trouble = Trouble(rng)
    files = RecordedFiles(trouble)
    box = live(files, shape, book, rng, rng.randint(0, 4))
    trouble.on = True
    box = live(files, shape, book, rng, rng.randint(2, 12), box, begun=True)
    if rng.random() < 0.5:
        trouble.on = False
        box = live(files, shape, book, rng, rng.randint(1, 6), box, begun=True)
    done = Counter({FAULTS: files.raised})
    at = files.op if rng.random() < 0.5 else moment(files, rng)
    disk = files.cut(rng, at)
    box.die()
    again = start(disk, shape, book, rng)
    try:
        Judge(again, book, at).judge()
        done[UNIT] += 1
    finally:
        again.die()
    return Counts(done)


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    cases(case, (str(rng.getrandbits(48)) for _ in iter(int, 1)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
