"""Which clock fixes of a boot are believed, and which one dates an instant. Pure.

CLOCK_BOOTTIME and the wall clock run on one oscillator: what lies between them changes only when somebody
sets the wall clock. So whatever a clock said before it was set by more than it can have drifted is
superseded, also for the times before: they are dated by what is known now. Source: uplink.md, section 8.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

#: A clock that nobody corrects runs away by at most this much: the most that Linux will steer, too.
DRIFT_PPM = 500
#: Two right clocks may differ by this: error bounds, and a leap second.
SLACK_US = 2_000_000


class FixLike(Protocol):
    """Boottime and wall time of one instant, and whether the clock was trusted then."""

    @property
    def at_us(self) -> int: ...
    @property
    def wall_us(self) -> int: ...
    @property
    def state(self) -> str: ...


F = TypeVar("F", bound=FixLike)


def agree(at_us: int, wall_us: int, other_at_us: int, other_wall_us: int) -> bool:
    """Whether a clock can have said both without being set in between."""
    apart_us = abs((wall_us - at_us) - (other_wall_us - other_at_us))
    return apart_us <= SLACK_US + abs(at_us - other_at_us) * DRIFT_PPM // 1_000_000


def believed(fixes: Iterable[F]) -> list[F]:
    """The fixes of one boot that count, by time: synced ones, if any; none that a later one supersedes."""
    known = sorted(fixes, key=lambda fix: fix.at_us)
    chosen = [fix for fix in known if fix.state == "synced"] or known
    kept: list[F] = []
    for fix in reversed(chosen):
        if not kept or agree(fix.at_us, fix.wall_us, kept[-1].at_us, kept[-1].wall_us):
            kept.append(fix)
    kept.reverse()
    return kept


def nearest(times: Sequence[int], at_us: int) -> int:
    """Index of the fix that dates an instant, of two equally near the earlier; `times`: of `believed`."""
    after = bisect_left(times, at_us)
    if after == len(times):
        return after - 1
    if after and at_us - times[after - 1] <= times[after] - at_us:
        return after - 1
    return after
