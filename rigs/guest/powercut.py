"""Writes into a spool on a real file system and says each promise aloud, until the power is gone.

Every start first says what it found: the host keeps the promises and is the judge.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/crash"))

from workload import record, survey

from headgate.env import system_env
from headgate.spool import Spool, State
from rigs.guest.report import tell

DISK = Path("/mnt/disk")
#: Commits between two orderly ends, so that starts are cut into as well.
_RUN = 150


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Sorted numbers as inclusive ranges."""
    out: list[list[int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return out


def said(word: str, **what: object) -> None:
    """One line for the host."""
    sys.stdout.write(f"{word} {json.dumps(what)}\n")
    sys.stdout.flush()


def look_back(state: State, spool: Spool) -> None:
    """Say everything that is there, and whether it is whole."""
    try:
        found = survey(spool)
    except AssertionError as error:
        tell("whole", False, error)
        return
    tell("whole", True, f"{len(found.positions)} records there, {found.lost} said to be lost")
    epochs: dict[bytes, list[int]] = {}
    for epoch, n in found.positions:
        epochs.setdefault(epoch, []).append(n)
    said(
        "FOUND",
        epochs={epoch.hex(): ranges(numbers) for epoch, numbers in epochs.items()},
        lost=found.lost,
        state=state.counter("rounds"),
        rebuilt=state.rebuilt,
    )


def write(state: State, spool: Spool, rng: random.Random, commits: int, turn: int) -> None:
    """Commit, promise, and now and then keep the state."""
    env = system_env()
    epoch = env.random.token(8)
    state.begin_epoch(epoch, spool_newest(spool))
    n = 0
    for at in range(commits):
        losses = spool.losses()
        batch = [
            record(epoch, n + i, rng, accounts=losses if i == 0 else ())
            for i in range(rng.choice([1, 1, 2, 4, 12]))
        ]
        n += len(batch)
        spool.commit(batch)
        said("PROMISED", epoch=epoch.hex(), to=n - 1)
        if at % 16 == 0:
            state.committed(epoch, n - 1)
            state.note(spool.totals())
            state.count("rounds", turn * 1_000_000 + at)
            if state.flush():
                said("KEPT", state=turn * 1_000_000 + at)


def spool_newest(spool: Spool) -> tuple[bytes | None, int | None]:
    """The newest epoch there is, and its last n."""
    last = [(rows.epoch(row), rows.ns[row]) for rows in spool.segments() for row in rows.alive()]
    return last[-1] if last else (None, None)


def main() -> None:
    """Look back, then write until the end of the world."""
    DISK.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "ext4", "/dev/vda", str(DISK)], check=True)
    if os.environ["RIG_FLUSH"] == "off":
        # The counter-proof: whoever forgets to flush must be found out here.
        os.fsync = os.fdatasync = lambda _: None
    turn = int(os.environ["RIG_TURN"])
    rng = random.Random(int(os.environ["RIG_SEED"]))
    segment = rng.choice([8 << 10, 64 << 10, 1 << 20])
    part = 0
    while True:
        env = system_env()
        state = State(env, DISK / "state.db")
        state.open()
        spool = Spool(
            env, DISK / "spool", segment_bytes=segment, quota_bytes=256 << 20,
            ballast_bytes=64 << 10,
        )  # fmt: skip
        spool.open(state.noted())
        if part == 0:
            look_back(state, spool)
            said("WRITING", segment=segment)
        write(state, spool, rng, _RUN, turn * 1000 + part)
        spool.close()
        state.close()
        part += 1


if __name__ == "__main__":
    main()
