from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.envelope.ranges import RangeSet
from headgate.errors import EnvelopeError

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=40)


@given(PAIRS, PAIRS)
def test_it_is_a_set(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    ours, theirs = RangeSet(), RangeSet()
    want: set[int] = set()
    for ranges, pairs in ((ours, some), (theirs, others)):
        for first, length in pairs:
            ranges.add(first, first + length)
            want.update(range(first, first + length + 1))
    ours.union(theirs)
    assert {n for n in range(90) if n in ours} == want
    assert len(ours) == len(want)
    assert ours.floor == next(n for n in range(90) if n not in want)
    assert ours.last == max(want, default=None)
    assert RangeSet.decode(ours.encode()) == ours
    for (_, last), (first, _) in zip(ours.ranges(), ours.ranges()[1:], strict=False):
        assert last + 1 < first
    for first, last in ours.ranges():
        assert ours.around(first) == ours.around(last) == (first, last)


SPANS = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple)


def members(ranges: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> set[int]:
    return {n for first, last in ranges for n in range(first, last + 1)}


@given(st.lists(st.tuples(st.booleans(), SPANS), max_size=20), SPANS)
def test_what_is_taken_out_is_missing(
    steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    ours, plain = RangeSet(), set[int]()
    for add, (first, last) in steps:
        before = ours.copy()
        if add:
            ours.add(first, last)
            plain |= set(range(first, last + 1))
        else:
            ours.discard(first, last)
            plain -= set(range(first, last + 1))
        assert members(ours.ranges()) == plain
        assert before != ours or members(before.ranges()) == plain
        assert all(a[1] + 1 < b[0] for a, b in pairwise(ours.ranges())), "neighbours must join"
    assert members(ours.missing(*asked)) == set(range(asked[0], asked[1] + 1)) - plain
    ours.discard(5, 4)
    assert members(ours.ranges()) == plain
    assert ours.missing(5, 4) == []


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        RangeSet([(first, last)])


@example(bytes.fromhex("91920504"))
@given(st.binary(max_size=30))
def test_stored_bytes_are_a_set_or_refused(data: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        RangeSet.decode(data)
