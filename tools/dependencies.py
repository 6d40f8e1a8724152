"""Audits the libraries that the product brings: pinned, whole, licensed, and free of what is known to be bad.

    python tools/dependencies.py             what `make check` asks: offline, the same answer every time
    python tools/dependencies.py --write     writes docs/reference/dependencies.md anew
    python tools/dependencies.py --online    also asks the public advisory database (pip-audit), where it can

Offline this knows the advisories that stand in requirements/reviewed.toml, and no more: that list is a floor
under which nobody falls back by accident, no substitute for asking. --online asks, and says if it cannot.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PINS = ROOT / "requirements" / "run.txt"
REVIEWED = ROOT / "requirements" / "reviewed.toml"
PAGE = ROOT / "docs" / "reference" / "dependencies.md"
MARK = "<!-- dependencies -->\n"


def name_of(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Versions by name, from a requirements file."""
    found = (line.split("#")[0].strip().partition("==") for line in text.splitlines())
    return {name_of(name): version for name, _, version in found if version}


def closure(
    name: str = "headgate", extras: frozenset[str] = frozenset({"all"})
) -> dict[str, Distribution]:
    """Everything that is installed because the product needs it; without the product itself."""
    found: dict[str, Distribution] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        name, extras = waiting.pop()
        if (name_of(name), extras) in done:
            continue
        done.add((name_of(name), extras))
        try:
            found[name_of(name)] = one = distribution(name)
        except PackageNotFoundError:
            continue
        for text in one.requires or ():
            wanted = Requirement(text)
            marker = wanted.marker
            if marker is None or any(marker.evaluate({"extra": each}) for each in (*extras, "")):
                waiting.append((wanted.name, frozenset(wanted.extras)))
    del found["headgate"]
    return found


def unpinned(
    installed: Mapping[str, str], pinned: Mapping[str, str], *, own_choice: bool
) -> Iterator[str]:
    """What is not at the version it was tested with."""
    for name, version in sorted(installed.items()):
        wanted = pinned.get(name)
        if wanted is None:
            yield f"{name} {version} is needed and not pinned in requirements/run.txt"
        elif wanted != version and not own_choice:
            yield f"{name} {version} is installed, {wanted} is pinned"


def altered(one: Distribution) -> Iterator[str]:
    """Files of a distribution that are not what its wheel brought (PEP 376, RECORD)."""
    for file in one.files or ():
        if file.hash is None or file.hash.mode != "sha256":
            continue
        path = Path(str(file.locate()))
        try:
            digest = hashlib.sha256(path.read_bytes()).digest()
        except OSError:
            yield f"{one.name}: {file} is gone"
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            yield f"{one.name}: {file} is not what was installed"


def licence_said(one: Distribution) -> str:
    """What a distribution says of its licence."""
    metadata = one.metadata
    expression = metadata.get_all("License-Expression") or []
    classifiers = metadata.get_all("Classifier") or []
    listed = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    bare = [text[:60] for text in metadata.get_all("License") or []]
    return ", ".join(expression or listed or bare)


def unlicensed(installed: Mapping[str, Distribution], reviewed: Mapping[str, Any]) -> Iterator[str]:
    """Libraries whose licence nobody looked at, or that say another now."""
    for name, one in sorted(installed.items()):
        entry = reviewed["library"].get(name)
        if entry is None:
            yield f"{name}: nobody has reviewed it; add it to requirements/reviewed.toml"
        elif entry["licence"] not in reviewed["allowed"]:
            yield f"{name}: {entry['licence']} is not among the licences we take"
        elif licence_said(one) != entry["said"]:
            yield f"{name}: said {entry['said']!r} when it was reviewed, says {licence_said(one)!r}"


def known_bad(installed: Mapping[str, str], reviewed: Mapping[str, Any]) -> Iterator[str]:
    """Installed versions that a reviewed advisory is about."""
    for advisory in reviewed["advisory"]:
        version = installed.get(name_of(advisory["library"]))
        if version is not None and version in SpecifierSet(advisory["affected"], prereleases=True):
            yield f"{advisory['library']} {version}: {advisory['id']}, {advisory['what']}"


def page(reviewed: Mapping[str, Any]) -> str:
    """The tables of docs/reference/dependencies.md: made from the review, so the same on every machine."""
    rows = ["", "| library | licence | what for |", "|---|---|---|"]
    for name, entry in sorted(reviewed["library"].items()):
        rows.append(f"| {name} | {entry['licence']} | {entry['why']} |")
    rows += ["", "Versions that are refused, whoever pins them:", ""]
    rows += ["| advisory | library | affected | what |", "|---|---|---|---|"]
    for one in reviewed["advisory"]:
        rows.append(f"| {one['id']} | {one['library']} | `{one['affected']}` | {one['what']} |")
    return "\n".join(rows) + "\n"


def online() -> str:
    """What the public database says, or why it was not asked."""
    if find_spec("pip_audit") is None:
        return "advisories online: not asked; pip-audit is not installed (pip install pip-audit)"
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-r", str(PINS)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode == 0:
        return "advisories online: none for the pinned versions"
    if "Found" in done.stderr or "Found" in done.stdout:
        return f"advisories online:\n{done.stdout}{done.stderr}"
    return "advisories online: not asked; the database could not be reached"


def problems() -> list[str]:
    """Everything that is wrong, as sentences."""
    reviewed = tomllib.loads(REVIEWED.read_text(encoding="utf-8"))
    installed = closure()
    versions = {name: one.version for name, one in installed.items()}
    own_choice = bool(os.environ.get("WHEELHOUSE"))
    found = [
        *unpinned(versions, pins(PINS.read_text(encoding="utf-8")), own_choice=own_choice),
        *unlicensed(installed, reviewed),
        *known_bad(versions, reviewed),
        *(text for one in installed.values() for text in altered(one)),
    ]
    told = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if told.partition(MARK)[2] != page(reviewed):
        found.append(f"{PAGE.relative_to(ROOT)} is behind: python tools/dependencies.py --write")
    return found


def main() -> int:
    """Say what is wrong; 1 when anything is."""
    if "--write" in sys.argv:
        reviewed = tomllib.loads(REVIEWED.read_text(encoding="utf-8"))
        before, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
        PAGE.write_text(f"{before}{mark}{page(reviewed)}", encoding="utf-8")
    found = problems()
    for text in found:
        print(text)
    if "--online" in sys.argv:
        said = online()
        print(said)
        return 1 if found or said.startswith("advisories online:\n") else 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
