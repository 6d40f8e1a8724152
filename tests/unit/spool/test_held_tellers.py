"""A record that is held in memory tells of a loss: until it is on disk the ledgers still know the loss."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from headgate.env import AppendFile, Env, SystemFiles, system_env
from headgate.errors import SpoolError
from headgate.model import Lane
from headgate.spool import ALARMS, DATA, ClearIndex, SealedRecord, Spool

BOOT = b"b" * 16


class NoReadings(SystemFiles):
    """A disk that takes alarms and ledgers, and no data: as one that is full does, with its reserve."""

    full = False

    def append(self, path: Path) -> AppendFile:
        if self.full and path.parent.name == DATA:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return super().append(path)

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        if self.full and path.parent.name == DATA:
            raise OSError(errno.EIO, "Input/output error", str(path))
        super().replace(path, data, mode)


def opened(folder: Path, files: SystemFiles) -> Spool:
    whole = system_env()
    env = Env(whole.clock, whole.random, files, whole.net, whole.single)
    spool = Spool(env, folder, segment_bytes=4096, ballast_bytes=0, held_bytes=1 << 16)
    spool.open()
    return spool


def record(spool: Spool, n: int, lane: Lane = Lane.LIVE) -> SealedRecord:
    accounts = tuple(loss.carried for loss in spool.losses()) if lane is Lane.LIVE else ()
    index = ClearIndex(2, n, n, BOOT, ((1, 2),), (), accounts)
    return SealedRecord(b"epoch---", n, b"key-----", lane, b"." * 300, index)


@pytest.mark.parametrize("log", [DATA, ALARMS])
def test_a_loss_told_by_a_held_record_is_told_again_when_that_dies(
    tmp_path: Path, log: str
) -> None:
    files = NoReadings()
    spool = opened(tmp_path, files)
    spool.commit([record(spool, 0), record(spool, 1, Lane.ALARM)])
    spool.close()
    (path,) = (tmp_path / log).glob("*.seg")
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    spool = opened(tmp_path, files)
    (loss,) = spool.losses()
    files.full = True
    teller = record(spool, 2)
    with pytest.raises(SpoolError):
        spool.commit([teller])
    spool.hold([teller])
    assert spool.losses() == ()
    for one in spool._logs.values():
        one.save_ledger()  # as whatever goes for room does
    spool._let_go_of_lock()  # killed: what was held is gone
    files.full = False
    spool = opened(tmp_path, files)
    assert [each.account for each in spool.losses()] == [loss.account]
    spool.close()


def test_once_it_is_on_disk_the_loss_is_told(tmp_path: Path) -> None:
    files = NoReadings()
    spool = opened(tmp_path, files)
    spool.commit([record(spool, 0), record(spool, 1, Lane.ALARM)])
    spool.close()
    (path,) = (tmp_path / ALARMS).glob("*.seg")
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    spool = opened(tmp_path, files)
    files.full = True
    teller = record(spool, 2)
    spool.hold([teller])
    files.full = False
    spool.come_back(now=True)
    assert spool.losses() == ()
    spool._let_go_of_lock()  # killed
    spool = opened(tmp_path, files)
    assert spool.losses() == ()
    spool.close()


def test_given_up_in_memory_it_is_told_by_the_next(tmp_path: Path) -> None:
    files = NoReadings()
    spool = opened(tmp_path, files)
    spool.commit([record(spool, 0)])
    spool.close()
    (path,) = (tmp_path / DATA).glob("*.seg")
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    spool = opened(tmp_path, files)
    (loss,) = spool.losses()
    files.full = True
    spool.hold([record(spool, 1)])
    n = 2
    while loss.account not in [each.account for each in spool.losses()]:
        held = record(spool, n, Lane.HISTORY)
        spool.hold(
            [SealedRecord(held.epoch, n, held.key_id, Lane.HISTORY, bytes(4000), held.index)]
        )
        n += 1
        assert n < 40, "what was given up in memory had told of it, and nobody tells it now"
    spool._let_go_of_lock()
