"""The fuzzing targets on their seeds, on what was once found, and on a few mutations: no atheris needed."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from fuzz.targets import TARGETS  # noqa: E402

FOUND = sorted(p for p in (ROOT / "fuzz" / "found").iterdir() if p.name != "README.md")


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_passes(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds, "a target without seeds begins with nothing"
    for seed in seeds:
        TARGETS[name].run(seed)


@cache
def short_seeds(name: str) -> list[bytes]:
    return [seed for seed in TARGETS[name].seeds() if len(seed) <= TARGETS[name].longest]


def test_what_was_found_once_is_not_found_again() -> None:
    longest_first = sorted(TARGETS, key=len, reverse=True)
    for path in FOUND:
        # `NAME-crash-<hash>`, as libFuzzer names what it finds
        name = next(name for name in longest_first if path.name.startswith(f"{name}-"))
        TARGETS[name].run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_seed_that_is_cut_turned_or_doubled_passes(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    spoilt = bytearray(data.draw(st.sampled_from(short_seeds(name))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(spoilt)))
        end = min(len(spoilt), at + data.draw(st.integers(0, 8)))
        spoilt[at:end] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()):
        spoilt += spoilt[: data.draw(st.integers(0, len(spoilt)))]
    target.run(bytes(spoilt[: target.longest]))
