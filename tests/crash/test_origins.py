"""Whatever a power cut leaves: a delivery that was on disk is known again, one that was not is taken anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from recorded_files import RecordedFiles, env_on
from workload import FOLDER, open_spool

from headgate.crypto.provider import default_provider
from headgate.env import system_env
from headgate.model import Block, Lane, Origin
from headgate.runtime.batch import Committed
from headgate.runtime.origins import Origins
from headgate.spool import ClearIndex, SealedRecord, State

BLOCK = Block(1, b"t" * 32, 1, None, None)


def origin(serial: int) -> Origin:
    return Origin("0060000001", "32", serial, None, b"body %d" % serial)


@pytest.mark.parametrize("seed", range(4))
def test_a_station_that_was_not_told_in_time_is_stored_once(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    provider = default_provider()
    files = RecordedFiles()
    spool = open_spool(files, seed)
    spool.open()
    state = State(system_env(), tmp_path / "before.db")
    state.open()
    origins = Origins(provider, state)
    promised: dict[int, int] = {}
    for serial in range(12):
        digests = tuple(digest for _, digest in origins.named([BLOCK], origin(serial)))
        index = ClearIndex(1, 0, 0, b"b" * 16, origins=digests)
        record = SealedRecord(b"epoch--1", serial, b"k" * 8, Lane.LIVE, rng.randbytes(300), index)
        origins.committed(Committed([record], spool.commit([record])))
        promised[serial] = files.op
    state.close()
    for cut in range(25):
        at = rng.randint(0, files.op)
        disk = files.cut(rng, at)
        open_spool(disk, seed + 1).open()  # as a start does, with a state.db that was lost
        fresh = State(system_env(), tmp_path / f"{cut}.db")
        fresh.open()
        after = Origins(provider, fresh)
        after.recall(env_on(disk), FOLDER)
        for serial, op in promised.items():
            known = not after.named([BLOCK], origin(serial))
            assert known or op > at, f"seed {seed}, cut after {at}: {serial} would be stored twice"
        # Power that flickers: what the first start found, the second knows from its own state.
        found = [s for s in promised if not Origins(provider, fresh).named([BLOCK], origin(s))]
        assert set(found) >= {s for s, op in promised.items() if op <= at}
        fresh.close()
