"""The hypothesis model of the spool, as a part of the crash programme: a case is one seed of it."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test
from programme import Counts, Report, cases
from test_model import SpoolMachine

EXAMPLES, STEPS = 40, 30


def case(name: str) -> Counts:
    """So many random lives of a spool, all from one seed."""
    steps = 0

    class Counted(SpoolMachine):
        def check_invariants(self, *args: object, **kwargs: object) -> None:
            nonlocal steps
            steps += 1
            super().check_invariants(*args, **kwargs)

    # Hypothesis takes the seed from the factory that it calls for a new machine.
    run_state_machine_as_test(
        seeded(int(name))(Counted),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    return Counts(Counter({"model steps": steps}))


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    cases(case, (str(rng.getrandbits(48)) for _ in iter(int, 1)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
