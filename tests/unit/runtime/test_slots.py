"""The account of a device's slots: what is told, and when."""

from __future__ import annotations

from headgate.model import Gap, GapReason
from headgate.runtime.slots import TELL_EVERY_US, TELL_OVERRUN_US, SlotLedger

SECOND = 1_000_000


def ledger() -> tuple[SlotLedger, list[Gap]]:
    told: list[Gap] = []
    return SlotLedger(1, 5, told.append), told


def looks_of(told: list[Gap]) -> list[tuple[GapReason, int, int | None, int | None]]:
    return [(gap.reason, gap.looks or 0, gap.first_slot, gap.last_slot) for gap in told]


def test_one_overrun_is_told_though_none_ever_follows() -> None:
    book, told = ledger()
    book.miss(GapReason.OVERRUN, 7, 7, 7 * SECOND, 7 * SECOND)
    book.spoke(8 * SECOND)
    assert told == []
    book.spoke(7 * SECOND + TELL_OVERRUN_US)
    assert looks_of(told) == [(GapReason.OVERRUN, 1, 7, 7)]
    book.close()
    assert len(told) == 1


def test_an_overrun_is_told_while_the_device_is_in_quarantine() -> None:
    book, told = ledger()
    book.miss(GapReason.OVERRUN, 1, 1, SECOND, SECOND)
    for slot in range(2, 8):
        book.miss(GapReason.DEVICE_QUARANTINED, slot, slot, slot * SECOND, slot * SECOND)
    assert looks_of(told) == [(GapReason.OVERRUN, 1, 1, 1)]


def test_overruns_of_a_line_that_is_too_slow_are_joined() -> None:
    book, told = ledger()
    for slot in range(0, 100, 2):
        at_us = slot * SECOND // 10
        book.miss(GapReason.OVERRUN, slot, slot, at_us, at_us)
        book.spoke(at_us + SECOND // 10)
    book.close()
    assert [gap.looks for gap in told] == [15, 15, 15, 5]


def test_what_kept_a_device_is_told_when_it_speaks_again() -> None:
    book, told = ledger()
    book.miss(GapReason.LINE_DOWN, 3, 3, 3 * SECOND, 3 * SECOND)
    book.miss(GapReason.LINE_DOWN, 4, 4, 4 * SECOND, 4 * SECOND)
    book.spoke(5 * SECOND)
    assert looks_of(told) == [(GapReason.LINE_DOWN, 2, 3, 4)]


def test_a_gap_that_goes_on_is_told_every_minute() -> None:
    book, told = ledger()
    for slot in range(121):
        at_us = slot * TELL_EVERY_US // 60
        book.miss(GapReason.DEVICE_QUARANTINED, slot, slot, at_us, at_us)
    assert [gap.looks for gap in told] == [60, 60]
