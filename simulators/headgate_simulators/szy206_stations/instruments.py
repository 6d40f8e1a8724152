"""What a water resources station measures, out of the world: rain, two levels, a flow and its volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate_simulators.szy206_stations import wire
from headgate_simulators.world import Place, World

#: They report in Beijing's time, which has no summer.
ZONE = timedelta(hours=8)
#: Bits of the alarm word, and of the state word.
AC_FAIL, LEVEL_LIMIT = 1 << 0, 1 << 2
PUMP_STOPPED, DOOR_CLOSED = 1 << 4, 1 << 5
#: The profile's points for bits that each report has.
_ALARMS = {
    "mains_failed": 0, "battery_low": 1, "level_limit": 2, "flow_limit": 3, "flow_meter_fault": 5,
    "level_meter_fault": 7,
}  # fmt: skip
_STATES = {"door_closed": 5, "on_battery": 6}


@dataclass(slots=True)
class Report:
    """One report that is kept until it is confirmed.

    `told`: what it says of each point at each instant of the station's clock, unix seconds: the truth.
    """

    number: int
    afn: int
    kind: int
    data: bytes
    told: dict[float, dict[str, Any]] = field(default_factory=dict)
    #: FCB of the next sending, and how often it was sent in all.
    tries: int = 3
    sent: int = 0
    first_sent: float | None = None
    #: Parts of a picture, the last of them still to be confirmed first.
    parts: list[bytes] = field(default_factory=list)


class Instruments:
    """At one place of the world."""

    def __init__(self, world: World, place: Place, limit_m: float) -> None:
        self._world, self._place, self.limit_m = world, place, limit_m

    def levels_m(self, t: float) -> tuple[float, float]:
        """The river, and below the weir beside it, to the millimetre."""
        river = round(self._world.water_level_m(self._place, t), 3)
        return river, round(river - self._place.bed_m - 2.0, 3)

    def flow_m3_s(self, t: float) -> float:
        """Over the weir, by its rating curve."""
        return round(8.4 * math.pow(max(0.0, self._depth(t)), 1.5), 3)

    def volume_m3(self, t: float) -> int:
        """Since the world began, by the flow of each ten minutes."""
        slots = int((t - self._world.start) // 600.0)
        return round(
            sum(600.0 * self.flow_m3_s(self._world.start + 600.0 * n) for n in range(slots))
        )

    def rain_mm(self, t: float) -> float:
        """Since the world began, to the tenth."""
        return round(max(0.0, self._world.rain_mm_total(self._place, t)), 1)

    def _depth(self, t: float) -> float:
        return self.levels_m(t)[0] - self._place.bed_m

    def alarm(self, t: float) -> int:
        """The alarm word."""
        return LEVEL_LIMIT if self.levels_m(t)[0] >= self.limit_m else 0

    def measured(self, t: float) -> list[tuple[int, bytes, dict[str, Any]]]:
        """Kind, values as they are written, and what they say, of one look."""
        river, below = self.levels_m(t)
        rain, flow, volume = self.rain_mm(t), self.flow_m3_s(t), self.volume_m3(t)
        return [
            (wire.RAIN, wire.bcd(round(rain * 10), 3), {"rain": rain}),
            (
                wire.LEVEL, wire.level(river) + wire.level(below),
                {"level_1": river, "level_2": below},
            ),
            (wire.FLOW, wire.flow(flow, volume), {"flow_1": flow, "total_1": volume}),
        ]  # fmt: skip


def words_told(alarm: int, state: int) -> dict[str, bool]:
    """What the two words say of the profile's points."""
    return {name: bool(alarm >> bit & 1) for name, bit in _ALARMS.items()} | {
        name: bool(state >> bit & 1) for name, bit in _STATES.items()
    }


def local(t: float) -> datetime:
    """What a station's clock shows at unix second `t`."""
    return (datetime.fromtimestamp(t, UTC) + ZONE).replace(tzinfo=None)


def unix(at: datetime) -> float:
    """The unix second at which a station's clock shows this."""
    return (at - ZONE).replace(tzinfo=UTC).timestamp()
