"""Whole afternoons of a whole gateway in virtual time, faults drawn from a seed; judged by `verify`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from simulation.world import World, simulate

pytestmark = pytest.mark.timeout(240)


async def _nothing(world: World, seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_an_afternoon_without_trouble_is_stored_as_it_was(tmp_path: Path) -> None:
    outcome = simulate(1, 1, tmp_path, _nothing)
    assert outcome.good, outcome.words
    assert outcome.verdict.counts["missing"] == outcome.verdict.counts["in_gap"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stormy_afternoon_loses_nothing_that_was_measured(tmp_path: Path, seed: int) -> None:
    outcome = simulate(seed, 5, tmp_path)
    assert outcome.good, f"{outcome.words}\n{outcome.events}"


def test_the_same_seed_gives_the_same_afternoon(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (simulate(4, 3, tmp_path / name) for name in ("a", "b"))
    assert first.events == second.events
    assert first.trace == second.trace


def test_a_gateway_killed_while_its_clock_is_a_day_off_leaves_no_slot_unaccounted(
    tmp_path: Path,
) -> None:
    """An afternoon that `make crash` found: the kill was looked for by wall clocks that were wrong."""
    outcome = simulate(813536269000018, 10, tmp_path)
    assert outcome.good, outcome.words


def test_a_gateway_killed_on_a_full_disk_says_what_it_could_not_keep(tmp_path: Path) -> None:
    """An afternoon that `make crash` found: a plan found room, and passed for a sign of life."""
    outcome = simulate(1535710607000004, 10, tmp_path)
    assert outcome.good, outcome.words


def test_a_gateway_killed_before_anything_was_stored_owes_its_first_answers_to_a_gap(
    tmp_path: Path,
) -> None:
    """An afternoon that `make crash` found: the platform never heard of the boot that had asked."""
    outcome = simulate(2154264008000001, 10, tmp_path)
    assert outcome.good, outcome.words
