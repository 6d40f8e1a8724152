"""The world: what is true at a place at an instant."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

from headgate_simulators.world.places import CATCHMENT_KM, Place, places
from headgate_simulators.world.rain import Rain, Storm
from headgate_simulators.world.river import CELERITY_M_S, River, depth_m

_DAY_S = 86400.0
_YEAR_S = 365.2425 * _DAY_S
_AT = (0.25, 0.75)  # the mean rain is taken at four points and the middle
_MEAN_RAIN_AT = tuple(
    Place("", x * CATCHMENT_KM, y * CATCHMENT_KM, 0.0, 0.0)
    for x, y in [(0.5, 0.5), *((x, y) for x in _AT for y in _AT)]
)


class World:
    """One river, its rain and its temperatures, as pure functions of time.

    Args:
        seed: everything that varies follows from it.
        start: unix seconds; rain totals count from here.
        storms: asked-for storms, in world time; more may be asked for later.
    """

    def __init__(self, seed: int, start: float, storms: Sequence[Storm] = ()) -> None:
        self.seed = seed
        self.start = start
        self._rain = Rain(seed, start)
        self._river = River(start, self._mean_rain_mm_h)
        for storm in storms:
            self.ask_storm(storm)

    def ask_storm(self, storm: Storm) -> None:
        """Let a storm come. Instants before `storm.starts_at` keep the values they had."""
        self._rain.ask(storm)
        self._river.forget_after(storm.starts_at)

    def places(self, count: int) -> list[Place]:
        """`count` places along the reach, from its head downwards."""
        return places(self.seed, count)

    def rain_mm_h(self, place: Place, t: float) -> float:
        """Rain intensity at `place`, mm/h."""
        return self._rain.intensity_mm_h(place, t)

    def rain_mm_total(self, place: Place, t: float) -> float:
        """Rain fallen at `place` since the world's start, mm."""
        return self._rain.total_mm(place, t)

    def runoff_mm_h(self, t: float) -> float:
        """Run-off of the catchment as mm/h over its area: what a wet well's inflow is made of."""
        return self._river.flow(t).total

    def water_level_m(self, place: Place, t: float) -> float:
        """Elevation of the river's surface at `place` above datum, m, with its ripples."""
        flow = self._river.flow(t - place.chainage_km * 1000 / CELERITY_M_S)
        first, second = _ripple_phases(self.seed, place)
        ripple = 0.003 * math.sin(t / 1.16 + first) + 0.002 * math.sin(t / 0.47 + second)
        return place.bed_m + depth_m(flow.total) + ripple

    def groundwater_level_m(self, place: Place, t: float) -> float:
        """Elevation of the groundwater beside the river above datum, m: it follows the slow store."""
        return place.bed_m + 0.8 + 0.25 * self._river.flow(t).slow

    def air_temperature_c(self, t: float) -> float:
        """Air temperature, Cel: a year, a day, and weather that the seed decides."""
        year = -math.cos(2 * math.pi * (t - 15 * _DAY_S) / _YEAR_S)
        day = -math.cos(2 * math.pi * (t / _DAY_S + 1 / 24))  # coldest near 07:00 at UTC+8
        weather = math.sin(t / 190000.0 + self.seed % 97)
        return 16.5 + 12.0 * year + 4.0 * day + 2.5 * weather

    def water_temperature_c(self, t: float) -> float:
        """Water temperature, Cel: the air's year, damped and never below 0.5."""
        year = -math.cos(2 * math.pi * (t - 35 * _DAY_S) / _YEAR_S)
        day = -math.cos(2 * math.pi * (t / _DAY_S - 1 / 12))
        return max(0.5, 16.0 + 9.0 * year + 0.6 * day)

    def _mean_rain_mm_h(self, t: float) -> float:
        return sum(self._rain.intensity_mm_h(at, t) for at in _MEAN_RAIN_AT) / len(_MEAN_RAIN_AT)


@lru_cache(maxsize=4096)
def _ripple_phases(seed: int, place: Place) -> tuple[float, float]:
    draw = random.Random(f"{seed}:ripple:{place.name}")
    return draw.uniform(0, 2 * math.pi), draw.uniform(0, 2 * math.pi)
