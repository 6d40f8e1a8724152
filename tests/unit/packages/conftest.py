"""A bench for signed packages, which leaves no module behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.packages import Bench

from headgate.packages.importer import Finder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    before = set(sys.modules)
    yield Bench(tmp_path)
    for module in set(sys.modules) - before:
        del sys.modules[module]
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, Finder)]
