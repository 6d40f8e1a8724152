"""The power goes at any operation, also while we recover from the last time."""

from __future__ import annotations

import random

import pytest
from recorded_files import RecordedFiles
from workload import open_spool, run, survey

SEEDS = range(8)
CUTS = 40


def epoch(rng: random.Random) -> bytes:
    return rng.randbytes(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_was_promised_is_there_after_a_power_cut(seed: int) -> None:
    rng = random.Random(seed)
    files = RecordedFiles()
    spool = open_spool(files, seed)
    spool.open()
    promised = run(spool, files, epoch(rng), rng, 25)
    for _ in range(CUTS):
        at = rng.randint(0, files.op)
        again = open_spool(files.cut(rng, at), seed + 1)
        again.open()
        found = survey(again)
        due = {name for name, op in promised.items() if op <= at}
        assert due <= found.positions.keys(), f"seed {seed}, cut after operation {at}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_during_recovery_costs_nothing_more(seed: int) -> None:
    rng = random.Random(1000 + seed)
    files = RecordedFiles()
    spool = open_spool(files, seed)
    spool.open()
    promised = run(spool, files, epoch(rng), rng, 12)
    for _ in range(CUTS // 2):
        at = rng.randint(0, files.op)
        due = {name for name, op in promised.items() if op <= at}
        disk = files.cut(rng, at)
        for start in range(3):
            spool = open_spool(disk, seed + start)
            spool.open()
            more = run(spool, disk, epoch(rng), rng, 3)
            at = rng.randint(0, disk.op)
            due |= {name for name, op in more.items() if op <= at}
            disk = disk.cut(rng, at)
        spool = open_spool(disk, seed)
        spool.open()
        assert due <= survey(spool).positions.keys(), f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_is_said_until_its_gap_is_durable_and_never_again(seed: int) -> None:
    rng = random.Random(2000 + seed)
    files = RecordedFiles()
    spool = open_spool(files, seed)
    spool.open()
    promised = run(spool, files, epoch(rng), rng, 20)
    spool.close()
    segments = [
        path for path in files.entries if path.suffix == ".seg" and path.parent.name == "data"
    ]
    victim = files.entries[rng.choice(sorted(segments))]
    victim.rot(lambda data: data.__setitem__(at := rng.randrange(len(data)), data[at] ^ 0xFF))
    spool = open_spool(files, seed)
    spool.open()
    found = survey(spool)
    assert len(found.positions) + sum(loss.records for loss in spool.losses()) == len(promised)
    lost = sum(loss.records for loss in spool.losses())
    spool.close()
    spool = open_spool(files, seed)
    spool.open()
    survey(spool)
    assert sum(loss.records for loss in spool.losses()) == lost
    run(spool, files, epoch(rng), rng, 1)
    assert not spool.losses()
    spool = open_spool(files.cut(rng, files.op), seed)
    spool.open()
    survey(spool)
    assert not spool.losses()
