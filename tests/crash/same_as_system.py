"""A short life of a box on real files, to be watched from outside: `python same_as_system.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from headgate.env import system_env
from headgate.model import Lane
from headgate.runtime.learned import Learned, Learnings
from headgate.spool import ClearIndex, SealedRecord, Spool, State


def life(env: Any, folder: Path) -> None:
    """What a gateway asks of a disk: create, write, sync, replace, rotate, evict, checkpoint, stop."""
    for start in range(2):
        epoch = b"epoch--%d" % start
        state = State(env, folder / "state.db")
        state.open()
        spool = Spool(
            env, folder / "spool", segment_bytes=4096, quota_bytes=20_000, ballast_bytes=4096
        )
        found = spool.open(state.noted())
        state.begin_epoch(epoch, (found.epoch, found.last_n))
        learnings = Learnings(env.files, folder / "identities.json")
        learnings.load()
        for n in range(14):
            device = state.device_number(f"gauge-{n % 5}")
            state.flush()
            index = ClearIndex(1, n, n, b"b" * 16, ((device, 1),), (), tuple(
                loss.account for loss in spool.losses()
            ))  # fmt: skip
            lane = Lane.ALARM if n % 4 == 3 else Lane.LIVE
            record = SealedRecord(epoch, n, b"k" * 8, lane, bytes([n]) * 1500, index)
            spool.commit([record])
            state.committed(epoch, n)
            state.note(spool.totals())
            state.flush()
        learnings.learn("gauge-1", Learned(f"{start}.0", "profile", "place"))
        learnings.save()
        state.close()
        spool.close()


if __name__ == "__main__":
    life(system_env(), Path(sys.argv[1]))
