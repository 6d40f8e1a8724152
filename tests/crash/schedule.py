"""The programme in motion: parts take turns in processes of their own, and are counted live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from programme import PARTS, Counts, Violation


def seed_of(seed: int, part: str, turn: int) -> int:
    """The seed of one turn of a part: another for each, the same in every run of this seed."""
    return zlib.crc32(f"{seed}/{part}/{turn}".encode())


class Programme:
    """Shares the time among parts: whoever had the least of its share has the next turn."""

    def __init__(self, names: Sequence[str], seed: int, jobs: int) -> None:
        self.names = names
        self.seed = seed
        self.jobs = jobs
        self.counts = {name: Counts() for name in names}
        self.used = dict.fromkeys(names, 0.0)
        self.turns = dict.fromkeys(names, 0)
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()
        self._began = time.monotonic()

    def run(self, seconds: float) -> None:
        """All parts until the time is up (0: until stopped)."""
        until = self._began + seconds if seconds else float("inf")
        slice_s = (
            60.0 if not seconds else max(2.0, min(60.0, seconds * self.jobs / len(self.names) / 2))
        )
        workers = [
            threading.Thread(target=self._work, args=(until, slice_s)) for _ in range(self.jobs)
        ]
        for worker in workers:
            worker.start()
        shown = self._began
        while any(worker.is_alive() for worker in workers):
            # An Event would not let a signal in while it waits for long.
            self.stopping.wait(0.2)
            if time.monotonic() - shown >= 10.0:
                shown = time.monotonic()
                print(self.line(), flush=True)
            if self.stopping.is_set():
                self._end_children()
                time.sleep(0.05)
        for worker in workers:
            worker.join()

    def _work(self, until: float, slice_s: float) -> None:
        while not self.stopping.is_set():
            left = until - time.monotonic()
            with self._lock:
                never = [name for name in self.names if not self.turns[name]]
                if left < 1.0 and not never:
                    return
                name = min(never or self.names, key=lambda n: self.used[n] / PARTS[n].share)
                number = self.turns[name]
                self.turns[name] += 1
                seconds = max(1.0, min(slice_s, left))
                self.used[name] += seconds  # for now, so that the other worker picks another part
            began = time.monotonic()
            self._turn(name, seed_of(self.seed, name, number), seconds)
            with self._lock:
                self.used[name] += time.monotonic() - began - seconds

    def _turn(self, name: str, seed: int, seconds: float) -> None:
        command = [
            sys.executable,
            str(Path(__file__).parent),
            "turn",
            name,
            str(seed),
            str(seconds),
        ]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child:
            self._children.add(child)
            talk: list[str] = []
            listener = threading.Thread(target=lambda: talk.extend(cast(Any, child.stderr)))
            listener.start()
            assert child.stdout is not None
            told = False
            for line in child.stdout:
                try:
                    told = self._take(name, json.loads(line)) or told
                except ValueError:
                    talk.append(line)
            status = child.wait()
            listener.join()
            self._children.discard(child)
        if status and not told and not self.stopping.is_set():
            what = f"the part ended with status {status}\n" + "".join(talk)[-4000:]
            self._take(name, {"done": {}, "violations": [[f"seed={seed}", what]]})

    def _take(self, name: str, report: dict[str, Any]) -> bool:
        counts = Counts(Counter(report["done"]), [Violation(*v) for v in report["violations"]])
        with self._lock:
            self.counts[name].add(counts)
        for violation in counts.violations:
            print(f"\nVIOLATION in {name}, case {violation.case}\n{violation.what}\n", flush=True)
        return bool(counts.violations)

    def stop(self, *_: object) -> None:
        """End early; what was counted so far counts."""
        self.stopping.set()

    def _end_children(self) -> None:
        for child in list(self._children):
            try:
                os.killpg(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue

    # -------------------------------------------------------- what is told

    def total(self) -> Counts:
        """Everything of all parts."""
        total = Counts()
        for counts in self.counts.values():
            total.add(counts)
        return total

    def line(self) -> str:
        """Where we are, in a line."""
        with self._lock:
            total = self.total()
        passed = int(time.monotonic() - self._began)
        clock = f"{passed // 3600}:{passed // 60 % 60:02}:{passed % 60:02}"
        return f"{clock}  {said(total.done)}  violations {len(total.violations)}"

    def report(self, command: str) -> str:
        """The end of it."""
        total = self.total()
        lines = ["", f"{'part':<14}{'time':>8}  counted"]
        for name, counts in self.counts.items():
            lines.append(f"{name:<14}{self.used[name]:>7.0f}s  {said(counts.done)}")
        images = sum(number for unit, number in total.done.items() if "images" in unit)
        lines += ["", said(total.done), f"crash images of every kind {images:,}"]
        lines += [f"seed {self.seed}, violations {len(total.violations)}"]
        lines.append(f"run again: {command}")
        for name, counts in self.counts.items():
            for violation in counts.violations[:10]:
                first = violation.what.strip().splitlines()[-1:] or [""]
                lines.append(f"  {name} {violation.case}: {first[0]}")
                lines.append(f"    {again(name, violation.case)}")
        return "\n".join(lines)


def again(name: str, case: str) -> str:
    """The command that shows one case again."""
    if case.startswith("seed="):
        return f"python tests/crash turn {name} {case[5:]} 60"
    return f'make crash PART={name} CASE="{case}"'


def said(done: Counter[str]) -> str:
    """Counts as people read them."""
    return ", ".join(f"{unit} {count:,}" for unit, count in sorted(done.items()))
