"""A process that commits as fast as it can and says each promise aloud; it is killed from outside."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from headgate.env import system_env
from headgate.model import Lane
from headgate.spool import ClearIndex, SealedRecord, Spool, State


def main(folder: Path) -> None:
    env = system_env()
    state = State(env, folder / "state.db")
    state.open()
    spool = Spool(env, folder / "spool", segment_bytes=64 << 10, ballast_bytes=4096)
    found = spool.open(state.noted())
    epoch = env.random.token(8)
    state.begin_epoch(epoch, (found.epoch, found.last_n))
    state.flush()
    for n in range(1_000_000):
        body = random.Random(f"{epoch.hex()}/{n}").randbytes(3000)
        index = ClearIndex(3, n, n, b"b" * 16, ((1, 3),))
        spool.commit(
            [SealedRecord(epoch, n, b"k" * 8, Lane.ALARM if n % 7 == 3 else Lane.LIVE, body, index)]
        )
        sys.stdout.write(f"{epoch.hex()} {n}\n")
        sys.stdout.flush()
        if n % 16 == 0:
            state.committed(epoch, n)
            state.note(spool.totals())
            state.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
