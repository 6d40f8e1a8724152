"""Conditions as a person writes them, and every mistake in the controls of a site file."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.commands import content
from kit.scene import control, pump

from headgate.config import Control, Heartbeat
from headgate.profiles.expression import ExpressionError
from headgate.runtime.commands.interlock import Condition, Undecided
from headgate.runtime.commands.resolving import examine
from headgate.runtime.commands.selections import Selection, Selections

SEEN = {("pit", "level"): 1.5, ("pump-2", "fault"): False, ("pump-2", "amps"): 12}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("{pit/level} > 1.2", True),
        ("{pit/level} > 1.5", False),
        ("{pit/level} >= 1.5", True),
        ("{pit/level} * 2 == 3", True),
        ("1.2 < {pit/level}", True),
        ("{pump-2/fault} == 0", True),
        ("{pump-2/fault} != 0", False),
        ("{pump-2/amps} / 4 <= {pit/level} + 1.5", True),
        ("{pit/level} > 9 or {pump-2/amps} > 9", True),
        ("{pit/level} > 9 or {pump-2/amps} > 90", False),
    ],
)
def test_a_condition_says_what_a_person_means(text: str, holds: bool) -> None:
    assert Condition.parse(text).holds(SEEN) is holds


@pytest.mark.parametrize(
    "text",
    ["{pit/rain} > 1", "{pit/level} > 1 or {pit/rain} > 1", "{pit/level} / {pump-2/fault} > 1"],
)
def test_what_cannot_be_seen_is_undecided(text: str) -> None:
    with pytest.raises(Undecided):
        Condition.parse(text).holds(SEEN)


@pytest.mark.parametrize(
    "text",
    [
        "", "1 > 0", "{pit/level}", "{pit/level} > ", "{pit/level} = 1", "1 < {pit/level} < 2",
        "pit/level > 1",
        "{pit} > 1", "{pit/level > 1", "$p0 > 1", "{pit/level} > 1 or", "{pit/level} and 1 > 0",
        "{pit/level} > __import__", "{pit/level} > 1" + "0" * 500,
    ],
)  # fmt: skip
def test_what_is_no_condition_is_told_at_once(text: str) -> None:
    with pytest.raises(ExpressionError):
        Condition.parse(text)


@given(st.text("{}/<>=!or $+-*/.0123456789 pitlevel", max_size=60))
def test_hostile_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        condition = Condition.parse(text)
    except ExpressionError:
        return
    with contextlib.suppress(Undecided):
        condition.holds(dict.fromkeys(condition.places, 1))


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        ({}, []),
        ({"device": "pump-9"}, ["HG-6550"]),
        ({"point": "walk"}, ["HG-6551"]),
        ({"point": "remote", "on_lease_end": "hold"}, ["HG-6552"]),
        ({"point": "speed"}, ["HG-6553"]),
        ({"point": "speed", "min": 5, "max": 1}, ["HG-6558"]),
        ({"auto_point": None}, ["HG-6555"]),
        ({"auto_point": "nowhere"}, ["HG-6551"]),
        ({"auto_point": "speed", "auto_value": 70_000}, ["HG-6557"]),
        ({"operations": ()}, ["HG-6559"]),
        ({"interlock": ("{pump-1/level} ? 1", "{pump-1/rain} > 1")}, ["HG-6554", "HG-6551"]),
        ({"feedback": "pump-2/running"}, []),
        ({"feedback": "pump-9/running"}, ["HG-6550"]),
    ],
)
def test_every_mistake_of_a_control_is_told(said: dict[str, Any], codes: list[str]) -> None:
    devices = {"pump-1": pump(), "pump-2": pump("pump-2", 2)}
    assert [p.code for p in examine([("here", control(**said))], [], devices)] == codes


def test_one_point_has_one_control_and_a_heartbeat_can_be_written() -> None:
    devices = {"pump-1": pump()}
    beats = [Heartbeat(device="pump-1", point="speed"), Heartbeat(device="pump-1", point="level")]
    problems = examine(
        [("a", control()), ("b", control())], [(f"beat {b.point}", b) for b in beats], devices
    )
    assert [(p.where, p.code) for p in problems] == [("b", "HG-6560"), ("beat level", "HG-6552")]


def test_the_end_of_a_lease_has_no_default() -> None:
    with pytest.raises(TypeError, match="on_lease_end"):
        Control(device="pump-1", point="run")  # type: ignore[call-arg]


@pytest.mark.parametrize(("age_us", "holds"), [(9_999_999, True), (10_000_000, False)])
def test_a_token_is_younger_than_its_life_to_the_microsecond(age_us: int, holds: bool) -> None:
    held = Selections(10_000_000)
    selection = Selection(bytes(16), content(), b"key", "operator:wang.li", "city", b"", 5)
    held.put(selection)
    assert (held.holder("pump-1", 5 + age_us) == selection) is holds
    assert (held.over(5 + age_us) == []) is holds
