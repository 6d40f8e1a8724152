"""What a start costs, of one tree or of two in turn: the first value, CPU until then, memory after it.

    python -m bench.starting                         this tree
    python -m bench.starting --against /tmp/before   and another one
    python -m bench.starting --uncompiled            as from files that nobody compiled

Another one is had by `git archive REVISION | tar -x -C /tmp/before`.
A package that pip installed is compiled, and so are both trees here, each into a folder of its own. CPU and
ratios within one run are what to compare: the first value waits for whatever else this machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.scene import HERE, Load, Scene

ROOTS = ("gateway", "drivers", "plugins", "receiver", "simulators", "firmware_profiles")
#: After the first value: what a start leaves behind is there by then.
SETTLED_S = 1.5


class Start(NamedTuple):
    """Until a platform opened the first value: seconds, and CPU seconds of the gateway; then resident MB."""

    first_s: float
    cpu_s: float
    rss_mb: float


class Tree(Scene):
    """A scene whose gateway comes from a tree of sources."""

    def __init__(self, load: Load, tree: Path, compiled: Path | None) -> None:
        super().__init__(load)
        self.tree = tree
        self.compiled = compiled

    async def start_gateway(self) -> None:
        """Start the gateway of the tree."""
        paths = os.pathsep.join(str(self.tree / root) for root in ROOTS)
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        if self.compiled is not None:
            del env["PYTHONDONTWRITEBYTECODE"]
            env["PYTHONPYCACHEPREFIX"] = str(self.compiled)
        self.started = time.monotonic()
        await self._spawn(
            "gateway", sys.executable, "-c", "from headgate.cli import main; main()", "run",
            str(self.folder / "site"), "--profiles", str(self.folder / "profiles"), env=env,
        )  # fmt: skip

    async def look(self) -> Start:
        """One start."""
        await self.start_gateway()
        got = await self.ask_platform("report")
        while not got["first"]:
            await asyncio.sleep(0.02)
            got = await self.ask_platform("report")
        cpu = self._cpu()
        await asyncio.sleep(SETTLED_S)
        return Start(got["first"] - self.started, cpu, self.usage()[1])

    def _cpu(self) -> float:
        tasks = Path(f"/proc/{self.processes['gateway'].pid}/task")
        # Run time in nanoseconds comes first (Documentation/scheduler/sched-stats).
        return (
            sum(int((each / "schedstat").read_text().split()[0]) for each in tasks.iterdir()) / 1e9
        )


async def starts(
    trees: Sequence[Path], rounds: int, load: Load, *, compiled: bool
) -> list[list[Start]]:
    """Every tree's starts, in turn: round by round, the other one first each time."""
    folder = Path(tempfile.mkdtemp(prefix="headgate-compiled-"))
    found: list[list[Start]] = [[] for _ in trees]
    try:
        for number in range(rounds + 1):
            order = range(len(trees)) if number % 2 else reversed(range(len(trees)))
            for at in order:
                place = folder / str(at) if compiled else None
                scene = Tree(load, trees[at], place)
                async with scene:
                    start = await scene.look()
                if number:  # the one before compiles, and warms what the kernel keeps of files
                    found[at].append(start)
                    print(f"{trees[at]}: " + _shown(start), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _shown(start: Start) -> str:
    return f"first {start.first_s:.2f} s, CPU {start.cpu_s:.2f} s, RSS {start.rss_mb:.0f} MB"


def _middle(found: Sequence[Start]) -> Start:
    return Start(*(statistics.median(column) for column in zip(*found, strict=True)))


def main() -> None:
    """Measure, and say the medians."""
    options = argparse.ArgumentParser(prog="python -m bench.starting")
    options.add_argument("--against", type=Path, help="another tree, in turn with this one")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--devices", type=int, default=100)
    options.add_argument("--uncompiled", action="store_true")
    asked = options.parse_args()
    load = Load(devices=asked.devices, pinned=False)
    trees = [HERE.parent] if asked.against is None else [asked.against.absolute(), HERE.parent]
    found = asyncio.run(starts(trees, asked.rounds, load, compiled=not asked.uncompiled))
    for tree, each in zip(trees, found, strict=True):
        print(f"median of {asked.rounds}, {tree}: {_shown(_middle(each))}")
    if len(found) == 2:
        for at, name in enumerate(Start._fields):
            ratios = sorted(after[at] / before[at] for before, after in zip(*found, strict=True))
            middle = statistics.median(ratios)
            print(f"{name}: ratio {middle:.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
