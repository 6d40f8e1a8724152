"""Ten thousand boxes after an outage of the whole city: never more than 2 % of them in one second."""

from __future__ import annotations

import random

import pytest
from fleet.model import Broker, Crowd, away, narrow, staggering, together, within

from headgate_plugins.mqtt.pauses import Pauses

BOXES = 10_000
SHARE = BOXES * 2 // 100


@pytest.mark.parametrize(
    ("broker", "patience_s"),
    [
        pytest.param(away(1.0), 300, id="restarted"),
        pytest.param(away(45.0), 300, id="away within the first pause"),
        pytest.param(away(100.0), 500, id="away as first and second tries meet"),
        pytest.param(away(300.0), 900, id="away for five minutes"),
        pytest.param(away(3600.0), 4200, id="away for an hour"),
        pytest.param(away(200.0, notice_s=30.0), 900, id="a black hole, tries time out"),
        pytest.param(narrow(200), 300, id="takes 200 in a second"),
        pytest.param(narrow(50, away_s=60.0), 1200, id="takes 50 in a second"),
        pytest.param(staggering(3.0, 20.0, 10), 900, id="falls over ten times"),
    ],
)
def test_a_fleet_that_lost_its_broker_together_comes_back_spread(
    broker: Broker, patience_s: float
) -> None:
    tries = Crowd(BOXES, seed=20).play(broker, together)
    assert len(tries.back) == BOXES
    assert tries.busiest() <= SHARE
    assert max(tries.back) <= patience_s, "the spread is a price; nobody waits for ever"


def test_a_district_whose_mains_return_comes_back_spread() -> None:
    tries = Crowd(BOXES, seed=21).play(away(0.0), within(10.0), booted=True)
    assert len(tries.back) == BOXES
    assert tries.busiest() <= SHARE
    assert max(tries.back) <= 110


def test_cells_that_fall_one_by_one_are_no_worse() -> None:
    tries = Crowd(BOXES, seed=22).play(away(120.0), within(60.0))
    assert tries.busiest() <= SHARE


def test_the_model_sees_a_storm_where_there_is_one() -> None:
    """Boxes that all pause for the same five seconds: the judge must not be blind."""
    crowd = Crowd(BOXES, seed=23)
    crowd.boxes = [Pauses(5.0, 5.0, random.Random(0)) for _ in range(BOXES)]
    assert crowd.play(away(60.0), together).busiest() == BOXES


def test_a_service_restarted_on_a_running_box_connects_at_once() -> None:
    assert Pauses(1.0, 90.0).first(up_s=3600.0) == 0.0


def test_a_link_that_stood_starts_afresh_and_one_that_falls_at_once_does_not() -> None:
    pauses = Pauses(1.0, 10.0, random.Random(5))
    falling = [pauses.next(0.5) for _ in range(6)]
    assert max(falling[4:]) <= 50.0
    assert min(falling[4:]) >= 25.0
    assert pauses.next(3600.0) <= 10.0
