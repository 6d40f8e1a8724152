"""What a part of the crash programme is, and which there are. `python tests/crash --help` runs them.

A *part* is a module with

    def run(seed, deadline, report): ...          # until time.monotonic() reaches deadline
    def replay(case) -> Counts: ...               # exactly one case again, by the name it was given

`run` hands a `Counts` of what it did since the last time to `report`, about once a second, and does at least
one case even if the deadline has passed. It cuts its work into *cases*, each with a short name (text
without spaces) from which `replay` makes the very same case again: everything random in a case comes from
that name. What a case found wrong is a `Violation`; a part goes on after one. A part that raises, or dies,
is one violation, too. A part runs in a process of its own, so it may fork, patch and set limits, but leaves
nothing behind. `cases` does the counting and the reporting for a part whose case is one function call. To
plug a part in, add it to `PARTS`.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

TESTS = Path(__file__).parents[1]

#: What most parts count. A part may have units of its own besides.
IMAGES, KILLS, FAULTS = "crash images", "kill points", "faults"


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: the case that shows it again, and in words what was seen."""

    case: str
    what: str


@dataclass
class Counts:
    """What was done, by unit, and what was found wrong."""

    done: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Take over what another counted."""
        self.done.update(other.done)
        self.violations += other.violations


Report = Callable[[Counts], None]


class Part(Protocol):
    """One part of the programme: a module of this shape."""

    def run(self, seed: int, deadline: float, report: Report) -> None:
        """Do cases until `deadline` (time.monotonic()), and report them as they are done."""
        ...

    def replay(self, case: str) -> Counts:
        """Do one case again."""
        ...


@dataclass(frozen=True)
class Entry:
    """Where a part is found (folder below tests/, module), and its share of the time."""

    folder: str
    module: str
    share: float = 1.0


#: By name. `folder` of an entry is on the path when its module is imported.
PARTS: dict[str, Entry] = {
    "images": Entry("crash", "part_images", 4.0),
    "spool": Entry("crash", "part_spool", 10.0),
    "every": Entry("crash", "part_every", 2.0),
    "faults": Entry("crash", "part_faults"),
    "rot": Entry("crash", "part_rot"),
    "model": Entry("crash", "part_model"),
    "syscalls": Entry("crash", "syscalls", 2.0),
    "gateway": Entry("crash", "part_gateway"),
    "nonces": Entry("crash", "part_nonces"),
    "chaos": Entry("chaos", "part_chaos"),
    "simulation": Entry("simulation", "part_simulation"),
}


def load(name: str) -> Part:
    """Import a part."""
    entry = PARTS[name]
    for folder in (TESTS, TESTS / "crash", TESTS / entry.folder):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return cast(Part, importlib.import_module(entry.module))


class Pulse:
    """For a part: gathers counts and reports them once a second."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = time.monotonic()
        self._counts = Counts()

    def count(self, unit: str, number: int = 1) -> None:
        """So many more of something."""
        self._counts.done[unit] += number
        if time.monotonic() - self._last >= 1.0:
            self.tell()

    def found(self, case: str, what: str) -> None:
        """A violation: told at once."""
        self._counts.violations.append(Violation(case, what))
        self.tell()

    def tell(self) -> None:
        """Report what there is; also at the end of `run`."""
        counts, self._counts = self._counts, Counts()
        self._last = time.monotonic()
        self._report(counts)


def cases(
    part: Callable[[str], Counts], names: Iterable[str], deadline: float, report: Report
) -> None:
    """For a part: one case after another until the deadline, at least one.

    An AssertionError (or any error) of a case is its violation.
    """
    pulse = Pulse(report)
    for name in names:
        counts = attempt(part, name)
        for unit, number in counts.done.items():
            pulse.count(unit, number)
        for violation in counts.violations:
            pulse.found(violation.case, violation.what)
        if time.monotonic() >= deadline:
            break
    pulse.tell()


def attempt(part: Callable[[str], Counts], name: str) -> Counts:
    """One case; an error in it is a violation."""
    try:
        return part(name)
    except Exception:  # noqa: BLE001 - whatever a case raises is what it found
        return Counts(violations=[Violation(name, traceback.format_exc())])
