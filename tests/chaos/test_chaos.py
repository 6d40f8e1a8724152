"""A road with bad weather and a broker that lies: nothing is lost, doubled or altered.

The long form is the part `chaos` of `make crash`.
"""

from __future__ import annotations

import pytest
from part_chaos import MOODS, Story

pytestmark = pytest.mark.timeout(120)

LIES = ["acks and forgets", "wrong packet ids", "never acks", "bad record", "twice", "kill gate"]
MORE_LIES = ["wrong topics", "forged receipts", "any order", "forgets sessions", "alters", "closes"]
WEATHER = ["kill broker", "blackhole", "cut in a packet", "kill gate", "crumbs", "reset"]


@pytest.mark.parametrize("lies", [LIES, MORE_LIES], ids=["some", "more"])
async def test_a_lying_broker_costs_time_and_nothing_else(lies: list[str]) -> None:
    counts = await Story("a liar", kind="liar", plot=lies).run()
    assert not counts.violations, counts.violations[0].what
    assert counts.done["lies"] >= 10
    assert counts.done["looks judged"] > 60


@pytest.mark.peer("mosquitto")
async def test_bad_weather_and_a_broker_killed_after_it_acknowledged_cost_time_only() -> None:
    counts = await Story("weather", kind="proxy", plot=WEATHER).run()
    assert not counts.violations, counts.violations[0].what
    assert counts.done["looks judged"] > 60


def test_the_programme_knows_every_lie() -> None:
    told = {name for mood in MOODS.values() for name in mood.__dataclass_fields__
            if getattr(mood, name)}  # fmt: skip
    assert told == set(MOODS["all of it"].__dataclass_fields__)
