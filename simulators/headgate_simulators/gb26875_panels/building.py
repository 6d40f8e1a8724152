"""What is true in one building: who smoulders, what the hydrants press, how full the tank is.

Temperatures and the water's day follow the world; fires and leaks come as the seed has it, or when they are
asked for. All of it is a function of world time, so what a panel said late can be compared with what was so.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from headgate_simulators.gb26875_panels.wire import Part
from headgate_simulators.world import World
from headgate_simulators.world.places import Place

#: Bits of a state (figures 6 and 7).
NORMAL, FIRE, FAULT = 0, 1, 2
FIRE_SYSTEM, HYDRANTS, SPRINKLERS = 1, 11, 12
_SMOKE, _CALL_POINT, _HEAT, _GAS, _TANK, _SWITCH = 42, 23, 31, 11, 92, 99
_DAY_S = 86400.0
#: Analogue types of table 6 and how many steps a unit has.
HEIGHT, TEMPERATURE, PRESSURE, LEL = (2, 100), (3, 10), (5, 10), (6, 10)


class Sensor(NamedTuple):
    """A component that measures: which analogue it tells."""

    part: Part
    kind: int
    steps: int
    words: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A fire from one instant to another; so many detectors see it, one after the other."""

    begins: float
    ends: float
    parts: int


class Building:
    """One building. `detectors`: how many smoke detectors it has; every tenth is a manual call point."""

    def __init__(
        self, world: World, place: Place, number: int, *, detectors: int = 60, mean_s: float = 0.0
    ) -> None:
        self._world, self._place = world, place
        draw = random.Random(f"{world.seed}:building:{number}")
        self._phase = draw.uniform(0, 2 * math.pi)
        self.name = f"{place.name} {number}"
        self.parts: list[Part] = []
        self._words: dict[Part, str] = {}
        for at in range(detectors):
            floor, room = at // 10 + 1, at % 10 + 1
            kind = _CALL_POINT if room == 10 else _SMOKE
            part = Part(FIRE_SYSTEM, 1, kind, room << 16 | floor)
            self.parts.append(part)
            self._words[part] = f"{floor}层{room:02d}{'手报' if room == 10 else '烟感 𠮷祥厅'}"
        self.sensors = [
            Sensor(Part(HYDRANTS, 1, _SWITCH, 1), *PRESSURE, "1号消火栓压力"),
            Sensor(Part(SPRINKLERS, 1, _SWITCH, 2), *PRESSURE, "末端试水压力"),
            Sensor(Part(HYDRANTS, 1, _TANK, 3), *HEIGHT, "屋顶水箱液位"),
            Sensor(Part(FIRE_SYSTEM, 1, _GAS, 0x00630001), *LEL, "厨房可燃气体"),
            Sensor(Part(FIRE_SYSTEM, 1, _HEAT, 0x00620001), *TEMPERATURE, "配电室温度"),
        ]
        self._incidents: list[Incident] = []
        begins = world.start
        for _ in range(200 if mean_s > 0 else 0):
            begins += draw.expovariate(1 / mean_s)
            ends = begins + draw.uniform(300, 1800)
            self.ask_fire(Incident(begins, ends, draw.randint(1, 5)))

    def words(self, part: Part) -> str:
        """What the panel calls a component."""
        named = {each.part: each.words for each in self.sensors}
        return self._words.get(part) or named.get(part, "")

    def ask_fire(self, incident: Incident) -> None:
        """Let it burn; instants before `begins` keep what they had."""
        self._incidents.append(incident)
        self._incidents.sort(key=lambda each: each.begins)

    def next_change(self, t: float) -> float:
        """When something begins or ends next, after `t`; infinity: never."""
        later = [x for i in self._incidents for x in (i.begins, i.ends) if x > t]
        return min(later, default=math.inf)

    def burning(self, t: float) -> list[Part]:
        """The detectors that see fire, in the order in which they saw it."""
        known = bisect_right([each.begins for each in self._incidents], t)
        most = max((i.parts for i in self._incidents[:known] if i.ends > t), default=0)
        return self.parts[:most]

    def value(self, sensor: Sensor, t: float) -> float:
        """What a sensor's place is like: kPa, m, %LEL, Cel."""
        hour = 2 * math.pi * t / _DAY_S
        fought = 110.0 if self.burning(t) else 0.0  # hoses and sprinklers run
        match sensor.part.address:
            case 1:
                return 380.0 - 35.0 * math.sin(hour + self._phase) - fought
            case 2:
                return 240.0 - 20.0 * math.sin(hour + self._phase) - fought / 2
            case 3:
                return 2.4 + 0.3 * math.sin(hour + self._phase) - fought / 200
            case 0x00630001:
                # A little that follows the damp weather, nothing that would explode.
                return 1.5 + min(8.0, 0.4 * self._world.rain_mm_h(self._place, t))
            case _:
                return self._world.air_temperature_c(t) + 6.0 + (45.0 if fought else 0.0)

    def raw(self, sensor: Sensor, t: float) -> int:
        """The same in the steps of table 6."""
        return round(self.value(sensor, t) * sensor.steps)
