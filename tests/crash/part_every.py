"""Every cut of a short life, one after another: each operation, each fate, each pivot. No dice.

The rules of the tools that test file systems and applications, as an enumeration: after each operation,
everything, nothing, names alone, bytes alone, an ordered journal stopped at each of the last operations,
each of them missing, each of them alone. What chance finds in `part_images.py` must be found here again,
and what is found here does not depend on chance. A case is `LIFE/OPERATION/FATE/PIVOT`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from part_images import Life, start
from power_cut import Fate, PowerCut
from programme import Counts, Report, cases
from promises import Judge

UNIT = "enumerated box images"
#: How far back an operation may be missing or alone; more than this lies unsynced only inside one commit.
BACK = 8
STEPS = (2, 5)


@lru_cache(maxsize=2)
def life(seed: str) -> Life:
    """A life short enough to be gone through."""
    return Life(seed, STEPS)


def names(seed: str) -> Iterator[str]:
    """Every case of one life."""
    for at in range(life(seed).files.op + 1):
        for fate in (Fate.ALL, Fate.NOTHING, Fate.NAMES, Fate.BYTES):
            yield f"{seed}/{at}/{fate.name}/0"
        for fate in (Fate.UNTIL, Fate.BUT_ONE, Fate.ONLY_ONE):
            for pivot in range(max(0, at - BACK), at + 1):
                yield f"{seed}/{at}/{fate.name}/{pivot}"


def case(name: str) -> Counts:
    """One of them."""
    seed, at, fate, pivot = name.split("/")
    one = life(seed)
    rng = random.Random(name)
    disk = PowerCut(rng, int(at), Fate[fate], int(pivot)).disk(one.files)
    box = start(disk, one.shape, one.book, rng)
    try:
        Judge(box, one.book, int(at)).judge()
    finally:
        box.die()
    return Counts(Counter({UNIT: 1}))


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    lives = (str(rng.getrandbits(40)) for _ in iter(int, 1))
    cases(case, (name for one in lives for name in names(one)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
