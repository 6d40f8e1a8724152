"""What stands in the street, and how it says what the world tells it.

Written from the formats' own texts (bthome.io, Apple's iBeacon, docs.ruuvi.com), not from any codec.
"""

from __future__ import annotations

import random
import struct
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from headgate_simulators.ble_street.bluez import Said
from headgate_simulators.world import Place, World

TAG_UUID = "fda50693-a4e2-4fb1-afcf-c6eb07647825"
#: From the sensor under the cover down to the invert.
DEPTH_M = 3.0


class Unit(ABC):
    """One thing that advertises.

    `profile` is what a site file names it by, `address` what it is known by there, `every_s` how often
    it says something.
    """

    profile: str
    every_s = 1.0
    params: ClassVar[dict[str, Any]] = {}

    def __init__(self, number: int, world: World, place: Place) -> None:
        self.id = f"{self.profile.rpartition('/')[2]}-{number:03d}"
        self.mac = f"C0:DE:00:00:{number >> 8:02X}:{number & 255:02X}"
        self.number = number
        self.world = world
        self.place = place
        self.count = 0
        self._dice = random.Random(f"{world.seed}:{self.id}")
        self._usual_rssi = self._dice.randint(-85, -55)

    @property
    def address(self) -> str:
        """As the site file has it."""
        return self.mac

    def rssi(self) -> int:
        """How strong it is heard: its distance, and people walking by."""
        return max(-99, min(-30, self._usual_rssi + round(self._dice.gauss(0, 3))))

    @abstractmethod
    def says(self, t: float, *, open_: bool = False) -> tuple[Said, dict[str, Any]]:
        """The next advert at world time `t`, and the values that are true in it by point."""


class Thermometer(Unit):
    """BTHome: temperature and humidity."""

    profile = "generic/temperature-humidity-ble"

    def says(self, t: float, *, open_: bool = False) -> tuple[Said, dict[str, Any]]:
        self.count += 1
        degrees = round(self.world.air_temperature_c(t) * 100)
        humidity = round(
            max(0, min(100, 70 + 4 * self.world.rain_mm_h(self.place, t) ** 0.5)) * 100
        )
        data = struct.pack("<BBBBBBhBH", 0x40, 0, self.count & 0xFF, 1, 93, 2, degrees, 3, humidity)
        values = {"temperature": degrees / 100, "humidity": humidity / 100, "battery": 93}
        return Said(self.mac, self.rssi(), service={"fcd2": data}), values


class Cover(Unit):
    """BTHome: a manhole cover with tilt and the distance down to the water."""

    profile = "generic/manhole-cover-ble"
    params: ClassVar[dict[str, Any]] = {"depth": DEPTH_M}

    def says(self, t: float, *, open_: bool = False) -> tuple[Said, dict[str, Any]]:
        self.count += 1
        # Sewers fill within minutes; ten millimetres an hour are half a metre here.
        level = min(DEPTH_M - 0.05, 0.2 + 0.05 * self.world.rain_mm_h(self.place, t))
        millimetres = round((DEPTH_M - level) * 1000)
        tenths = 380 if open_ else 6
        data = struct.pack(
            "<BBBBBBBBhBH", 0x44, 0, self.count & 0xFF, 1, 88, 0x11, open_, 0x3F, tenths, 0x40, millimetres
        )  # fmt: skip
        values = {
            "cover_open": open_, "tilt": tenths / 10, "level": DEPTH_M - millimetres / 1000, "battery": 88,
        }  # fmt: skip
        return Said(self.mac, self.rssi(), service={"fcd2": data}), values


class Tag(Unit):
    """An iBeacon that a person wears; its address changes, as many do."""

    profile = "generic/personnel-tag"

    @property
    def address(self) -> str:
        return f"{TAG_UUID}/10001/{self.number}"

    def says(self, t: float, *, open_: bool = False) -> tuple[Said, dict[str, Any]]:
        self.count += 1
        beacon = bytes.fromhex(TAG_UUID.replace("-", "")) + struct.pack(
            ">HHb", 10001, self.number, -59
        )
        mac = f"5{self.count // 600 % 16:X}{self.mac[2:]}"
        said = Said(mac, self.rssi(), company={0x004C: b"\x02\x15" + beacon})
        return said, {"measured_power": -59}


class Environment(Unit):
    """Data format 5."""

    profile = "generic/environment-tag-ble"

    def says(self, t: float, *, open_: bool = False) -> tuple[Said, dict[str, Any]]:
        self.count = (self.count + 1) % 0xFFFF
        degrees = round(self.world.air_temperature_c(t) * 200)
        mac = bytes.fromhex(self.mac.replace(":", ""))
        frame = struct.pack(
            ">BhHHhhhHBH", 5, degrees, 24000, 51325, 4, -4, 1036, 0xAC36, 66, self.count
        )
        values = {
            "temperature": degrees / 200, "humidity": 60.0, "pressure": 1013.25, "movements": 66,
            "sequence": self.count,
        }  # fmt: skip
        return Said(self.mac, self.rssi(), company={0x0499: frame + mac}), values


KINDS: dict[str, type[Unit]] = {
    "thermometer": Thermometer, "cover": Cover, "tag": Tag, "environment": Environment,
}  # fmt: skip
