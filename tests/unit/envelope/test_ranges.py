from __future__ import annotations

import contextlib

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


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        RangeSet([(first, last)])


@example(bytes.fromhex("91920504"))
@given(st.binary(max_size=30))
def test_stored_bytes_are_a_set_or_refused(data: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        RangeSet.decode(data)
