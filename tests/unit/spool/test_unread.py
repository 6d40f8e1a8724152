"""A disk that does not give what lies on it: for a while, or for good."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.env import SystemFiles
from headgate.errors import SpoolCorrupt, SpoolError
from headgate.model import Lane
from headgate.spool import ClearIndex, Position, SealedRecord, Spool
from headgate.testing.env import ManualClock, fake_env


class _Away(SystemFiles):
    """Gives no bytes of a segment while `away`: what is no record is read (there is a page cache)."""

    away = False
    error = errno.EIO

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if self.away and path.suffix == ".seg":
            raise OSError(self.error, "Input/output error")
        return super().read(path, offset, size)


@pytest.fixture
def disk() -> _Away:
    return _Away()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def spool(tmp_path: Path, disk: _Away, clock: ManualClock) -> Iterator[Spool]:
    spool = Spool(fake_env(clock, files=disk), tmp_path, ballast_bytes=0)
    spool.open()
    yield spool
    spool.close()


def committed(spool: Spool) -> Position:
    index = ClearIndex(4, 1, 2, b"b" * 16, ((7, 4),))
    return spool.commit([SealedRecord(b"epoch---", 0, b"key-----", Lane.LIVE, b"sealed", index)])[0]


def test_a_disk_that_is_away_for_a_while_loses_nothing(
    spool: Spool, disk: _Away, clock: ManualClock
) -> None:
    position = committed(spool)
    disk.away = True
    for _ in range(9):
        with pytest.raises(SpoolError) as refused:
            spool.read(position)
        assert not isinstance(refused.value, SpoolCorrupt)
        assert refused.value.retryable
        clock.advance(60)
    disk.away = False
    assert spool.read(position) == b"sealed"
    assert spool.losses() == ()


def test_a_record_that_is_refused_for_ten_minutes_is_lost_and_told_exactly(
    spool: Spool, disk: _Away, clock: ManualClock
) -> None:
    position = committed(spool)
    disk.away = True
    for _ in range(2):
        with pytest.raises(SpoolError) as refused:
            spool.read(position)
        assert refused.value.code == "HG-4007"
        clock.advance(300)
    with pytest.raises(SpoolCorrupt):
        spool.read(position)
    (loss,) = spool.losses()
    assert (loss.records, loss.readings) == (1, 4)


def test_a_file_that_is_gone_is_not_waited_for(spool: Spool, disk: _Away) -> None:
    position = committed(spool)
    disk.away, disk.error = True, errno.ENOENT
    with pytest.raises(SpoolCorrupt):
        spool.read(position)
