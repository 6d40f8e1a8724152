"""`make crash-mutants`: plants each bug in a copy of the product and runs the programme until it is caught.

python tests/crash/mutants                          all of them; nonzero when one is not caught
python tests/crash/mutants --only receipt           those with this in their name
python tests/crash/mutants --table caught.md        the table as Markdown, too

Parts take turns on a bug, the likely one first, in slices that grow, until `--seconds` are used up. What a
part finds counts when the very same case finds it again, and nothing in an unspoilt copy. Before all that
every part runs on that copy for a while: a programme that finds something there proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bugs import BUGS, Bug, Moved  # noqa: E402
from programme import PARTS  # noqa: E402

SLICES_S = (8.0, 25.0, 60.0)
ROOTS = ("gateway", "plugins", "receiver", "tests")
running: set[subprocess.Popen[str]] = set()
stopping = threading.Event()
SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Verdict:
    """What became of one bug: the part that caught it, after which work, and what it said."""

    bug: str
    part: str
    done: Counter[str]
    seconds: float
    case: str = ""
    what: str = ""

    @property
    def cases(self) -> str:
        said = ", ".join(f"{count:,} {unit}" for unit, count in sorted(self.done.items()))
        return said or "its first case"

    @property
    def words(self) -> str:
        """The line that tells most: an assertion's, or the last."""
        lines = [line.strip() for line in self.what.strip().splitlines() if line.strip()]
        telling = [
            line for line in lines if "Error" in line or (":" in line and "life" not in line)
        ]
        return (telling or lines or [""])[-1][:110].replace("|", "/")


