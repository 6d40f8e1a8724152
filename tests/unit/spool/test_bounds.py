"""What a box may gather in years is bounded: quarantine, memory of records, links of starts."""

from __future__ import annotations

from pathlib import Path

from headgate.env import SystemFiles
from headgate.model import Lane
from headgate.spool import ClearIndex, SealedRecord, Spool, State
from headgate.spool.folder import MOST_SET_ASIDE
from headgate.spool.remembered import Grant
from headgate.testing.env import fake_env

BOOT = bytes(16)


def record(epoch: bytes, n: int) -> SealedRecord:
    return SealedRecord(epoch, n, b"key....1", Lane.LIVE, b"x" * 50, ClearIndex(1, 5, 5, BOOT))


def test_of_segments_that_cannot_be_read_the_newest_few_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "spool" / "data"
    for start in range(MOST_SET_ASIDE + 5):
        spool = Spool(fake_env(), tmp_path / "spool", ballast_bytes=0)
        spool.open()
        spool.commit([record(b"epoch%03d" % start, n) for n in range(3)])
        spool.close()
        newest = sorted(data.glob("*.seg"))[-1]
        newest.write_bytes(b"\xff" * newest.stat().st_size)
    spool = Spool(fake_env(), tmp_path / "spool", ballast_bytes=0)
    found = spool.open()
    aside = SystemFiles().list(data / "quarantine")
    assert len(aside) == MOST_SET_ASIDE
    assert aside[-1] == newest.name
    # Each was counted, whether its file is kept or not.
    assert sum(loss.records for loss in found.losses) == 3 * (MOST_SET_ASIDE + 5)
    spool.close()


def test_settled_records_take_no_memory_beyond_a_bound_and_unsettled_ones_stay(
    tmp_path: Path,
) -> None:
    spool = Spool(
        fake_env(), tmp_path / "spool", segment_bytes=4096, ballast_bytes=0, most_rows=200
    )
    spool.open()
    wanted: set[int] = set()
    spool.needed = lambda rows, row: rows.number in wanted
    for n in range(600):
        (at,) = spool.commit([record(b"epoch..1", n)])
        if n < 50:
            wanted.add(at.segment)
        else:
            spool.settle(at.log, at.segment)
    rows = sum(len(segment) for segment in spool.segments())
    assert rows <= 200 + 50
    assert wanted <= {segment.number for segment in spool.segments()}
    assert spool.losses() == ()
    spool.close()


def test_links_of_old_starts_are_forgotten_but_not_of_what_is_still_here(tmp_path: Path) -> None:
    env = fake_env()
    state = State(env, tmp_path / "state.db", most_epochs=10)
    state.open()
    for start in range(50):
        epoch = b"epoch%03d" % start
        link = state.begin_epoch(epoch, (None, None))
        assert link == ((None, None) if not start else (b"epoch%03d" % (start - 1), 7))
        state.committed(epoch, 7)
        if start == 3:
            state.keep_grant(Grant(b"key", epoch, b"", None, None, 1))
    assert [known.epoch for known in state.epochs()] == [
        b"epoch003", *(b"epoch%03d" % start for start in range(40, 50))
    ]  # fmt: skip
    state.close()
    again = State(env, tmp_path / "state.db", most_epochs=10)
    again.open()
    assert [known.epoch for known in again.epochs()] == [known.epoch for known in state.epochs()]
    again.close()
