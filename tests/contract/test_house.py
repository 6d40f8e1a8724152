"""What a stranger meets first: the front pages say what is there, and nothing secret came along."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONT_PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(name: str) -> list[str]:
    """The commands of a page's console blocks, without what is said about them."""
    return [
        line.split("#")[0].removeprefix("$ ").strip()
        for line in text(name).splitlines()
        if line.startswith("$ ")
    ]


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: an archive holds what was released, no more")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    return [ROOT / name for name in names.decode().split("\0") if name]


@pytest.mark.parametrize("page", FRONT_PAGES)
def test_every_verb_a_front_page_names_is_a_verb_of_make(page: str) -> None:
    verbs = set(re.findall(r"^([a-z]+): ##", text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", text(page), re.MULTILINE))
    assert named
    assert named <= verbs


@pytest.mark.parametrize("page", FRONT_PAGES)
def test_every_link_of_a_front_page_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text(page))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_both_readmes_show_the_same_commands() -> None:
    assert commands("README.md") == commands("README.zh-CN.md")


def test_requirements_name_versions_and_no_place_to_get_them() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line or re.match(r"#|[A-Za-z0-9_.-]+(==|>=)[0-9.]+$", line), (
                f"{path.name}: {line}"
            )


def test_a_python_that_is_too_old_is_answered_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "venv.sh", tmp_path / "tools")
    old = tmp_path / "python3"
    old.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" || exit 1\n', encoding="utf-8"
    )
    old.chmod(0o755)
    bash = shutil.which("bash")
    assert bash
    made = subprocess.run(
        [bash, str(tmp_path / "tools" / "venv.sh"), "demo"],
        env={"PATH": str(tmp_path)},  # neither this machine's interpreters nor its tools
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 1
    assert "Headgate needs Python 3.11 or newer; python3 is Python 3.9.2." in made.stderr
    assert "make demo PYTHON=" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_private_key_is_tracked() -> None:
    # Put together here, so that this file does not find itself.
    marks = [
        b"-----BEGIN " + kind + b"PRIVATE KEY-----"
        for kind in (b"", b"EC ", b"RSA ", b"ENCRYPTED ")
    ]
    found = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.is_file() and any(mark in path.read_bytes() for mark in marks)
    ]
    assert found == []