class Copy:
    """A copy of the product and of the programme, and what makes Python use the former."""

    def __init__(self, source: Path, tree: Path) -> None:
        self.tree = tree
        for root in ROOTS:
            leave = shutil.ignore_patterns("node_modules", ".hypothesis", "vectors")
            shutil.copytree(source / root, tree / root, ignore=leave)
        (tree / "disk").mkdir()
        self.programme = tree / "tests" / "crash"
        paths = [str(tree / root) for root in ROOTS]
        self.environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(tree / "disk"),
            "HEADGATE_CRASH_DISK": str(tree / "disk"),
        }  # fmt: skip

    def check(self) -> None:
        """That a process does import it."""
        used = subprocess.run(
            [sys.executable, "-c", "import headgate; print(headgate.__file__)"],
            env=self.environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert used.startswith(str(self.tree)), f"the copy is not what Python imports: {used}"


@contextmanager
def copied(source: Path, bug: Bug | None) -> Iterator[Copy]:
    """A copy, with a bug in it."""
    with tempfile.TemporaryDirectory(dir=SHM, prefix="headgate-bug-") as name:
        copy = Copy(source, Path(name))
        if bug is not None:
            bug.plant(copy.tree)
        copy.check()
        yield copy


def turn(part: str, seed: int, seconds: float, copy: Copy) -> Verdict:
    """One turn of a part, ended by its first violation."""
    began = time.monotonic()
    verdict = Verdict("", "", Counter(), 0.0)
    with subprocess.Popen(
        [sys.executable, str(copy.programme), "turn", part, str(seed), str(seconds)],
        env=copy.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as child:  # fmt: skip
        running.add(child)
        talk: list[str] = []
        assert child.stdout is not None and child.stderr is not None
        listener = threading.Thread(target=talk.extend, args=(child.stderr,))
        listener.start()
        # A bug may hang the part that meets it: that is caught, too.
        alarm = threading.Timer(seconds + 90.0, _end, (child,))
        alarm.start()
        for line in child.stdout:
            told = json.loads(line)
            verdict.done.update(told["done"])
            if told["violations"]:
                verdict.part = part
                verdict.case, verdict.what = told["violations"][0]
                break
        hung = alarm.finished.is_set()
        alarm.cancel()
        if verdict.part:
            _end(child)
        status = child.wait()
        listener.join()
        running.discard(child)
    if status and not verdict.part and not stopping.is_set():
        verdict.part, verdict.case = part, f"seed={seed}"
        verdict.what = "the part hung" if hung else "".join(talk)[-2000:]
    verdict.seconds = time.monotonic() - began
    return verdict


def stop(*_: object) -> None:
    """End early, and what runs with it."""
    stopping.set()
    for child in list(running):
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def genuine(found: Verdict, spoilt: Copy, sound: Copy) -> bool:
    """Whether the bug is what was found: not in the unspoilt copy, and again in the spoilt one.

    Parts with sockets and clocks in them do not show everything each time.
    """
    tries = 4 if found.part in ("gateway", "chaos") else 1
    return clean(found, sound) and any(not clean(found, spoilt) for _ in range(tries))


def clean(found: Verdict, copy: Copy) -> bool:
    """Whether the case of a find finds nothing in this copy."""
    if found.case.startswith("seed="):
        return not turn(found.part, int(found.case[5:]), 1.0, copy).part
    again = subprocess.run(
        [sys.executable, str(copy.programme), "replay", found.part, found.case],
        env=copy.environment, capture_output=True, timeout=400.0,
    )  # fmt: skip
    return again.returncode == 0


def hunt(bug: Bug, sound: Copy, seconds: float, seed: int) -> Verdict:
    """Run the programme on one bug until it is caught or the time is up."""
    began = time.monotonic()
    order = [bug.likely, *(part for part in PARTS if part != bug.likely)]
    with copied(sound.tree, bug) as copy:
        for slice_s in SLICES_S:
            for part in order:
                left = seconds - (time.monotonic() - began)
                if left <= 1.0 or stopping.is_set():
                    break
                longer = 2.0 if part == bug.likely else 1.0
                found = turn(part, seed, min(left, slice_s * longer), copy)
                if found.part and genuine(found, copy, sound):
                    found.bug = bug.name
                    return found
            seed += 1
    return Verdict(bug.name, "", Counter(), time.monotonic() - began)


def table(verdicts: Sequence[Verdict]) -> str:
    """As Markdown."""
    lines = ["| planted bug | caught by | after | seconds |", "|---|---|---|---|"]
    lines += [
        f"| {v.bug} | {v.part or '**not caught**'} | {v.cases if v.part else ''} | {v.seconds:.0f} |"
        for v in verdicts
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Planted bugs, and what catches them.")
    parser.add_argument("--seconds", type=float, default=240.0, help="at most this long for a bug")
    parser.add_argument("--only", default="", help="bugs with this in their name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sound", type=float, default=8.0, help="seconds of each part without bug")
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    bugs = [bug for bug in BUGS if asked.only in bug.name]
    with copied(ROOT, None) as sound:
        if asked.sound:
            for part in PARTS:
                found = turn(part, asked.seed, asked.sound, sound)
                if found.part:
                    print(f"without any bug, {part} {found.case}:\n{found.what}", flush=True)
                    return 2
            print(f"without any bug: nothing found by {', '.join(PARTS)}", flush=True)
        return _all(bugs, sound, asked)


def _all(bugs: Sequence[Bug], sound: Copy, asked: argparse.Namespace) -> int:
    verdicts: dict[str, Verdict] = {}
    waiting = list(bugs)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                bug = waiting.pop(0)
            try:
                verdict = hunt(bug, sound, asked.seconds, asked.seed)
            except Moved as moved:
                verdict = Verdict(bug.name, "", Counter(), 0.0, what=str(moved))
            with lock:
                verdicts[bug.name] = verdict
                state = (
                    f"caught by {verdict.part} after {verdict.cases}" if verdict.part else "MISSED"
                )
                print(f"[{len(verdicts)}/{len(bugs)}] {bug.name}: {state}, {verdict.seconds:.0f} s"
                      f"\n      {verdict.words}", flush=True)  # fmt: skip

    workers = [threading.Thread(target=work) for _ in range(max(1, asked.jobs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(0.2)  # a join without end lets no signal in
    ordered = [verdicts[bug.name] for bug in bugs]
    caught = sum(bool(each.part) for each in ordered)
    print(f"\n{table(ordered)}\n{caught} of {len(ordered)} planted bugs caught, seed {asked.seed}")
    if asked.table:
        asked.table.write_text(table(ordered), encoding="utf-8")
    return 0 if caught == len(ordered) else 1


if __name__ == "__main__":
    sys.exit(main())
