"""When a day of a device begins is a time of day, and a profile that says otherwise is told so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headgate.errors import ProfileError
from headgate.sdk import day_starts
from headgate.testing import make_device


@pytest.mark.parametrize(("told", "hours"), [("08:00", 8.0), ("00:00", 0.0), ("07:30", 7.5)])
def test_a_time_of_day(told: str, hours: float) -> None:
    assert day_starts(make_device(quirks={"day_starts": told})) == timedelta(hours=hours)


@pytest.mark.parametrize("told", ["noon", "8", "25:00", "08:00+08:00", ""])
def test_what_is_none_is_told_with_its_place(told: str) -> None:
    device = make_device(name="mill", quirks={"day_starts": told})
    with pytest.raises(ProfileError) as refused:
        day_starts(device)
    (problem,) = refused.value.problems
    assert problem.code == "HG-3613"
    assert problem.where == 'device "mill": quirks.day_starts'
    assert problem.fields["day_starts"] == told


def test_without_a_word_it_is_midnight() -> None:
    assert day_starts(make_device()) == timedelta()
