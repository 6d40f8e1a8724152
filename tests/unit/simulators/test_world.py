"""The world: the same from the same seed, whole in itself, and wet when somebody asks."""

from __future__ import annotations

import random

import pytest

from headgate_simulators.world import Storm, World, WorldClock

START = 1_790_000_000.0
HOUR = 3600.0


def values(world: World, times: list[float]) -> dict[float, tuple[float, ...]]:
    place = world.places(5)[3]
    return {
        t: (
            world.water_level_m(place, t),
            world.rain_mm_total(place, t),
            world.rain_mm_h(place, t),
            world.groundwater_level_m(place, t),
            world.air_temperature_c(t),
        )
        for t in times
    }


def test_the_same_seed_gives_the_same_world_in_any_order_of_asking() -> None:
    forwards = [START + 977.3 * i for i in range(200)]
    shuffled = random.Random(5).sample(forwards, len(forwards))
    assert values(World(7, START), forwards) == values(World(7, START), shuffled)


def test_another_seed_gives_another_world() -> None:
    times = [START + HOUR * i for i in range(48)]
    assert values(World(7, START), times) != values(World(8, START), times)


def test_a_world_begun_later_is_the_same_world() -> None:
    early, late = World(7, START), World(7, START + 30 * HOUR)
    place = early.places(3)[1]
    t = START + 40 * HOUR
    assert late.rain_mm_h(place, t) == early.rain_mm_h(place, t)
    assert late.water_level_m(place, t) == pytest.approx(early.water_level_m(place, t), abs=0.05)


def test_the_total_is_what_the_intensity_adds_up_to() -> None:
    world = World(3, START, [Storm(START + HOUR, 60, 2400)])
    place = world.places(4)[2]
    step = 10.0
    summed = sum(
        world.rain_mm_h(place, START + (i + 0.5) * step) * step / HOUR for i in range(8640)
    )
    assert world.rain_mm_total(place, START + 86400) == pytest.approx(summed, rel=1e-4)
    assert summed > 15


def test_rain_totals_start_at_zero_and_never_fall() -> None:
    world = World(11, START)
    place = world.places(1)[0]
    totals = [world.rain_mm_total(place, START + 300 * i) for i in range(600)]
    assert totals[0] == 0
    assert totals == sorted(totals)
    assert totals[-1] > 0


def test_a_storm_lifts_the_river_fast_and_it_falls_slowly() -> None:
    world = World(2, START)
    dry = World(2, START)
    world.ask_storm(Storm(START, 80, 1800))
    place = world.places(1)[0]
    extra = [
        world.water_level_m(place, START + 60 * m) - dry.water_level_m(place, START + 60 * m)
        for m in range(24 * 60)
    ]
    top = max(range(len(extra)), key=extra.__getitem__)
    assert extra[top] > 1.0
    assert 20 <= top <= 120
    assert 0 < extra[top + 3 * top] < extra[top]


def test_a_storm_asked_for_later_changes_nothing_before_it() -> None:
    world = World(2, START)
    times = [START + 7.7 * i for i in range(700)]
    before = values(world, times)
    world.ask_storm(Storm(times[500], 80, 1800))
    after = values(world, times)
    assert [after[t] for t in times[:501]] == [before[t] for t in times[:501]]
    assert after != before
    assert after == values(World(2, START, [Storm(times[500], 80, 1800)]), times)


def test_levels_stand_between_bed_and_bank_for_a_month() -> None:
    world = World(5, START)
    places = world.places(8)
    for hour in range(24 * 30):
        for place in (places[0], places[-1]):
            depth = world.water_level_m(place, START + hour * HOUR) - place.bed_m
            assert 0.4 < depth < 6.5


def test_places_lie_in_order_down_the_river() -> None:
    places = World(1, START).places(40)
    assert len({place.name for place in places}) == 40
    assert [p.chainage_km for p in places] == sorted(p.chainage_km for p in places)
    assert [p.bed_m for p in places] == sorted((p.bed_m for p in places), reverse=True)


def test_world_time_runs_faster_from_the_start_on() -> None:
    clock = WorldClock(START, speed=60)
    assert clock.world_time(START) == START
    assert clock.world_time(START + 2) == START + 120


@pytest.mark.parametrize("wrong", [(START, 0, 60), (START, 80, 0), (START, 501, 60)])
def test_an_impossible_storm_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="storm"):
        Storm(*wrong)
