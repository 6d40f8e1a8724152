"""The audit of libraries finds what it is there for, and nothing else."""

from __future__ import annotations

import shutil
import tomllib
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import dependencies as audit

REVIEWED = tomllib.loads(audit.REVIEWED.read_text())


def test_what_is_installed_here_is_what_was_tested_and_reviewed() -> None:
    assert audit.problems() == []


def test_a_library_that_is_not_pinned_or_at_another_version_is_named() -> None:
    said = list(
        audit.unpinned({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4"}, own_choice=False)
    )
    assert said == [
        "a 1 is needed and not pinned in requirements/run.txt",
        "c 3 is installed, 4 is pinned",
    ]
    # A folder of wheels is its own choice of versions.
    assert len(list(audit.unpinned({"c": "3"}, {"c": "4"}, own_choice=True))) == 0


def test_a_version_that_an_advisory_is_about_is_named() -> None:
    assert list(audit.known_bad({"asyncua": "2.1.0", "cryptography": "50.0.2"}, REVIEWED)) == []
    said = list(audit.known_bad({"asyncua": "0.9.95", "cryptography": "44.0.0"}, REVIEWED))
    assert len(said) == 3 and any("CVE-2024-12797" in text for text in said)


def test_a_licence_that_nobody_looked_at_or_that_changed_is_named() -> None:
    one = distribution("pluggy")
    assert list(audit.unlicensed({"pluggy": one}, REVIEWED)) == []
    other = {**REVIEWED, "library": {"pluggy": {"licence": "MIT", "said": "free", "why": ""}}}
    assert "pluggy: said 'free' when it was reviewed" in next(
        audit.unlicensed({"pluggy": one}, other)
    )
    gpl = {**REVIEWED, "library": {"pluggy": {"licence": "GPL-3.0", "said": "", "why": ""}}}
    assert "not among the licences" in next(audit.unlicensed({"pluggy": one}, gpl))
    assert "nobody has reviewed" in next(audit.unlicensed({"new": one}, REVIEWED))


def test_a_file_of_a_library_that_was_changed_or_taken_away_is_named(tmp_path: Path) -> None:
    one = distribution("pluggy")
    home = Path(str(one.locate_file("")))
    info = next(home.glob("pluggy-*.dist-info"))
    for folder in (home / "pluggy", info):
        shutil.copytree(folder, tmp_path / folder.name)
    copy = PathDistribution(tmp_path / info.name)
    assert list(audit.altered(copy)) == []
    with open(tmp_path / "pluggy" / "_hooks.py", "a") as file:
        file.write("# somebody was here\n")
    (tmp_path / "pluggy" / "_result.py").unlink()
    assert sorted(audit.altered(copy)) == [
        "pluggy: pluggy/_hooks.py is not what was installed",
        "pluggy: pluggy/_result.py is gone",
    ]
