"""The guarantees page names a test beside every sentence; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(
    set(re.findall(r"`((?:unit|crash|journeys|peers|contract)/[\w/]+\.py)::(\w+)`", PAGE))
)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_test_that_the_page_names_exists(file: str, test: str) -> None:
    assert re.search(
        rf"^(async )?def {test}\(|^{test} = ", (ROOT / "tests" / file).read_text(), re.M
    )


def test_every_row_of_the_page_names_a_test() -> None:
    rows = [
        row for row in PAGE.splitlines() if row.startswith("| ") and not row.endswith("| test |")
    ]
    assert rows
    assert all("::" in row for row in rows)
