"""Where the instruments stand: named places along one river reach in one small catchment."""

from __future__ import annotations

import random
from dataclasses import dataclass

CATCHMENT_KM = 6.0  # the catchment is a square of this side; rain cells cross it
REACH_KM = 2.4  # the observed reach runs through its middle, west to east
BED_AT_HEAD_M = 21.0  # elevation of the river bed at the head of the reach, above datum
BED_SLOPE = 0.0008  # fall per length; a lowland river

_NAMES = (
    "Weir", "Mill Bridge", "East Quay", "Lock", "Willow Bend", "Old Ford", "Sluice", "Railway Bridge",
    "North Bank", "Market Stairs", "Pump House", "Confluence", "Ferry Landing", "Tannery", "Park", "Outfall",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One place in the catchment: where it is, and how high the river bed lies there."""

    name: str
    x_km: float
    y_km: float
    chainage_km: float  # along the river from the head of the reach
    bed_m: float  # river bed above datum


def places(seed: int, count: int) -> list[Place]:
    """`count` places in order down the river; the first n of a longer list differ only in spacing."""
    found = []
    for index in range(count):
        draw = random.Random(f"{seed}:place:{index}")
        chainage = REACH_KM * (index + 0.5) / count
        lap, name = divmod(index, len(_NAMES))
        found.append(
            Place(
                name=_NAMES[name] if lap == 0 else f"{_NAMES[name]} {lap + 1}",
                x_km=(CATCHMENT_KM - REACH_KM) / 2 + chainage,
                y_km=CATCHMENT_KM / 2 + draw.uniform(-0.4, 0.4),
                chainage_km=chainage,
                bed_m=round(BED_AT_HEAD_M - BED_SLOPE * 1000 * chainage, 3),
            )
        )
    return found
