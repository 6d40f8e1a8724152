"""From when on an earlier run is known to have been off."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.env import system_env
from headgate.model import GapReason, Lane
from headgate.runtime.ending import IN_HAND_US, LastSign, last_sign, note_sign, off_gap, undated_gap
from headgate.runtime.walltrust import Trusted, WallTrust
from headgate.spool import ClearIndex, SealedRecord, Spool, State

NEXT = b"n" * 16


def opened(folder: Path) -> tuple[Spool, State]:
    env = system_env()
    spool, state = Spool(env, folder / "spool", ballast_bytes=0), State(env, folder / "state.db")
    state.open()
    spool.open(state.noted())
    return spool, state


def record(boot: bytes, at_us: int) -> SealedRecord:
    index = ClearIndex(readings=1, first_us=at_us, last_us=at_us, boot=boot)
    return SealedRecord(b"epoch..1", 0, b"key....1", Lane.LIVE, b"sealed", index)


def test_a_new_box_was_never_off(tmp_path: Path) -> None:
    spool, state = opened(tmp_path)
    assert last_sign(spool, state, NEXT) is None
    assert off_gap(None, b"b" * 16, 5) is None
    spool.close()
    state.close()


def test_the_newest_of_what_was_noted_and_what_was_committed_counts(tmp_path: Path) -> None:
    boot = system_env().clock.boot_id()
    spool, state = opened(tmp_path)
    state.begin_epoch(b"epoch..1", (None, None))
    note_sign(state, 5_000_000)
    assert last_sign(spool, state, NEXT) == LastSign(boot, 5_000_000)
    spool.commit([record(boot, 9_000_000)])
    state.committed(b"epoch..1", 0)
    assert last_sign(spool, state, NEXT) == LastSign(boot, 9_000_000)
    spool.close()
    state.close()


def test_an_alarm_that_found_room_says_nothing_of_readings_that_did_not(tmp_path: Path) -> None:
    boot = system_env().clock.boot_id()
    spool, state = opened(tmp_path)
    state.begin_epoch(b"epoch..1", (None, None))

    def commit(n: int, lane: Lane, at_us: int) -> None:
        one = msgspec.structs.replace(record(boot, at_us), n=n, lane=lane)
        spool.commit([one])
        state.committed(b"epoch..1", n)

    commit(0, Lane.ALARM, 2_000_000)
    commit(
        2, Lane.ALARM, 3_000_000
    )  # the readings of n = 1 were refused, and died with the gateway
    assert last_sign(spool, state, NEXT) == LastSign(boot, 2_000_000)
    commit(3, Lane.LIVE, 5_000_000)
    commit(5, Lane.ALARM, 9_000_000)
    assert last_sign(spool, state, NEXT) == LastSign(boot, 5_000_000)
    note_sign(state, 7_000_000)  # by whoever knows that nothing waits
    assert last_sign(spool, state, NEXT) == LastSign(boot, 7_000_000)
    spool.close()
    state.close()


def test_the_gap_begins_with_what_may_have_been_in_hand() -> None:
    old, new = b"o" * 16, b"n" * 16
    gap = off_gap(LastSign(old, 9_000_000), new, 3_000_000)
    assert gap is not None
    assert (gap.reason, gap.device, gap.boot) == (GapReason.GATEWAY_OFF, 0, old)
    assert (gap.first_us, gap.last_us) == (9_000_000 - IN_HAND_US, 3_000_000)
    same = off_gap(LastSign(new, 9_000_000), new, 30_000_000)
    assert same is not None
    assert same.boot is None


def test_of_a_boot_whose_clock_was_never_synced_the_wall_time_stays_unknown(tmp_path: Path) -> None:
    old, new = b"o" * 16, b"n" * 16
    spool, state = opened(tmp_path)
    trust = WallTrust(state)
    gap = undated_gap(LastSign(old, 9_000_000), new, trust)
    assert gap is not None
    assert (gap.reason, gap.first_us, gap.last_us) == (GapReason.CLOCK_UNKNOWN, 0, 9_000_000)
    assert (gap.boot, gap.last_boot, gap.looks) == (old, old, None)
    assert undated_gap(None, new, trust) is None
    assert undated_gap(LastSign(new, 9_000_000), new, trust) is None  # it may still be synced
    trust.keep(Trusted(old, 5, 6, 7))
    assert undated_gap(LastSign(old, 9_000_000), new, trust) is None
    spool.close()
    state.close()


def test_what_is_stored_tells_it_where_the_state_was_lost(tmp_path: Path) -> None:
    boot, older = b"b" * 16, b"o" * 16
    spool, state = opened(tmp_path)
    spool.commit([record(older, 90_000_000)])
    spool.close()
    spool = Spool(system_env(), tmp_path / "spool", ballast_bytes=0)
    spool.open(())
    spool.commit([record(boot, 9_000_000)])
    spool.close()
    state.close()
    for name in tmp_path.glob("state.db*"):
        name.unlink()
    spool, state = opened(tmp_path)
    assert last_sign(spool, state, NEXT) == LastSign(boot, 9_000_000)
    spool.close()
    state.close()


def test_a_state_that_was_damaged_before_anything_was_stored_says_that_something_was(
    tmp_path: Path,
) -> None:
    spool, state = opened(tmp_path)
    state.begin_epoch(b"epoch..1", (None, None))
    note_sign(state, 5_000_000)
    state.close()
    spool.close()
    (tmp_path / "state.db").write_bytes(b"no database at all" * 300)
    spool, state = opened(tmp_path)
    sign = last_sign(spool, state, NEXT)
    assert sign == LastSign(NEXT, 0)
    gap = off_gap(sign, NEXT, 7_000_000)
    assert gap is not None and (gap.first_us, gap.last_us) == (0, 7_000_000)
    spool.close()
    state.close()


def test_a_start_that_was_killed_before_it_noted_anything_is_known_by_its_records(
    tmp_path: Path,
) -> None:
    spool, state = opened(tmp_path)
    before = system_env().clock.boot_id()
    state.begin_epoch(b"epoch..1", (None, None))
    spool.commit([record(before, 90_000_000)])
    state.committed(b"epoch..1", 0)
    note_sign(state, 90_000_000)
    spool.close()
    spool = Spool(system_env(), tmp_path / "spool", ballast_bytes=0)
    spool.open(())
    state.begin_epoch(b"epoch..2", (b"epoch..1", 0))
    index = ClearIndex(readings=1, first_us=3_000_000, last_us=3_000_000, boot=NEXT)
    known = {each.epoch: each for each in state.epochs()}
    known[b"epoch..2"] = msgspec.structs.replace(known[b"epoch..2"], boot=NEXT)
    state._epochs.known(known)
    spool.commit([SealedRecord(b"epoch..2", 0, b"key....1", Lane.LIVE, b"sealed", index)])
    assert last_sign(spool, state, NEXT) == LastSign(NEXT, 3_000_000)
    spool.close()
    state.close()
