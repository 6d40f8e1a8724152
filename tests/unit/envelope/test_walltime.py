"""Which fixes of a boot are believed: what a clock said before it was set is superseded."""

from __future__ import annotations

import random
from typing import NamedTuple

from headgate.envelope.walltime import believed, nearest

S = 1_000_000
HOUR = 3600 * S
YEAR = 365 * 24 * HOUR
RIGHT = 1_782_864_000 * S


class Fix(NamedTuple):
    at_us: int
    wall_us: int
    state: str = "synced"


def right(at_us: int, state: str = "synced", by_us: int = 0) -> Fix:
    return Fix(at_us, RIGHT + at_us + by_us, state)


def test_synced_fixes_count_alone_where_there_are_any() -> None:
    fixes = [Fix(0, 0, "unsynced"), right(HOUR), Fix(2 * HOUR, 5, "holdover")]
    assert believed(fixes) == [fixes[1]]
    assert believed(fixes[:1]) == fixes[:1]
    assert believed([]) == []


def test_a_step_within_drift_leaves_both_and_each_dates_what_is_near() -> None:
    fixes = [right(0), right(7 * 24 * HOUR, by_us=90 * S)]
    assert believed(fixes) == fixes
    times = [fix.at_us for fix in fixes]
    assert [nearest(times, at) for at in (-S, HOUR, 6 * 24 * HOUR, 9 * 24 * HOUR)] == [0, 0, 1, 1]


def test_what_was_said_before_the_clock_was_set_is_superseded() -> None:
    for wrong_by in (-20 * YEAR, -HOUR, HOUR, 10 * YEAR):
        wrong = [right(at, by_us=wrong_by) for at in range(0, HOUR, 600 * S)]
        after = [right(HOUR), right(2 * HOUR)]
        assert believed(wrong + after) == after
        there_and_back = [right(-HOUR), *wrong, *after]
        assert believed(there_and_back) == [there_and_back[0], *after]


def test_a_clock_set_by_hand_counts_as_much_where_none_was_ever_synced() -> None:
    fixes = [Fix(at, at, "unsynced") for at in range(0, HOUR, 600 * S)]  # 1970
    fixes.append(right(HOUR, "unsynced"))
    assert believed(fixes) == fixes[-1:]


def test_the_order_in_which_fixes_come_does_not_matter() -> None:
    fixes = [right(i * HOUR, by_us=(i % 3) * HOUR) for i in range(20)]
    wanted = believed(fixes)
    random.Random(3).shuffle(fixes)
    assert believed(fixes) == wanted
