"""The disk says no: once or from then on, at the Nth operation, or it lies about a byte."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_files import RecordedFiles
from workload import FOLDER, open_spool, record, run, survey

from headgate.errors import SpoolError
from headgate.model import GapReason
from headgate.spool import Account, Loss

ERRORS = [errno.EIO, errno.ENOSPC, errno.EROFS]


def failing(
    number: int, error: int, *, forever: bool
) -> tuple[Callable[[str, Path], None], list[bool]]:
    """Raise at the Nth operation from when the switch is on (and at all later ones)."""
    count = 0
    on = [False]

    def fault(call: str, path: Path) -> None:
        nonlocal count
        if on[0]:
            count += 1
            if count == number or (forever and count > number):
                raise OSError(error, "injected", str(path))

    return fault, on


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("number", range(1, 15))
def test_one_error_at_any_operation_breaks_no_promise(number: int, error: int) -> None:
    rng = random.Random(number)
    fault, on = failing(number, error, forever=False)
    files = RecordedFiles(fault)
    spool = open_spool(files)
    spool.open()
    on[0] = True
    promised = run(spool, files, b"e" * 8, rng, 12)
    assert len(promised) > 12, "one error must not stop the writing"
    for at in (files.op, rng.randint(0, files.op)):
        again = open_spool(files.cut(rng, at))
        again.open()
        assert {n for n, op in promised.items() if op <= at} <= survey(again).positions.keys()


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_disk_that_stays_broken_refuses_and_keeps_what_was_promised(error: int) -> None:
    rng = random.Random(error)
    fault, on = failing(7, error, forever=True)
    files = RecordedFiles(fault)
    spool = open_spool(files)
    spool.open()
    on[0] = True
    promised = run(spool, files, b"e" * 8, rng, 20)
    with pytest.raises(SpoolError):
        spool.commit([record(b"e" * 8, 10_000, rng)])
    on[0] = False
    told = {(loss.reason, loss.records) for loss in spool.losses()}
    kept = survey(spool).positions.keys()
    given_up = sum(records for reason, records in told if reason is GapReason.QUOTA)
    assert len(promised.keys() - kept) <= given_up
    assert spool.commit([record(b"e" * 8, 10_001, rng)])


def test_a_start_survives_an_error_at_any_of_its_operations() -> None:
    files = RecordedFiles()
    spool = open_spool(files)
    spool.open()
    rng = random.Random(1)
    promised = run(spool, files, b"e" * 8, rng, 10)
    for number in range(1, 12):
        disk = files.cut(rng, files.op)
        disk.fault, on = failing(number, errno.EIO, forever=False)
        on[0] = True
        again = open_spool(disk)
        again.open()
        assert promised.keys() <= survey(again).positions.keys()


def test_the_quota_gives_up_the_oldest_and_says_exactly_what() -> None:
    files = RecordedFiles()
    rng = random.Random(2)
    spool = open_spool(files, quota=40_000)
    spool.open()
    promised: dict[tuple[bytes, int], int] = {}
    lost: dict[Account, Loss] = {}  # told again where what told of it was given up, too
    for n in range(120):
        losses = spool.losses()
        for loss in losses:
            assert loss.reason is GapReason.QUOTA
            lost[loss.account] = loss
            assert loss.readings == sum(readings for _, readings in loss.devices)
        spool.commit([record(b"e" * 8, n, rng, accounts=losses)])
        promised[b"e" * 8, n] = files.op
    assert spool.status().bytes <= 40_000
    found = survey(spool)
    missing = promised.keys() - found.positions.keys()
    lost |= {loss.account: loss for loss in spool.losses()}
    assert len(missing) == sum(loss.records for loss in lost.values())
    readings = sum(n % 5 + 1 for _, n in missing)
    assert readings == sum(loss.readings or 0 for loss in lost.values())
    assert not any(n % 7 == 3 for _, n in missing), "an alarm was given up for history"
    oldest_kept = min(n for _, n in found.positions if n % 7 != 3)
    assert all(n < oldest_kept for _, n in missing)


@pytest.mark.parametrize("seed", range(6))
def test_any_byte_of_any_file_may_rot(seed: int) -> None:
    rng = random.Random(seed)
    files = RecordedFiles()
    spool = open_spool(files, seed)
    spool.open()
    promised = run(spool, files, b"e" * 8, rng, 20)
    noted = spool.totals()
    spool.close()
    for _ in range(60):
        disk = files.cut(rng, files.op)
        path = rng.choice(sorted(p for p in disk.entries if disk.size(p)))
        data = disk.entries[path].data
        at = rng.randrange(len(data))
        fate = rng.choice(["flip", "zero", "cut"])
        if fate == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif fate == "zero":
            data[at : at + 4096] = bytes(len(data[at : at + 4096]))
        else:
            del data[at:]
        again = open_spool(disk, seed)
        again.open(noted)
        found = survey(again)
        where = f"seed {seed}: {fate} of {path.relative_to(FOLDER)} at {at}"
        lost = sum(loss.records for loss in again.losses())
        assert found.positions.keys() <= promised.keys(), where
        assert len(found.positions) + lost == len(promised), where
        readings = [loss.readings for loss in again.losses()]
        if None not in readings:
            missing = promised.keys() - found.positions.keys()
            assert sum(r or 0 for r in readings) == sum(n % 5 + 1 for _, n in missing), where


def test_nothing_is_given_up_for_room_before_that_is_on_record() -> None:
    """A full disk on which not even the ledger can be written: what was promised stays, unsaid and unlost."""
    on = [False]

    def no_sync(call: str, path: Path) -> None:
        if on[0] and call == "sync":
            raise OSError(errno.ENOSPC, "injected", str(path))

    files = RecordedFiles(no_sync)
    spool = open_spool(files)
    spool.open()
    rng = random.Random(3)
    promised = run(spool, files, b"e" * 8, rng, 12)
    on[0] = True
    for n in range(4):
        with pytest.raises(SpoolError):
            spool.commit([record(b"e" * 8, 1000 + n, rng)])
    again = open_spool(files.cut(rng, files.op))
    again.open()
    assert promised.keys() <= survey(again).positions.keys()
