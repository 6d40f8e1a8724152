"""Every planted bug still has the text that it spoils, and what comes out of it is a program.

`make crash-mutants` plants them one by one and shows that the programme catches each.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from programme import PARTS

ROOT = Path(__file__).parents[2]


def _bugs() -> ModuleType:
    import sys

    path = Path(__file__).with_name("mutants") / "bugs.py"
    spec = importlib.util.spec_from_file_location("planted_bugs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


bugs = _bugs()


@pytest.mark.parametrize("bug", bugs.BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_has_the_text_that_it_spoils(bug: bugs.Bug, tmp_path: Path) -> None:  # type: ignore[name-defined]
    for path in {edit.path for edit in bug.edits}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    bug.plant(tmp_path)
    for path in {edit.path for edit in bug.edits}:
        text = (tmp_path / path).read_text(encoding="utf-8")
        assert text != (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".py"):
            compile(text, path, "exec")


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    names = [bug.name for bug in bugs.BUGS]
    assert len(set(names)) == len(names) >= 25
    assert {bug.likely for bug in bugs.BUGS} <= PARTS.keys()
