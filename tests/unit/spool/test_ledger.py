"""The ledger against plain sets of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.spool.ledger import Gone, Ledger

PAIRS = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple)


def totals(n: int) -> tuple[int, ...]:
    return (0, 0, n, 10 * n, 0, 0)


@given(st.lists(PAIRS, max_size=12))
def test_the_ledger_finds_exactly_what_is_missing_with_its_totals(
    pairs: list[tuple[int, int]],
) -> None:
    ledger = Ledger(b"log-name")
    plain: set[int] = set()
    for first, end in pairs:
        ledger.let_go(Gone(first, end, totals(first), totals(end)))
        plain |= set(range(first, end))
    again = Ledger.decode(ledger.encode())
    assert again is not None
    missing = list(again.missing(0, totals(0), 70, totals(70)))
    assert {n for gone in missing for n in range(gone.first, gone.end)} == set(range(70)) - plain
    for gone in missing:
        assert gone.before == totals(gone.first)
        assert gone.after == totals(gone.end)
    assert all(again.covers(n) == (n in plain) for n in range(70))


def test_a_damaged_ledger_is_seen() -> None:
    data = Ledger(b"log-name").encode()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        assert Ledger.decode(bytes(changed)) is None


def test_an_account_without_totals_does_not_blur_known_ones() -> None:
    ledger = Ledger(b"log-name")
    ledger.let_go(Gone(5, 9, totals(5), totals(9)))
    ledger.let_go(Gone(5, 9, (), ()))
    assert list(ledger.missing(0, totals(0), 12, totals(12))) == [
        Gone(0, 5, totals(0), totals(5)),
        Gone(9, 12, totals(9), totals(12)),
    ]
