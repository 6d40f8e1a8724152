"""What a station reports, out of the world: a look now, an hour in slots, a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate_simulators.sl651_stations.coding import Coding, Hex
from headgate_simulators.sl651_stations.plant import PUMP_STATION, Plant
from headgate_simulators.world import Place, World

TEST, TIMED, ADDED, HOURLY, PICTURE, KEEP_ALIVE = 0x30, 0x32, 0x33, 0x34, 0x36, 0x2F
ASK_NOW, ASK_ELEMENTS, SET_CLOCK = 0x37, 0x3A, 0x4A
#: A river station reports in Beijing's time, which has no summer.
ZONE = timedelta(hours=8)
RIVER = 0x48
_SLOT_S = 300.0
_HOUR_S = 3600.0
#: A picture's packets have so much of it each; what is longer than the other is sent in packets.
_PACKET, LONGEST = 512, 1024


@dataclass(slots=True)
class Report:
    """One report that the station keeps until it is confirmed.

    `told` is what it says of each point at each instant of the station's clock, unix seconds: the truth.
    """

    function: int
    serial: int
    content: bytes
    told: dict[float, dict[str, Any]] = field(default_factory=dict)
    tries: int = 0
    first_sent: float | None = None


class Instruments:
    """A rain gauge, a staff and a battery at one place."""

    #: What is reported by the hour: slots, where there is a rain gauge.
    hourly = True

    def __init__(
        self, world: World, place: Place, address: bytes, coding: Coding | None = None
    ) -> None:
        self._world, self._place = world, place
        self.coding = coding or Hex()
        self._named = self.coding.station(address, RIVER)
        self.address = address

    def level_m(self, t: float) -> float:
        """The river, to the millimetre, as the staff has it."""
        return round(self._world.water_level_m(self._place, t), 3)

    def _rain_mm(self, t: float) -> float:
        return round(max(0.0, self._world.rain_mm_total(self._place, t)), 1)

    def look(self, t: float, ahead_s: float) -> tuple[bytes, dict[float, dict[str, Any]]]:
        """Elements 20, 26, 39, 38 at world time `t`; the station's clock is `ahead_s` before it."""
        minute = _minute(t + ahead_s)
        day = round(max(0.0, self._rain_mm(t) - self._rain_mm(t - t % 86400)), 1)
        total, level = self._rain_mm(t), self.level_m(t)
        write = self.coding
        content = self._named + write.observed(local(minute))
        content += write.element(0x20, day, 3, 1) + write.element(0x26, total, 3, 1)
        content += write.element(0x39, level, 4, 3) + write.element(0x38, 12.61, 2, 2)
        values = {"rain_now": day, "rain_total": total, "water_level": level, "battery": 12.61}
        return content, {minute: values}

    def hour(self, end: float, ahead_s: float) -> tuple[bytes, dict[float, dict[str, Any]]]:
        """The hour up to `end` in slots of five minutes (F4, F5), and the rain so far (26)."""
        told: dict[float, dict[str, Any]] = {}
        rain, levels = bytearray(), bytearray()
        base = self._place.bed_m - 1.0
        first = end - _HOUR_S + _SLOT_S
        for slot in range(12):
            at = first + slot * _SLOT_S
            tenths = min(250, round(10 * (self._rain_mm(at) - self._rain_mm(at - _SLOT_S))))
            cm = max(0, min(65534, round(100 * (self.level_m(at) - base))))
            rain.append(max(0, tenths))
            levels += cm.to_bytes(2, "big")
            told[_minute(at + ahead_s)] = {"rain_5min": rain[-1] / 10, "level_5min": cm / 100}
        write = self.coding
        begins = write.observed(local(_minute(first + ahead_s)))
        content = self._named + begins + write.slots(0xF4, bytes(rain), 1)
        last = _minute(end + ahead_s)
        content += write.observed(local(last))
        content += write.element(0x26, self._rain_mm(end), 3, 1)
        content += begins + write.slots(0xF5, bytes(levels), 2)
        told[last]["rain_total"] = self._rain_mm(end)
        return content, told

    def picture(self, t: float, ahead_s: float, size: int) -> tuple[bytes, dict[float, Any]]:
        """A JPEG of `size` bytes: its marks are right, what is between them is noise."""
        minute = _minute(t + ahead_s)
        seed = int(minute).to_bytes(8, "big")
        inside = bytes((seed[n % 8] * 31 + n * 7) & 0x7F for n in range(max(0, size - 4)))
        data = b"\xff\xd8" + inside + b"\xff\xd9"
        content = self._named + self.coding.observed(local(minute)) + self.coding.picture(data)
        return content, {minute: {"picture": data.hex()}}


class PumpInstruments(Instruments):
    """Levels on both sides, a gate's gauge, how many pumps run, the state word; no rain gauge."""

    hourly = False

    def __init__(
        self, world: World, place: Place, address: bytes, plant: Plant, coding: Coding | None = None
    ) -> None:
        super().__init__(world, place, address, coding)
        self._plant = plant
        self._named = self.coding.station(address, PUMP_STATION)

    def look(self, t: float, ahead_s: float) -> tuple[bytes, dict[float, dict[str, Any]]]:
        """Elements 3B, 3A, 09, 19, 27, 45, 38 at world time `t`."""
        minute, write, plant = _minute(t + ahead_s), self.coding, self._plant
        inside, running = self.level_m(t), plant.pumps.bit_count()
        values = {
            "level_inside": inside, "level_outside": round(inside - 0.4, 3),
            "gate_height": plant.gate_cm / 100, "pumps_running": running, "flow": 0.8 * running,
            "battery": 12.61, "mains_failed": False, "pumps_stopped": not running,
        }  # fmt: skip
        content = self._named + write.observed(local(minute))
        content += write.element(0x3B, inside, 4, 3)
        content += write.element(0x3A, inside - 0.4, 4, 3)
        content += write.element(0x09, plant.gate_cm / 100, 3, 2) + write.element(
            0x19, running, 1, 0
        )
        content += write.element(0x27, 0.8 * running, 5, 3) + write.state(plant.state)
        return content + write.element(0x38, 12.61, 2, 2), {minute: values}


def packets(body: bytes) -> list[bytes]:
    """A body in the packets of mode M3."""
    return [body[at : at + _PACKET] for at in range(0, len(body), _PACKET)]


def local(t: float) -> datetime:
    """What a station's clock shows at unix second `t`."""
    return datetime.fromtimestamp(t, UTC) + ZONE


def _minute(t: float) -> float:
    return t - t % 60
