"""Rain: showers that are born, cross the catchment and die, and storms that somebody asked for.

A rain cell's intensity at a place is `peak * nearness * sin^2`, over its life there; the integral
is closed, so the total since the start is exact at any instant and never summed step by step.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from headgate_simulators.world.places import CATCHMENT_KM, Place

_SLOT_S = 1800  # cells are born in slots of half an hour
_WEATHER_S = 6 * 3600  # and slots are wet or dry by weather of six hours
_LONGEST_S = 3600.0
_FARTHEST_S = 1800.0  # a cell passes any place at most this much before or after the centre


@dataclass(frozen=True, slots=True)
class Storm:
    """A storm over the whole catchment, asked for by a person or a scenario."""

    starts_at: float  # unix seconds, world time
    peak_mm_h: float
    duration_s: float

    def __post_init__(self) -> None:
        if not (0 < self.peak_mm_h <= 500 and 0 < self.duration_s <= 7 * 86400):
            raise ValueError("a storm needs a peak of up to 500 mm/h and lasts up to seven days")


@dataclass(frozen=True, slots=True)
class RainCell:
    """One shower. Speeds in km/s, lengths in km, `starts_at` as felt at its centre."""

    starts_at: float
    duration_s: float
    peak_mm_h: float
    x_km: float
    y_km: float
    radius_km: float
    vx: float
    vy: float

    def _felt(self, place: Place) -> tuple[float, float]:
        """When it begins at `place`, and its greatest intensity there (mm/h)."""
        dx, dy = place.x_km - self.x_km, place.y_km - self.y_km
        nearness = math.exp(-(dx * dx + dy * dy) / (2 * self.radius_km * self.radius_km))
        speed2 = self.vx * self.vx + self.vy * self.vy
        delay = (dx * self.vx + dy * self.vy) / speed2 if speed2 else 0.0
        delay = max(-_FARTHEST_S, min(_FARTHEST_S, delay))
        return self.starts_at + delay, self.peak_mm_h * nearness

    def intensity_mm_h(self, place: Place, t: float) -> float:
        begins, peak = self._felt(place)
        life = (t - begins) / self.duration_s
        return peak * math.sin(math.pi * life) ** 2 if 0.0 < life < 1.0 else 0.0

    def fallen_mm(self, place: Place, t: float) -> float:
        """What it has let fall at `place` until `t`: the integral of `intensity_mm_h`."""
        begins, peak = self._felt(place)
        age = max(0.0, min(self.duration_s, t - begins))
        swing = self.duration_s / (4 * math.pi) * math.sin(2 * math.pi * age / self.duration_s)
        return peak / 3600 * (age / 2 - swing)


def _born_in(seed: int, slot: int) -> tuple[RainCell, ...]:
    """The cells of one slot, by the seed alone: an eighth of the six-hour weathers is wet."""
    weather = random.Random(f"{seed}:weather:{slot * _SLOT_S // _WEATHER_S}").random()
    draw = random.Random(f"{seed}:rain:{slot}")
    chance = 0.9 if weather < 0.125 else 0.03
    cells: list[RainCell] = []
    while draw.random() < chance and len(cells) < 4:
        angle, speed = draw.uniform(0, 2 * math.pi), draw.uniform(0.004, 0.012)
        cells.append(
            RainCell(
                starts_at=slot * _SLOT_S + draw.uniform(0, _SLOT_S),
                duration_s=draw.uniform(900.0, _LONGEST_S),
                peak_mm_h=min(90.0, 1.0 + draw.expovariate(1 / 10)),
                x_km=draw.uniform(0, CATCHMENT_KM),
                y_km=draw.uniform(0, CATCHMENT_KM),
                radius_km=draw.uniform(1.0, 4.0),
                vx=speed * math.cos(angle),
                vy=speed * math.sin(angle),
            )
        )
        chance *= 0.5
    return tuple(cells)


@dataclass(slots=True)
class Rain:
    """The rain of one world. What is cached only saves work and changes no answer."""

    seed: int
    start: float
    storms: list[RainCell] = field(default_factory=list)
    _slots: dict[int, tuple[RainCell, ...]] = field(default_factory=dict)
    _settled: dict[Place, tuple[int, float]] = field(default_factory=dict)

    def ask(self, storm: Storm) -> None:
        """Add a storm; what fell before `storm.starts_at` stays as it was."""
        middle = CATCHMENT_KM / 2
        self.storms.append(
            RainCell(
                storm.starts_at, storm.duration_s, storm.peak_mm_h, middle, middle, 8.0, 0.0, 0.0
            )
        )

    def intensity_mm_h(self, place: Place, t: float) -> float:
        """Rain falling at `place` at `t`, mm/h."""
        return sum(cell.intensity_mm_h(place, t) for cell in self._near(t))

    def total_mm(self, place: Place, t: float) -> float:
        """Rain fallen at `place` from the world's start until `t`, mm."""
        first = self._first_slot(self.start)
        open_slot = self._first_slot(t)  # cells of earlier slots are over everywhere
        slot, settled = self._settled.get(place, (first, 0.0))
        if slot > open_slot:  # asked about the past
            slot, settled = first, 0.0
        while slot < open_slot:
            settled += sum(self._between(cell, place, math.inf) for cell in self._slot(slot))
            slot += 1
        if slot > first:
            self._settled[place] = (slot, settled)
        return settled + sum(self._between(cell, place, t) for cell in self._near(t))

    def _between(self, cell: RainCell, place: Place, t: float) -> float:
        return cell.fallen_mm(place, t) - cell.fallen_mm(place, self.start)

    def _near(self, t: float) -> Iterator[RainCell]:
        for slot in range(self._first_slot(t), self._last_slot(t) + 1):
            yield from self._slot(slot)
        yield from self.storms

    def _slot(self, slot: int) -> tuple[RainCell, ...]:
        if slot not in self._slots:
            if len(self._slots) > 4096:
                self._slots.clear()
            self._slots[slot] = _born_in(self.seed, slot)
        return self._slots[slot]

    @staticmethod
    def _first_slot(t: float) -> int:
        return math.floor((t - _LONGEST_S - _FARTHEST_S) / _SLOT_S) - 1

    @staticmethod
    def _last_slot(t: float) -> int:
        return math.floor((t + _FARTHEST_S) / _SLOT_S)
