"""A little of every part of the crash programme, and that the programme can find what is wrong."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import part_every
import part_faults
import part_images
import part_rot
import part_spool
import pytest
from programme import PARTS, Counts, attempt, load
from recorded_files import RecordedFiles

HERE = Path(__file__).parent
#: So many cases of each part, from a seed of the suite's own.
LITTLE: dict[ModuleType, int] = {part_spool: 150, part_images: 80, part_faults: 40, part_rot: 50}


def names_of(part: ModuleType, number: int) -> Iterator[str]:
    """Names of cases as the part itself makes them."""
    rng = random.Random(f"suite/{part.__name__}")
    for _ in range(number):
        if part in (part_spool, part_images):
            yield f"{rng.randrange(4)}/{rng.getrandbits(20)}"
        else:
            yield str(rng.getrandbits(40))


def found(part: ModuleType, names: Iterator[str]) -> list[str]:
    """What a part finds wrong in these cases."""
    done: Counts = Counts()
    for name in names:
        done.add(attempt(part.case, name))
    assert done.done.total()
    return [f"{part.__name__} {v.case}: {v.what}" for v in done.violations]


@pytest.mark.parametrize("part", LITTLE, ids=lambda part: part.__name__)
def test_a_little_of_each_part_finds_no_broken_promise(part: ModuleType) -> None:
    assert not found(part, names_of(part, LITTLE[part]))


def test_cuts_of_a_short_life_in_every_fate_keep_every_promise() -> None:
    assert not found(part_every, itertools.islice(part_every.names("2"), 1, None, 9))


def no_folder_sync(files: RecordedFiles, folder: Path) -> None:
    """As a gateway that trusts a file system to remember names."""


@pytest.mark.parametrize("part", [part_spool, part_images, part_every], ids=lambda p: p.__name__)
def test_a_folder_that_is_never_synced_is_found_and_found_again(
    part: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordedFiles, "sync_folder", no_folder_sync)
    part.life.cache_clear()
    try:
        if part is part_every:
            ends = {life: part_every.life(life).files.op for life in "123456"}
            names = [
                f"{life}/{end - back}/NOTHING/0" for life, end in ends.items() for back in (0, 9)
            ]
        else:
            names = list(names_of(part, 15))
        wrong = [name for name in names if attempt(part.case, name).violations]
        assert wrong
        again = [attempt(part.case, wrong[0]).violations[0].what for _ in range(2)]
        assert again[0] == again[1], "a case is the same case each time"
    finally:
        part.life.cache_clear()


def test_a_state_that_does_not_wait_for_its_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite_files

    class Hasty(sqlite_files._Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            return super().execute(
                sql.replace("synchronous = FULL", "synchronous = NORMAL"), *values
            )

    monkeypatch.setattr(sqlite_files, "_Connection", Hasty)
    part_images.life.cache_clear()
    try:
        assert found(part_images, names_of(part_images, 40))
    finally:
        part_images.life.cache_clear()


def test_the_programme_counts_aloud_and_ends_well() -> None:
    done = subprocess.run(
        [sys.executable, HERE, "--minutes", "0.02", "--parts", "spool", "--jobs", "1", "--seed", "5"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "spool images" in done.stdout
    assert "seed 5, violations 0" in done.stdout


def test_a_violation_makes_the_programme_fail_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    (tmp_path / "part_wrong.py").write_text(
        "from programme import Counts, cases\n"
        "def case(name):\n    assert name != '3', 'three is wrong'\n    return Counts()\n"
        "def run(seed, deadline, report):\n    cases(case, map(str, range(5)), deadline, report)\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); sys.argv[0] = {str(HERE)!r}\n"
        f"import programme; programme.PARTS['wrong'] = programme.Entry({str(tmp_path)!r}, 'part_wrong')\n"
        "import runpy; sys.argv[1:] = ['turn', 'wrong', '1', '60']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert '"3"' in done.stdout
    assert "three is wrong" in done.stdout


def test_every_part_of_the_programme_can_be_loaded() -> None:
    for name in PARTS:
        part = load(name)
        assert callable(part.run)
        assert callable(part.replay)
