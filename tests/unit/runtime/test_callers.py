"""Callers that were not let in, and receipts that do not prove themselves, are in the audit log."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from headgate.audit import Entry
from headgate.crypto.provider import default_provider
from headgate.envelope.receipt import verify_receipt
from headgate.errors import SecurityError
from headgate.runtime.callers import CallerWatch
from headgate.runtime.outlets import Outlets


class Line(NamedTuple):
    channel: str
    tally: dict[str, int]


def test_callers_that_were_refused_are_told_by_line_and_reason_once_a_minute() -> None:
    told: list[Entry] = []
    lines = [Line("stations", {"calls": 9}), Line("dtu", {})]
    watch = CallerWatch(told.append, lambda: lines)
    watch.look(0)
    lines[0].tally.update({"refused-stranger": 3, "calls": 12})
    watch.look(30_000_000)
    assert told == []  # within the minute
    watch.look(60_000_000)
    watch.look(200_000_000)
    lines[0].tally.update({"refused-stranger": 4, "two-sources": 1})
    watch.look(300_000_000)
    assert [(e.kind, e.what, e.fields) for e in told] == [
        ("peer-refused", "callers of stations", {"refused-stranger": 3}),
        ("peer-refused", "callers of stations", {"refused-stranger": 1, "two-sources": 1}),
    ]


def test_a_receipt_that_does_not_prove_itself_is_told() -> None:
    told: list[Entry] = []
    outlets = Outlets.__new__(Outlets)
    outlets.tell = told.append
    key = default_provider().sm2_generate().public
    with pytest.raises(SecurityError):
        outlets._proved(lambda message: verify_receipt(message, (key,), "g"), b"no receipt")
    assert [(e.kind, e.result, e.code) for e in told] == [("receipt-refused", "refused", "HG-6005")]
