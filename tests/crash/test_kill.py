"""A real process on a real disk, killed with -9 in the middle of writing, again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workload import survey

from headgate.env import system_env
from headgate.spool import Spool, State

CHILD = Path(__file__).with_name("child.py")


def test_a_process_killed_in_the_middle_of_writing_loses_no_promise(tmp_path: Path) -> None:
    promised: set[tuple[bytes, int]] = set()
    starts = []
    for turn in range(4):
        with subprocess.Popen(
            [sys.executable, CHILD, tmp_path], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(20 + 13 * turn)]
            child.kill()
            lines += child.stdout.readlines()
        told = [line.split() for line in lines if line.endswith("\n")]
        promised |= {(bytes.fromhex(epoch), int(n)) for epoch, n in told}
        starts.append((bytes.fromhex(told[-1][0]), int(told[-1][1])))

        env = system_env()
        state = State(env, tmp_path / "state.db")
        state.open()
        spool = Spool(env, tmp_path / "spool", segment_bytes=64 << 10, ballast_bytes=4096)
        recovered = spool.open(state.noted())
        found = survey(spool)
        assert promised <= found.positions.keys()
        assert not state.rebuilt
        previous, last_n = state.begin_epoch(b"x" * 8, (recovered.epoch, recovered.last_n))
        assert previous == starts[-1][0]
        # The kill may come between a commit and the line that tells of it.
        assert last_n is not None
        assert last_n >= starts[-1][1]
        spool.close()
        state._disconnect()  # as a killed process would: nothing of this look is kept
