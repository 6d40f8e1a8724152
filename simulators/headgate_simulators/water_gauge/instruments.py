"""What each gauge measures and how its registers tell it: one class per manual page.

An instrument looks at the world at an instant and returns a `Measurement`: its registers, and beside
them the engineering values that those registers mean, computed here and nowhere else, rounded only
as the registers round. Register numbers are zero-based, as on the wire.
Source: docs/reference/simulators.md, "Manuals".
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar, Literal

from headgate_simulators.faults import FaultKind
from headgate_simulators.words import as_f32, f32, i16, text, u32
from headgate_simulators.world import Place, World

Value = float | int | str | None  # None: the device said that it has no value

METRES_PER_KPA = 0.10197  # of water column, as the probe's manual gives it
NO_ECHO_MM = 0xFFFF
NO_TEMPERATURE = 0x8000


@dataclass(frozen=True, slots=True)
class Measurement:
    """One look: every register but the counter, and what they mean in engineering units."""

    registers: list[int]
    values: dict[str, Value]


class Instrument(ABC):
    """One gauge at one place. `counter` are the registers of its sample counter, high word first."""

    model: str
    firmware: str
    function: Literal[3, 4]  # 3: holding registers, 4: input registers
    size: int
    counter: range
    #: Whether the counter is told. Where it is not, `counter` are the registers that make a look.
    told_counter: ClassVar[bool] = True
    conditions: frozenset[FaultKind] = frozenset()  # what may be wrong with its sensor
    #: Registers that stand apart, by function and number: its plate.
    plate: ClassVar[Mapping[tuple[int, int], int]] = {}
    #: What it becomes when it is given the next firmware; None: there is none.
    upgrade: ClassVar[type[Instrument] | None] = None

    def __init__(self, world: World, place: Place, label: str) -> None:
        self.world = world
        self.place = place
        self._draw = random.Random(f"{world.seed}:{label}")
        self.params: dict[str, float] = {}

    @abstractmethod
    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        """Look at the world at world time `t`, with these conditions of the sensor."""

    def stamp(self, registers: list[int], sample: int) -> int:
        """Write the sample counter into `registers`; returns it as the registers hold it."""
        if not self.told_counter:
            return sample
        if len(self.counter) == 1:
            registers[self.counter[0]] = sample & 0xFFFF
            return sample & 0xFFFF
        registers[self.counter[0] : self.counter[0] + 2] = u32(sample, "ABCD")
        return sample & 0xFFFFFFFF


class _Radar(Instrument):
    """What both firmwares of generic/radar-level share: the sensor over the water."""

    model = "generic/radar-level"
    conditions = frozenset({FaultKind.NO_ECHO, FaultKind.SENSOR_FAULT})
    blanking_m = 0.25  # nearer than this the antenna hears only itself
    reach_m = 30.0

    def __init__(self, world: World, place: Place, label: str) -> None:
        super().__init__(world, place, label)
        above_bed_m = self._draw.choice((8.0, 8.5, 9.25, 10.0))
        self.params = {"mounting_elevation_m": round(place.bed_m + above_bed_m, 3)}
        self._signal_at_5m = self._draw.uniform(38.0, 46.0)

    def _hear(
        self, t: float, wrong: AbstractSet[FaultKind]
    ) -> tuple[float | None, int, int, int | None]:
        """Distance (m, None: no echo), signal (0.1 dB), status bits, temperature (0.1 Cel, None)."""
        water = self.world.water_level_m(self.place, t)
        distance = self.params["mounting_elevation_m"] - water
        echo = self.blanking_m <= distance <= self.reach_m and FaultKind.NO_ECHO not in wrong
        fade = 20 * math.log10(max(distance, self.blanking_m) / 5.0)
        rain = 0.05 * self.world.rain_mm_h(self.place, t)  # rain damps the echo
        signal = round(10 * (self._signal_at_5m - fade - rain)) if echo else -999
        hot = round(10 * self.world.air_temperature_c(t))
        temperature = None if FaultKind.SENSOR_FAULT in wrong else hot
        status = (signal < 250) | (not echo) << 1 | (temperature is None) << 2
        return (distance if echo else None), signal, status, temperature

    def _values(
        self, distance: float | None, signal: int, status: int, temperature: int | None
    ) -> dict[str, Value]:
        mounting = self.params["mounting_elevation_m"]
        return {
            "distance": distance,
            "water_level": None if distance is None else mounting - distance,
            "signal": signal / 10,
            "status": status,
            "temperature": None if temperature is None else temperature / 10,
        }


class RadarLevel1(_Radar):
    """generic/radar-level with firmware 1.x: input registers, whole millimetres."""

    firmware = "1.4"
    function = 4
    size = 6
    counter = range(4, 5)

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        distance, signal, status, temperature = self._hear(t, wrong)
        mm = NO_ECHO_MM if distance is None else round(1000 * distance)
        told = NO_TEMPERATURE if temperature is None else i16(temperature)
        return Measurement(
            [0x0104, mm, i16(signal), status, 0, told],
            self._values(None if mm == NO_ECHO_MM else mm / 1000, signal, status, temperature),
        )


class RadarLevel2(_Radar):
    """generic/radar-level with firmware 2.x: holding registers, metres as float32, words swapped."""

    firmware = "2.1"
    function = 3
    size = 8
    counter = range(5, 7)

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        distance, signal, status, temperature = self._hear(t, wrong)
        told_m = math.nan if distance is None else distance
        told = NO_TEMPERATURE if temperature is None else i16(temperature)
        return Measurement(
            [0x0201, *f32(told_m, "CDAB"), i16(signal), status, 0, 0, told],
            self._values(
                None if distance is None else as_f32(distance), signal, status, temperature
            ),
        )


class PressureProbe(Instrument):
    """generic/pressure-probe: a vented pressure cell on the river bed."""

    model = "generic/pressure-probe"
    firmware = "1.0"
    function = 3
    size = 14
    counter = range(12, 14)

    def __init__(self, world: World, place: Place, label: str) -> None:
        super().__init__(world, place, label)
        self.params = {"sensor_elevation_m": round(place.bed_m + 0.15, 3)}
        self.serial = f"PP{self._draw.randrange(10**8):08d}"

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        face = self.params["sensor_elevation_m"]
        over = self.world.water_level_m(self.place, t) - face
        pressure = as_f32(max(0.0, over) / METRES_PER_KPA)
        temperature = round(100 * self.world.water_temperature_c(t))
        status = 0 if over > 0 else 1
        return Measurement(
            [*f32(pressure, "ABCD"), i16(temperature), status, *text(self.serial, 8), 0, 0],
            {
                "pressure": pressure,
                "water_level": face + pressure * METRES_PER_KPA,
                "temperature": temperature / 100,
                "status": status,
            },
        )


class RainGauge(Instrument):
    """generic/rain-gauge: a tipping bucket. It counts tips; what a tip is worth is on its plate."""

    model = "generic/rain-gauge"
    firmware = "1.0"
    function = 4
    size = 6
    counter = range(5, 6)
    conditions = frozenset({FaultKind.BLOCKED, FaultKind.LOW_BATTERY})

    def __init__(self, world: World, place: Place, label: str) -> None:
        super().__init__(world, place, label)
        self.params = {"mm_per_tip": self._draw.choice((0.2, 0.5))}
        self._tips_before = self._draw.randrange(60_000, 200_000)
        self._blocked_at: int | None = None

    def _tips(self, t: float) -> int:
        fallen = self.world.rain_mm_total(self.place, t)
        return self._tips_before + int(fallen / self.params["mm_per_tip"])

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        blocked = FaultKind.BLOCKED in wrong
        tips = self._tips(t)
        minute = tips - self._tips(t - 60.0)
        if not blocked:
            self._blocked_at = None
        else:  # the funnel stands full: nothing tips, and it runs over
            self._blocked_at = tips = tips if self._blocked_at is None else self._blocked_at
            minute = 0
        low = FaultKind.LOW_BATTERY in wrong
        battery = 10_900 if low else 12_600 + round(150 * math.sin(t / 13_750.0))
        status = int(blocked) | int(low) << 1
        per_tip = self.params["mm_per_tip"]
        return Measurement(
            [*u32(tips, "CDAB"), min(minute, 0xFFFF), battery, status, 0],
            {
                "rain_total": tips * per_tip,
                "rain_last_minute": minute * per_tip,
                "battery": battery / 1000,
                "status": status,
            },
        )


RadarLevel1.upgrade = RadarLevel2

INSTRUMENTS: dict[str, type[Instrument]] = {
    "radar-1": RadarLevel1,
    "radar-2": RadarLevel2,
    "probe": PressureProbe,
    "rain": RainGauge,
}
