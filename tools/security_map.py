"""`make security`: what standards ask, and whether the tests that show it pass.

python tools/security_map.py            runs the tests of every row, prints the table, 1 when one fails
python tools/security_map.py --rows GB  only rows of standards with this in their name
python tools/security_map.py --page     writes the rows into docs/reference/security.md
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAP = ROOT / "tests" / "security" / "map.toml"
PAGE = ROOT / "docs" / "reference" / "security.md"
BEGIN, END = "<!-- map -->", "<!-- /map -->"


@dataclass(frozen=True)
class Row:
    """One requirement, in our own words."""

    standard: str
    clause: str
    asks: str
    asks_zh: str
    tests: tuple[str, ...] = ()
    module: bool = False
    integrator: str = ""
    not_done: str = ""
    #: Test functions by name, those of `tests` spelt out.
    found: tuple[str, ...] = field(default=(), compare=False)


def rows() -> list[Row]:
    """Every row, its tests looked up.

    Raises:
        SystemExit: a row that says nothing, or names a test that is not there.
    """
    made, wrong = [], []
    for entry in tomllib.loads(MAP.read_text())["row"]:
        found: list[str] = []
        for name in entry.get("tests", ()):
            there = tests_of(name)
            if not there:
                wrong.append(f"{entry['standard']} {entry['clause']}: no test {name}")
            found += there
        if not (found or entry.get("integrator") or entry.get("not_done")):
            wrong.append(f"{entry['standard']} {entry['clause']}: nothing is said")
        entry["tests"] = tuple(entry.get("tests", ()))
        made.append(Row(**entry, found=tuple(found)))
    if wrong:
        sys.exit("\n".join(wrong))
    return made


def tests_of(name: str) -> list[str]:
    """The test functions of a file, a folder, or one by its name, as `file::test`."""
    path, _, wanted = name.partition("::")
    place = ROOT / "tests" / path
    files = sorted(place.glob("test_*.py")) if place.is_dir() else [place]
    if not all(file.is_file() for file in files):
        return []
    return [
        f"{file.relative_to(ROOT / 'tests')}::{node.name}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.name == wanted or (not wanted and node.name.startswith("test_")))
    ]


def table(made: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = []
    standard = ""
    for row in made:
        if row.standard != standard:
            standard = row.standard
            lines += [
                "",
                f"### {standard}",
                "",
                "| clause | asks | shown by | |",
                "|---|---|---|---|",
            ]
        shown = ", ".join(f"`{name}`" for name in row.tests)
        said = []
        if row.module:
            said.append("**certified module**")
        if row.integrator:
            said.append(f"integrator: {row.integrator}")
        if row.not_done:
            said.append(f"not done: {row.not_done}")
        asks = f"{row.asks} · {row.asks_zh}"
        lines.append(f"| {row.clause} | {asks} | {shown} | {'; '.join(said)} |")
    return "\n".join(lines).strip() + "\n"


def page(made: Sequence[Row]) -> str:
    """The page with the rows of today."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table(made)}\n{END}{rest.partition(END)[2]}"


def run(names: Iterable[str]) -> Mapping[str, str]:
    """passed, failed or skipped by `file::test`; the worst of its parameters."""
    wanted = sorted({f"tests/{name}" for name in names})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--no-header", "-o",
                   "junit_family=xunit1", f"--junitxml={report}", *wanted]  # fmt: skip
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        if not report.is_file():
            sys.exit("pytest made no report")
        found: dict[str, str] = {}
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own report
            name = str(case.get("name", "")).partition("[")[0]
            key = f"{str(case.get('file', '')).removeprefix('tests/')}::{name}"
            state = "passed"
            if case.find("failure") is not None or case.find("error") is not None:
                state = "failed"
            elif case.find("skipped") is not None:
                state = "skipped"
            worse = ("passed", "skipped", "failed")
            found[key] = max(found.get(key, "passed"), state, key=worse.index)
    return found


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", default="", help="only standards with this in their name")
    parser.add_argument("--page", action="store_true", help="write the documentation's page")
    args = parser.parse_args()
    made = [row for row in rows() if args.rows in row.standard]
    if args.page:
        PAGE.write_text(page(rows()))
        return 0
    states = run(name for row in made for name in row.found)
    failed = 0
    for row in made:
        got = [states.get(name, "not run") for name in row.found]
        bad = [name for name, state in zip(row.found, got, strict=True) if state != "passed"]
        passed = len(got) - len(bad)
        shown = f"{passed}/{len(got)} passed" if got else "-"
        duty = " +integrator" * bool(row.integrator) + " +not done" * bool(row.not_done)
        print(
            f"{row.standard:24} {row.clause:28} {shown:16}{' module' * row.module}{duty}  {row.asks}"
        )
        for name in bad:
            print(f"    {states.get(name, 'not run')}: {name}")
        failed += any(states.get(name) in (None, "failed") for name in bad)
    mute = [row for row in made if not row.found]
    print(f"\n{len(made)} rows: {len(made) - len(mute)} with tests, {failed} of them with a failure; "
          f"{sum(bool(row.integrator) for row in made)} partly or wholly the integrator's, "
          f"{sum(bool(row.not_done) for row in made)} with something not done, "
          f"{sum(row.module for row in made)} that need a certified module (GM/T 0028).")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
