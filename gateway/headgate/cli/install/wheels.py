"""A virtual environment made from a folder of wheels, without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headgate.cli.install.layout import Layout
from headgate.errors import HeadgateError

#: Runs a program to its end: exit status, and what it said.
Run = Callable[[Sequence[str]], tuple[int, str]]

_OURS = re.compile(r"headgate-([0-9][^-]*)-[^/]*\.whl")
_TELLING_LINES = 3


def run(words: Sequence[str]) -> tuple[int, str]:
    """Run a program; what it says on both ways comes back as one text."""
    try:
        done = subprocess.run(  # noqa: S603 - programs named by ourselves
            list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout


def version_in(wheelhouse: Path) -> str:
    """The version of Headgate that a folder of wheels holds. Raises HeadgateError: none, or several."""
    names = sorted(path.name for path in wheelhouse.glob("headgate-*.whl"))
    found = [match[1] for name in names if (match := _OURS.fullmatch(name))]
    if len(found) != 1:
        told = ", ".join(names) or "-"
        raise HeadgateError("no one wheel", code="HG-9251", folder=str(wheelhouse), found=told)
    return found[0]


def build(layout: Layout, wheelhouse: Path, extras: str, python: str, do: Run) -> Path:
    """A new environment beside those that are there; half of one never stays.

    Raises:
        HeadgateError: no venv module, a wheel that is missing, no room.
    """
    version = version_in(wheelhouse)
    made, number = layout.versions / version, 2
    while made.exists():
        made, number = layout.versions / f"{version}.{number}", number + 1
    wanted = f"headgate[{extras}]" if extras else "headgate"
    steps: list[tuple[str, list[str]]] = [
        ("HG-9252", [python, "-m", "venv", str(made)]),
        ("HG-9253", [
            str(made / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check",
            # Once, here: the service may write nothing beside its code, and would compile at each start.
            "--compile", "--no-input", "--quiet", "--no-index", "--find-links", str(wheelhouse), wanted,
        ]),
    ]  # fmt: skip
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        for code, words in steps:
            status, said = do(words)
            if status:
                reason = " / ".join(said.strip().splitlines()[-_TELLING_LINES:])
                raise HeadgateError(reason, code=code, reason=reason, folder=str(wheelhouse))
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            path = str(made)
            raise HeadgateError(reason, code="HG-9004", path=path, reason=reason) from None
        raise
    return made


def checks(environment: Path, site: Path, do: Run) -> bool | None:
    """What `headgate check` of a version says of a site: True, False; None when it does not even start."""
    main = "from headgate.cli import main; main()"
    python = str(environment / "bin" / "python")
    if not (site / "site.toml").is_file():
        status, _ = do([python, "-c", main, "--version"])
        return True if status == 0 else None
    _, said = do([python, "-c", main, "check", str(site), "--format", "json"])
    try:
        answer: Any = json.loads(said)
        return bool(answer["ok"])
    except (ValueError, KeyError, TypeError):
        return None


def settle(environment: Path, layout: Layout) -> None:
    """Make a staged environment speak of where it will lie: its scripts name their interpreter."""
    here, there = str(layout.root).rstrip("/").encode(), b""
    for path in (environment / "pyvenv.cfg", *(environment / "bin").iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes()
        if here in text and b"\0" not in text:
            path.write_bytes(text.replace(here, there))


def base_python() -> str:
    """The interpreter that outlives us: not that of the environment we may run in."""
    return str(getattr(sys, "_base_executable", sys.executable))
