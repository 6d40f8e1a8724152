"""Looks of devices that tell no sample counter, paired with what they said by values and time. Pure.

A stored look belongs to the nearest thing its device said that has the same values, and to one only.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from headgate.model import Value
from headgate_receiver.verify.truth import DeviceTruth

#: What was said so near to a look and is not the same was changed on the way.
NEAR_S = 0.5


class Kind(Enum):
    """What a stored look turned out to be."""

    MATCHED = "matched"
    DOUBLED = "doubled"
    CHANGED = "changed"
    UNEXPECTED = "unexpected"


class Heard(NamedTuple):
    """A stored look, with the wall time of when it was taken."""

    taken_s: float
    received_s: float
    values: dict[str, Value]
    wrong: str = ""


class Pair(NamedTuple):
    """A stored look and what its device said; `place`, its index, is None where it said nothing like it."""

    heard: Heard
    kind: Kind
    place: int | None
    text: str = ""


def pairs(
    truth: DeviceTruth,
    looks: Sequence[Heard],
    within_s: float,
    difference: Callable[[int, dict[str, Value]], str],
) -> Iterator[Pair]:
    """Pair every look, in order of time.

    Args:
        within_s: how far apart look and saying may be.
        difference: in what values differ from what was said at an index, in words; empty: in nothing.
    """
    seen: set[int] = set()
    left: list[Heard] = []
    for look in sorted(looks, key=lambda look: look.taken_s):
        same = [
            index
            for index in _near(truth, look.taken_s, within_s)
            if not difference(index, look.values)
        ]
        unseen = [index for index in same if index not in seen]
        if unseen:
            seen.add(unseen[0])
            yield Pair(look, Kind.MATCHED, unseen[0])
        elif same:
            yield Pair(look, Kind.DOUBLED, same[0])
        else:
            left.append(look)
    for look in left:
        index = next(
            (index for index in _near(truth, look.taken_s, NEAR_S) if index not in seen), None
        )
        if index is None:
            yield Pair(look, Kind.UNEXPECTED, None, _said(look.values))
        else:
            seen.add(index)
            yield Pair(look, Kind.CHANGED, index, difference(index, look.values))


def repeats(truth: DeviceTruth, index: int, seen: bytearray) -> bool:
    """Whether what was said at an index only repeats what is stored of before."""
    row = _row(truth, index)
    for before in range(index - 1, -1, -1):
        if _row(truth, before) != row:
            return False
        if seen[before]:
            return True
    return False


def _near(truth: DeviceTruth, at_s: float, within_s: float) -> list[int]:
    """Indexes of what was said so near, the nearest first."""
    first = bisect_left(truth.times, at_s - within_s)
    last = bisect_left(truth.times, at_s + within_s)
    return sorted(range(first, last), key=lambda index: abs(truth.times[index] - at_s))


def _row(truth: DeviceTruth, index: int) -> list[float | None]:
    return [None if math.isnan(value) else value for value in truth.row(index)]


def _said(values: dict[str, Value]) -> str:
    return ", ".join(f"{point} {value!r}" for point, value in values.items())
