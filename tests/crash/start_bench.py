"""How long a start takes with a gigabyte of backlog and one thing broken, in seconds.

Figures belong to the machine; the bound that we hold ourselves to is ten seconds.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from headgate.env import system_env
from headgate.model import Lane
from headgate.spool import ClearIndex, SealedRecord, Spool, State

PAGE = 4096
MIB = 1 << 20


def fill(folder: Path, size: int, record: int) -> int:
    """A box with so many bytes of backlog; how many records."""
    env = system_env()
    state, spool = (
        State(env, folder / "state.db"),
        Spool(env, folder / "spool", quota_bytes=4 * size),
    )
    state.open()
    spool.open()
    epoch, data = b"epoch..1", random.Random(1).randbytes(record)
    state.begin_epoch(epoch, (None, None))
    for device in range(100):
        state.device_number(f"device-{device}")
    total = size // record
    step = max(1, 4 * MIB // record)
    devices = tuple((device + 1, 10) for device in range(20))
    for first in range(0, total, step):
        spool.commit([
            SealedRecord(epoch, n, b"k" * 8, Lane.LIVE, data, ClearIndex(200, n, n, b"b" * 16, devices))
            for n in range(first, min(total, first + step))
        ])  # fmt: skip
    state.committed(epoch, total - 1)
    state.note(spool.totals())
    state.close()
    spool.close()
    return total


def start(folder: Path) -> tuple[float, float, int, int]:
    """Open it: seconds, of the processor alone, records found, records said to be lost."""
    env = system_env()
    state, spool = State(env, folder / "state.db"), Spool(env, folder / "spool")
    began, worked = time.perf_counter(), time.process_time()
    state.open()
    found = spool.open(state.noted())
    known = {each.epoch: each.last_n for each in state.epochs()}
    state.number_above(spool.highest_device(known))
    took, work = time.perf_counter() - began, time.process_time() - worked
    lost = sum(loss.records for loss in spool.losses())
    state._disconnect()
    spool._let_go_of_lock()
    return took, work, found.records, lost


def over(path: Path, at: int, data: bytes) -> None:
    """Write over a part of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _pages(folder: Path) -> None:
    for path in segments(folder):
        over(path, path.stat().st_size // 2, random.Random(2).randbytes(PAGE))


def segments(folder: Path) -> list[Path]:
    """The data segments, oldest first."""
    return sorted((folder / "spool" / "data").glob("*.seg"))


#: What is broken, and how.
BROKEN: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a page of the newest segment": lambda f: over(segments(f)[-1], MIB, bytes(PAGE)),
    "a page of an old segment": lambda f: over(segments(f)[3], MIB, bytes(PAGE)),
    "a page of every segment": _pages,
    "the header of a segment": lambda f: over(segments(f)[3], 0, bytes(PAGE)),
    "a whole segment, zeros": lambda f: over(
        segments(f)[3], 0, bytes(segments(f)[3].stat().st_size)
    ),
    "a whole segment, noise": lambda f: over(
        segments(f)[3], 0, random.Random(3).randbytes(segments(f)[3].stat().st_size)
    ),
    "a whole segment, nothing but beginnings": lambda f: over(
        segments(f)[3], 0, b"\xa9HGr" * (segments(f)[3].stat().st_size // 4)
    ),
    "a segment gone": lambda f: segments(f)[3].unlink(),
    "the ledger": lambda f: over(f / "spool" / "data" / "ledger", 0, bytes(16)),
    "state.db": lambda f: over(f / "state.db", 0, random.Random(4).randbytes(3 * PAGE)),
    "state.db gone": lambda f: (f / "state.db").unlink(),
    "devices": lambda f: over(f / "devices", 0, bytes(8)),
}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--records", type=int, nargs="*", default=[65536, 2048])
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    for record in asked.records:
        with tempfile.TemporaryDirectory(dir=asked.folder) as made:
            whole, broken = Path(made) / "whole", Path(made) / "broken"
            whole.mkdir()
            total = fill(whole, asked.mib * MIB, record)
            print(f"{asked.mib} MiB, {total:,} records of {record} bytes", flush=True)
            for what, spoil in BROKEN.items():
                shutil.rmtree(broken, ignore_errors=True)
                shutil.copytree(whole, broken)
                spoil(broken)
                seconds, work, found, lost = start(broken)
                told = f"{seconds:6.2f} s ({work:5.2f} s of CPU)  {what:40}"
                print(f"  {told} found {found:,}, lost and said {lost:,}", flush=True)
                assert found + lost == total, "every record is there or is said to be lost"


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    main()
    sys.exit(0)
