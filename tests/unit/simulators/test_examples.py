"""The examples of the page on simulators are what a reader may copy: each of them runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulators.md"


def examples() -> str:
    """Every block of the page that is a test."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return "\n\n".join(block for block in blocks if block.startswith("def test_"))


def test_the_fixtures_do_what_the_page_says(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["headgate_simulators.pytest"]')
    pytester.makepyfile(examples())
    ran = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    ran.assert_outcomes(passed=6)
