"""Gaps that a killed gateway had not told yet are told by the next one, exactly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.env import system_env
from headgate.model import GapReason
from headgate.runtime.ending import LastSign
from headgate.runtime.openings import Opening, Openings
from headgate.spool import State

BOOT, NEXT = b"b" * 16, b"n" * 16
S = 1_000_000
SILENT = Opening(3, GapReason.DEVICE_QUARANTINED, 10 * S, 2 * S, 4)
DOWN = Opening(5, GapReason.LINE_DOWN, 12 * S, S, 1)


def started(folder: Path) -> tuple[State, Openings]:
    state = State(system_env(), folder / "state.db")
    state.open()
    return state, Openings(state)


def test_a_gap_that_was_open_goes_on_to_the_last_sign_of_life(tmp_path: Path) -> None:
    state, openings = started(tmp_path)
    openings.note([SILENT, DOWN], 15 * S, 15 * S)
    state.close()
    state, openings = started(tmp_path)
    gaps = openings.unsaid(LastSign(BOOT, 15 * S), NEXT)
    assert [(g.device, g.reason, g.first_us, g.last_us, g.looks, g.readings) for g in gaps] == [
        (3, GapReason.DEVICE_QUARANTINED, 10 * S, 15 * S, 3, 12),
        (5, GapReason.LINE_DOWN, 12 * S, 15 * S, 4, 4),
    ]
    assert {(gap.boot, gap.last_boot) for gap in gaps} == {(BOOT, BOOT)}
    assert {gap.boot for gap in openings.unsaid(LastSign(BOOT, 15 * S), BOOT)} == {None}
    state.close()


def test_it_is_told_again_until_the_successor_has_its_own_word_durable(tmp_path: Path) -> None:
    state, openings = started(tmp_path)
    openings.note([SILENT], 15 * S, 15 * S)
    state.close()
    for _ in range(2):  # killed before its first commit, the successor tells nobody
        state, openings = started(tmp_path)
        assert len(openings.unsaid(LastSign(BOOT, 15 * S), NEXT)) == 1
        state.close()
    state, openings = started(tmp_path)
    openings.note([], 16 * S, 16 * S)
    state.close()
    state, openings = started(tmp_path)
    assert not openings.unsaid(LastSign(BOOT, 15 * S), NEXT)
    state.close()


def test_what_opened_after_the_last_sign_of_life_lies_in_the_gap_of_the_gateway(
    tmp_path: Path,
) -> None:
    state, openings = started(tmp_path)
    openings.note([SILENT], 15 * S, 15 * S)
    assert not openings.unsaid(LastSign(BOOT, 9 * S), NEXT)
    assert not openings.unsaid(None, NEXT)
    state.close()


def test_a_gap_that_stays_open_is_written_once(tmp_path: Path) -> None:
    state, openings = started(tmp_path)
    openings.note([SILENT], 15 * S, 15 * S)
    assert state.flush()
    written = state.written
    openings.note([SILENT], 15 * S, 15 * S)
    state.flush()
    assert state.written == written
    state.close()


def test_a_gap_that_was_told_stays_noted_until_its_telling_is_durable(tmp_path: Path) -> None:
    state, openings = started(tmp_path)
    openings.note([SILENT, DOWN], 15 * S, 15 * S)
    later = msgspec.structs.replace(SILENT, first_us=16 * S)
    openings.note([later], 17 * S, kept_us=15 * S)  # both were told, a disk is full
    openings.note([later], 18 * S, kept_us=15 * S)
    state.flush()
    again = Openings(state)
    first = [gap.first_us for gap in again.unsaid(LastSign(BOOT, 19 * S), BOOT)]
    assert first == [SILENT.first_us, DOWN.first_us]
    openings.note([later], 19 * S, kept_us=19 * S)
    first = [gap.first_us for gap in Openings(state).unsaid(LastSign(BOOT, 19 * S), BOOT)]
    assert first == [later.first_us]
    state.close()
