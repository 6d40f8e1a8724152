"""What a station reports, out of the world: a look now, an hour in slots, a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate_simulators.sl651_stations import wire
from headgate_simulators.world import Place, World

TEST, TIMED, ADDED, HOURLY, PICTURE, KEEP_ALIVE = 0x30, 0x32, 0x33, 0x34, 0x36, 0x2F
ASK_NOW, ASK_ELEMENTS, SET_CLOCK = 0x37, 0x3A, 0x4A
#: A river station reports in Beijing's time, which has no summer.
ZONE = timedelta(hours=8)
RIVER = 0x48
_SLOT_S = 300.0
_HOUR_S = 3600.0
#: A picture's packets have so much of it each.
_PACKET = 512


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

    def __init__(self, world: World, place: Place, address: bytes) -> None:
        self._world, self._place = world, place
        self._named = b"\xf1\xf1" + address + bytes([RIVER])
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
        content = self._named + b"\xf0\xf0" + wire.when(local(minute), 5)
        content += wire.element(0x20, day, 3, 1) + wire.element(0x26, total, 3, 1)
        content += wire.element(0x39, level, 4, 3) + wire.element(0x38, 12.61, 2, 2)
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
        begins = b"\xf0\xf0" + wire.when(local(_minute(first + ahead_s)), 5)
        content = self._named + begins + b"\xf4\x60" + rain
        last = _minute(end + ahead_s)
        content += b"\xf0\xf0" + wire.when(local(last), 5)
        content += wire.element(0x26, self._rain_mm(end), 3, 1)
        content += begins + b"\xf5\xc0" + levels
        told[last]["rain_total"] = self._rain_mm(end)
        return content, told

    def picture(self, t: float, ahead_s: float, size: int) -> tuple[bytes, dict[float, Any]]:
        """A JPEG of `size` bytes: its marks are right, what is between them is noise."""
        minute = _minute(t + ahead_s)
        seed = int(minute).to_bytes(8, "big")
        inside = bytes((seed[n % 8] * 31 + n * 7) & 0x7F for n in range(max(0, size - 4)))
        data = b"\xff\xd8" + inside + b"\xff\xd9"
        content = self._named + b"\xf0\xf0" + wire.when(local(minute), 5) + b"\xf3\xf3" + data
        return content, {minute: {"picture": data.hex()}}


def packets(body: bytes) -> list[bytes]:
    """A body in the packets of mode M3."""
    return [body[at : at + _PACKET] for at in range(0, len(body), _PACKET)]


def local(t: float) -> datetime:
    """What a station's clock shows at unix second `t`."""
    return datetime.fromtimestamp(t, UTC) + ZONE


def _minute(t: float) -> float:
    return t - t % 60
