"""Rot: bytes of any file of a box change behind its back, or the file goes. It starts, and says what is gone.

A case is a number: a box lives from it, stops or dies with its place noted, one file is spoilt, and three
starts follow: the first says the loss, the second says it again while no gap is durable, the third never;
unless the segment whose record told of it is gone as well, or noise from end to end: then it says both.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from crash_box import STATE, CrashBox
from part_images import live, shape_of, start
from programme import Counts, Report, cases
from promises import Book, Judge, expect
from recorded_files import RecordedFiles

UNIT = "rotten files"
FATES = ["flip", "flip", "zero", "garbage", "cut", "empty", "longer", "gone"]


class RotJudge(Judge):
    """One file may have lost anything; the others have not."""

    def __init__(self, box: CrashBox, book: Book, at: int, victim: Path) -> None:
        super().__init__(box, book, at)
        self.victim = victim
        self.memory = victim.name.startswith("state.db")

    def judge(self) -> None:
        self.judge_losses()
        self.judge_offers(again=self.memory)
        self.judge_numbers(sign=not self.memory)
        self.judge_link()
        if self.victim.name != "identities.json":
            self.judge_papers()
        if not self.memory:
            self.judge_open()


def spoil(files: RecordedFiles, path: Path, rng: random.Random) -> str:
    """Change one file for the worse; in words how."""
    fate = rng.choice(FATES)
    inode = files.entries[path]
    at = rng.randrange(len(inode.data))
    size = rng.choice([1, 512, 4096])

    def change(data: bytearray) -> None:
        if fate == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif fate in ("zero", "garbage"):
            piece = data[at : at + size]
            data[at : at + size] = (
                bytes(len(piece)) if fate == "zero" else rng.randbytes(len(piece))
            )
        elif fate == "longer":
            data += rng.choice([bytes(size), rng.randbytes(size)])
        else:
            del data[0 if fate == "empty" else at :]

    if fate == "gone":
        files.entries.pop(path)
        files.names.pop(path)
    else:
        inode.rot(change)
    return f"{fate} of {path.name} at {at}, {size} bytes"


def case(name: str) -> Counts:
    """One file of one box."""
    rng = random.Random(name)
    book, shape = Book(), shape_of(rng)
    box = live(RecordedFiles(), shape, book, rng, rng.randint(3, 12))
    clean = rng.random() < 0.5
    if clean:
        box.stop()
    else:
        box.commit_waiting()
        box.keep_house()
    at = box.files.op
    files = box.files.cut(rng, at)
    box.die()
    victims = sorted(path for path in files.entries if files.size(path))
    victim = rng.choice(victims)
    how = spoil(files, victim, rng)
    try:
        _starts(files, victim, box, rng, at)
    except Exception as error:
        error.add_note(how)
        raise
    return Counts(Counter({UNIT: 1}))


def _starts(files: RecordedFiles, victim: Path, box: CrashBox, rng: random.Random, at: int) -> None:
    book, shape = box.book, box.shape
    first = start(files, shape, book, rng)
    try:
        judge = RotJudge(first, book, at, victim)
        judge.judge()
        said = {loss.account for loss in first.spool.losses()}
        if rng.random() < 0.5:
            first.spool.close()
    finally:
        first.state._disconnect()
    files.locks.clear()
    second = start(files, shape, book, rng)
    try:
        again = RotJudge(second, book, at, victim)
        again.judge_losses()
        expect(second.link == first.link, "another link than the start before:", second.link)
        expect(again.found.keys() == judge.found.keys(), "another start found something else")
        repeated = {loss.account for loss in second.spool.losses()}
        expect(said == repeated, "a loss is said otherwise by the next start:", said, repeated)
        second.book = again.book_after()
        second.book.epochs.append(second.epoch)
        second.know_losses()
        expect(second.commit(rng, 1), "a sound disk refused")
        expect(not second.spool.losses(), "a loss is said again after its gap was durable")
        if rng.random() < 0.5:
            second.spool.close()
        else:
            second.keep_house()  # and killed
    finally:
        second.state._disconnect()
    files.locks.clear()
    spoilt = rng.random() < 0.5
    if spoilt:
        _spoil_tellers(files, second, rng)
    at = files.op
    third = start(files, shape, second.book, rng)
    try:
        expect(third.link[0] == second.epoch, "the link names", third.link, "not", second.epoch)
        if spoilt:
            RotJudge(third, second.book, at, victim).judge_losses()
        else:
            expect(not third.spool.losses(), "a loss is said again by a later start")
    finally:
        third.die()


def _spoil_tellers(files: RecordedFiles, box: CrashBox, rng: random.Random) -> None:
    """Nothing can be read any more of the segments that this start of the box has written."""
    for rows in box.spool.segments():
        if len(rows) and rows.epoch(0) == box.epoch:
            path = STATE / "spool" / rows.log / f"{rows.number:012}.seg"
            if rng.random() < 0.3:
                files.entries.pop(path)
                files.names.pop(path)
            else:
                files.entries[path].rot(_noise)


def _noise(data: bytearray) -> None:
    data[:] = random.Random(len(data)).randbytes(len(data))


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    cases(case, (str(rng.getrandbits(48)) for _ in iter(int, 1)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
