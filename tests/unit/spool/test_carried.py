"""A loss is told by a gap in a later record, and that record may be lost, too: then it is told again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.env import system_env
from headgate.model import Lane
from headgate.spool import ClearIndex, SealedRecord, Spool

BOOT = b"b" * 16
Make = Callable[[], Spool]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Spool] = []

    def spool() -> Spool:
        for old in made:
            old.close()
        env = system_env()
        made.append(
            Spool(env, tmp_path, segment_bytes=4096, quota_bytes=16_384, ballast_bytes=4096)
        )
        return made[-1]

    yield spool
    for one in made:
        one.close()


def commit(spool: Spool, n: int) -> None:
    losses = spool.losses()
    index = ClearIndex(2, n, n, BOOT, ((n % 3 + 1, 2),), (), tuple(loss.carried for loss in losses))
    spool.commit([SealedRecord(b"epoch---", n, b"key-----", Lane.LIVE, b"." * 1000, index)])


@pytest.mark.parametrize("restarts", [False, True], ids=["in one life", "through restarts"])
def test_in_an_outage_longer_than_the_quota_every_reading_is_here_or_told(
    make: Make, restarts: bool
) -> None:
    spool = make()
    spool.open()
    for n in range(70):
        commit(spool, n)
        if restarts and n % 15 == 14:
            spool = make()
            spool.open()
    here = [(rows, row) for rows in spool.segments() for row in rows.alive()]
    accounts = {
        account
        for rows, row in here
        for index in [spool._logs[rows.log]._look(rows, row)]
        if index is not None and index.index is not None
        for account in index.index.accounts
    }
    told = [account.loss for account in accounts] + list(spool.losses())
    readings = sum(loss.readings or 0 for loss in told if loss is not None)
    assert len(here) < 30
    assert readings == 2 * (70 - len(here))
    assert sum(count for loss in told if loss for _, count in loss.devices) == readings


@pytest.mark.parametrize("again", ["next start", "start after that"])
@pytest.mark.parametrize("hurt", ["gone", "zeros"])
def test_a_segment_nobody_can_read_says_again_what_its_records_had_told(
    make: Make, tmp_path: Path, hurt: str, again: str
) -> None:
    spool = make()
    spool.open()
    for n in range(6):
        commit(spool, n)
    spool.close()
    first, *_ = sorted((tmp_path / "data").glob("*.seg"))
    first.unlink()  # and its loss is told by the first record of the next start
    spool = make()
    spool.open()
    (lost,) = spool.losses()
    for n in range(6, 12):
        commit(spool, n)
    carrier = next(
        tmp_path / "data" / f"{rows.number:012}.seg" for rows in spool.segments() if 6 in rows.ns
    )
    if again == "start after that":
        spool = make()
        spool.open()
        assert not spool.losses()
    spool.close()
    if hurt == "gone":
        carrier.unlink()
    else:
        carrier.write_bytes(bytes(carrier.stat().st_size))
    spool = make()
    spool.open()
    losses = {loss.account: loss for loss in spool.losses()}
    assert len(losses) == 2
    assert (losses[lost.account].records, losses[lost.account].readings) == (
        lost.records, lost.readings,
    )  # fmt: skip
    commit(spool, 12)
    assert not spool.losses()
    spool = make()
    spool.open()
    assert not spool.losses()
