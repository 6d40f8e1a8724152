"""What a reading's quality and status become as a mark of table 8."""

from __future__ import annotations

import pytest

from headgate.sdk import Quality, Status, status_word
from headgate_plugins.hj212.marks import mark_of


@pytest.mark.parametrize(
    ("status", "mark"),
    [
        (Status.NO_ANSWER, "B"), (Status.NOT_READ, "B"), (Status.NO_CLOCK, "B"),
        (Status.OUT_OF_RANGE, "T"), (Status.MALFORMED, "D"),
    ],
)  # fmt: skip
def test_why_there_is_no_good_value_becomes_its_mark(status: Status, mark: str) -> None:
    assert mark_of(Quality.BAD, status_word(status)) == mark
