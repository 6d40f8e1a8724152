"""The page of what standards ask says what the map says, and every test in it exists."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import security_map  # noqa: E402


def test_the_page_is_the_map_of_today() -> None:
    assert security_map.PAGE.read_text() == security_map.page(security_map.rows())


def test_every_row_is_shown_or_says_whose_it_is() -> None:
    for row in security_map.rows():
        assert row.found or row.integrator or row.not_done
        assert row.asks
        assert row.asks_zh


def test_a_test_that_is_not_there_is_found_out() -> None:
    assert security_map.tests_of("contract/test_security_map.py::test_that_is_not_there") == []
    assert security_map.tests_of("contract/test_no_such_file.py") == []
    assert len(security_map.tests_of("contract/test_security_map.py")) == 3
