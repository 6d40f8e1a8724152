"""Power cuts in the life of a whole storage side: spool, state.db, keys, identities, at one moment.

A case is `LIFE/CUT`: a life of a box made from the first number, and a cut of it made from both. A cut is
judged, then the box goes on living on what was left, and is cut again, up to three times: those are the
cuts during recovery.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import lru_cache

from crash_box import CrashBox, Shape
from programme import Counts, Report, cases
from promises import Book, Judge
from recorded_files import RecordedFiles

CUTS = 40
STEPS = (6, 30)
UNIT, AGAIN = "box images", "box images after a cut in recovery"


class Life:
    """One box from its first start, through clean stops, with everything that its disk was asked."""

    def __init__(self, seed: str, steps: tuple[int, int] = STEPS) -> None:
        rng = random.Random(seed)
        self.shape = shape_of(rng)
        self.files = RecordedFiles()
        self.book = Book()
        self.box = live(self.files, self.shape, self.book, rng, rng.randint(*steps))
        self.box.die()


def shape_of(rng: random.Random) -> Shape:
    """Small boxes: segments end often, and in some of them room is short."""
    return Shape(
        segment_bytes=rng.choice([4096, 4096, 8192]),
        quota_bytes=rng.choice([1 << 20, 1 << 20, 40_000, 24_000]),
        alarm_bytes=rng.choice([1 << 18, 12_000]),
        uplinks=rng.choice([("city",), ("city",), ("city", "water")]),
        devices=rng.choice([2, 6, 20]),
        held_bytes=rng.choice([0, 20_000, 1 << 20]),
    )


def start(files: RecordedFiles, shape: Shape, book: Book, rng: random.Random) -> CrashBox:
    """One start of the box, known to the book."""
    return CrashBox(files, shape, book, rng.getrandbits(48), lambda: files.op)


def live(
    files: RecordedFiles, shape: Shape, book: Book, rng: random.Random, steps: int,
    box: CrashBox | None = None, *, begun: bool = False,
) -> CrashBox:  # fmt: skip
    """Let a box do so many things, its choice by dice."""
    box = box or start(files, shape, book, rng)
    if not begun:
        book.began(box)
        box.know_losses()
    for _ in range(steps):
        dice = rng.random()
        if dice < 0.55:
            box.commit(rng, rng.choice([1, 2, 4, 30]))
        elif dice < 0.75:
            uplink = rng.choice(shape.uplinks)
            records = box.offered(uplink, rng.randint(1, 12))
            rng.shuffle(records)
            names = [(record.epoch, record.n) for record in records]
            kept = rng.randint(0, len(names))
            refused = names[:1] if rng.random() < 0.15 else []
            box.receipt(uplink, names[len(refused) : kept + len(refused)], refused)
            box.outboxes[uplink].give_back(records)
        elif dice < 0.93:
            box.keep_house()
        elif dice < 0.97:
            box.learn(f"gauge-{rng.randrange(4)}", f"{rng.randrange(9)}.0")
        else:
            box.stop()
            box = start(files, shape, book, rng)
            book.began(box)
            box.know_losses()
    return box


@lru_cache(maxsize=2)
def life(seed: str) -> Life:
    """A life, kept for its cuts."""
    return Life(seed)


def case(name: str) -> Counts:
    """One cut of one life, and the cuts that follow from it."""
    rng = random.Random(name)
    one = life(name.partition("/")[0])
    done: Counter[str] = Counter()
    files, book, shape = one.files, one.book, one.shape
    depths = rng.choice([1, 1, 2, 3])
    for depth in range(depths):
        at = moment(files, rng)
        disk = files.cut(rng, at)
        box = start(disk, shape, book, rng)
        try:
            judge = Judge(box, book, at)
            judge.judge()
            done[AGAIN if depth else UNIT] += 1
            if depth + 1 < depths or rng.random() < 0.2:
                book = box.book = judge.book_after()
                live(disk, shape, book, rng, rng.randint(1, 6), box).die()
        finally:
            box.die()
        files = disk
    return Counts(done)


def moment(files: RecordedFiles, rng: random.Random) -> int:
    """When the power goes: anywhere, or right after a sync, where a promise has just been made."""
    at = rng.randint(0, files.op)
    if rng.random() < 0.4:
        syncs = [op for ops in files.folder_syncs.values() for op in ops]
        syncs += [op for inode in files.entries.values() for op, _ in inode.syncs]
        at = min(files.op, rng.choice(syncs or [0]) + rng.choice([-1, 0, 0, 1]))
    return max(0, at)


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    lives = (str(rng.getrandbits(40)) for _ in iter(int, 1))
    cases(case, (f"{one}/{cut}" for one in lives for cut in range(CUTS)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
