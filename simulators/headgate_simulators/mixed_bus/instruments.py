"""What other makers' units measure and how their registers tell it. None of them counts its looks.

Register numbers are zero-based, as on the wire. Source: docs/reference/simulators.md, "Manuals".
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import ClassVar

from headgate_simulators.faults import FaultKind
from headgate_simulators.water_gauge.instruments import INSTRUMENTS, Instrument, Measurement
from headgate_simulators.words import as_f32, f32, i16
from headgate_simulators.world import Place, World

NO_ECHO_MM, NO_ECHO_M = 0xFFFF, 9999.0


class _Air(Instrument):
    """A temperature and humidity transmitter: dry it is seldom in the rain."""

    model = "generic/temperature-humidity"
    told_counter = False
    counter = range(2)

    def _air(self, t: float) -> tuple[float, float]:
        wet = min(29.0, 4 * self.world.rain_mm_h(self.place, t) ** 0.5)
        return self.world.air_temperature_c(t), 70.0 + wet


class Air1(_Air):
    """generic/temperature-humidity below firmware 20: humidity first, tenths."""

    firmware = ""  # it cannot say
    function = 3
    size = 2

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        temperature, humidity = (round(10 * value) for value in self._air(t))
        return Measurement(
            [humidity, i16(temperature)],
            {"temperature": temperature / 10, "humidity": humidity / 10},
        )


class Air2(_Air):
    """generic/temperature-humidity from firmware 20: temperature first, hundredths, and a dew point."""

    firmware = "21"
    plate: ClassVar[Mapping[tuple[int, int], int]] = {(3, 0x07D2): 21}
    function = 4
    size = 3
    counter = range(3)

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        temperature, humidity = (round(100 * value) for value in self._air(t))
        dew = round(temperature - (10_000 - humidity) / 5)
        return Measurement(
            [i16(temperature), humidity, i16(dew)],
            {"temperature": temperature / 100, "humidity": humidity / 100},
        )


class _Ultrasonic(Instrument):
    """An ultrasonic head over a weir."""

    model = "generic/ultrasonic-level"
    told_counter = False
    conditions = frozenset({FaultKind.NO_ECHO, FaultKind.SENSOR_FAULT})

    def __init__(self, world: World, place: Place, label: str) -> None:
        super().__init__(world, place, label)
        self.params = {
            "zero_distance_m": 8.0,
            "zero_elevation_m": round(place.bed_m + 0.2, 3),
        }

    def _distance_m(self, t: float, wrong: AbstractSet[FaultKind]) -> float | None:
        if FaultKind.NO_ECHO in wrong:
            return None
        face = self.params["zero_elevation_m"] + self.params["zero_distance_m"]
        return max(0.3, face - self.world.water_level_m(self.place, t))

    def _temperature(self, t: float, wrong: AbstractSet[FaultKind]) -> int | None:
        broken = FaultKind.SENSOR_FAULT in wrong
        return None if broken else round(10 * self.world.air_temperature_c(t))

    def _values(self, distance: float | None, temperature: int | None) -> dict[str, float | None]:
        zero, face = self.params["zero_elevation_m"], self.params["zero_distance_m"]
        return {
            "distance": distance,
            "head": None if distance is None else face - distance,
            "water_level": None if distance is None else zero + face - distance,
            "temperature": None if temperature is None else temperature / 10,
            "echo": 0 if distance is None else 84,
            "echo_lost": float(distance is None),
            "level_held": 0.0,
        }


class Ultrasonic1(_Ultrasonic):
    """generic/ultrasonic-level with firmware 1.x: input registers, whole millimetres."""

    firmware = "1.3"
    function = 4
    size = 6
    counter = range(4)

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        distance, temperature = self._distance_m(t, wrong), self._temperature(t, wrong)
        mm = NO_ECHO_MM if distance is None else round(1000 * distance)
        values = self._values(None if distance is None else mm / 1000, temperature)
        told = 0x8000 if temperature is None else i16(temperature)
        echo = 0 if distance is None else 84
        return Measurement(
            [mm, told, echo, int(distance is None), 0, 0x0103],
            {**values},
        )


class Ultrasonic2(_Ultrasonic):
    """generic/ultrasonic-level with firmware 2.x: holding registers, metres as float32, words swapped."""

    firmware = "2.2"
    function = 3
    size = 0x20
    counter = range(0x10, 0x19)

    def measure(self, t: float, wrong: AbstractSet[FaultKind]) -> Measurement:
        distance, temperature = self._distance_m(t, wrong), self._temperature(t, wrong)
        told_m = NO_ECHO_M if distance is None else as_f32(distance)
        head = 0.0 if distance is None else max(0.0, self.params["zero_distance_m"] - distance)
        flow = as_f32(NO_ECHO_M if distance is None else min(9000.0, 120.0 * head**1.5))
        registers = [0] * self.size
        registers[0x10:0x12] = f32(told_m, "CDAB")
        registers[0x12:0x14] = f32(flow, "CDAB")
        registers[0x16] = 0x8000 if temperature is None else i16(temperature)
        registers[0x17] = 0 if distance is None else 84
        registers[0x18] = int(distance is None)
        registers[0x1F] = 0x0202
        return Measurement(
            registers, {**self._values(None if distance is None else told_m, temperature)}
        )


Air1.upgrade = Air2
Ultrasonic1.upgrade = Ultrasonic2

#: Every model that can stand on a mixed bus.
MODELS: dict[str, type[Instrument]] = {
    **INSTRUMENTS,
    "air-1": Air1,
    "air-2": Air2,
    "ultrasonic-1": Ultrasonic1,
    "ultrasonic-2": Ultrasonic2,
}
