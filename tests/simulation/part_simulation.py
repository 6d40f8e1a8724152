"""Part of the crash programme: afternoons of a whole gateway in virtual time. A case is `seed:minutes`."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

from programme import FAULTS, KILLS, Counts, Report, Violation, cases
from simulation.world import simulate

MINUTES = 10


def run(seed: int, deadline: float, report: Report) -> None:
    """Afternoons of seeds from `seed` on, until the deadline."""
    names = (f"{seed * 1_000_000 + number}:{MINUTES}" for number in count())
    cases(replay, names, deadline, report)


def replay(case: str) -> Counts:
    """One afternoon, the same again."""
    seed, minutes = case.split(":")
    with tempfile.TemporaryDirectory() as folder:
        outcome = simulate(int(seed), float(minutes), Path(folder))
    counts = Counts()
    counts.done["afternoons"] += 1
    counts.done[FAULTS] += sum(what == "fault" for _, what, _ in outcome.events)
    counts.done[KILLS] += sum(what == "gateway killed" for _, what, _ in outcome.events)
    counts.done["looks"] += outcome.verdict.counts["truth"]
    if not outcome.good:
        counts.violations.append(Violation(case, outcome.words))
    return counts
