"""Tags with a format of their own: ATC and pvvx thermometers, ELA and Teltonika, KKM, Holyiot, MikroTik.

Each is known from recorded frames; where two sources read one differently, the frame decided.
"""

from __future__ import annotations

import math
import struct

from headgate_drivers.ble.codec.told import Fault, Field, Told, refused

ATC_SERVICE = "181a"
KKM_SERVICE = "feaa"
HOLYIOT_SERVICE = "5242"
ELA_COMPANY = 0x0757
MIKROTIK_COMPANY = 0x094F

ATC_NAMES = frozenset({"temperature", "humidity", "voltage", "battery", "packet_counter", "mac"})
ELA_NAMES = frozenset({"temperature", "battery"})
SIG_NAMES = frozenset({"temperature", "humidity", "pressure", "battery"})
KKM_NAMES = frozenset(
    {
        "temperature", "humidity", "voltage",
        "acceleration", "acceleration_x", "acceleration_y", "acceleration_z",
    }
)  # fmt: skip
HOLYIOT_NAMES = frozenset({"battery", "temperature", "side"})
MIKROTIK_NAMES = frozenset(
    {
        "temperature", "battery", "uptime", "switch", "tilt", "dropping", "impact", "impact_x",
        "impact_y", "impact_z", "acceleration", "acceleration_x", "acceleration_y", "acceleration_z",
    }
)  # fmt: skip


def atc(data: bytes) -> Told:
    """Service data 181A of thermometers with free firmware: 13 bytes (ATC1441) or 15 (pvvx)."""
    if len(data) == 13:
        degrees, humidity, percent, millivolt, count = struct.unpack(">hBBHB", data[6:])
        mac, tenths, relative = data[:6], degrees / 10, humidity
    elif len(data) == 15:
        degrees, share, millivolt, percent, count, _ = struct.unpack("<hHHBBB", data[6:])
        mac, tenths, relative = data[5::-1], degrees / 100, share / 100
    else:
        return refused(Fault.TRUNCATED if len(data) < 13 else Fault.NOT_SUPPORTED)
    return Told(
        (
            Field("mac", mac.hex()),
            Field("temperature", tenths, "Cel"),
            Field("humidity", relative, "%"),
            Field("voltage", millivolt / 1000, "V"),
            Field("battery", percent, "%"),
            Field("packet_counter", count),
        )
    )


def sig(uuid: str, data: bytes) -> Told:
    """A characteristic of the Bluetooth SIG, told as service data under its own number (ELA, Teltonika).

    Source: GATT Specification Supplement: 2A6E temperature, 2A6F humidity, 2A6D pressure, 2A19 battery.
    """
    kinds = {
        "2a6e": ("temperature", 2, True, 100, "Cel"),
        "2a6f": ("humidity", 2, False, 100, "%"),
        "2a6d": ("pressure", 4, False, 10, "Pa"),
        "2a19": ("battery", 1, False, 1, "%"),
    }
    if uuid not in kinds:
        return refused(Fault.NOT_SUPPORTED)
    name, size, signed, divide, unit = kinds[uuid]
    if uuid == "2a6f" and len(data) == 1:
        size, divide = 1, 1  # sold with whole percents in one byte
    if len(data) != size:
        return refused(Fault.TRUNCATED if len(data) < size else Fault.BAD_LENGTH)
    raw = int.from_bytes(data, "little", signed=signed)
    return Told((Field(name, raw if divide == 1 else raw / divide, unit),))


def ela(data: bytes) -> Told:
    """Manufacturer data 0757 of ELA Blue PUCK and of tags built on it: one value in each frame."""
    if data[:1] == b"\x12":
        if len(data) < 3:
            return refused(Fault.TRUNCATED)
        raw = int.from_bytes(data[1:3], "little", signed=True)
        return Told((Field("temperature", raw / 100, "Cel"),))
    if data[:1] == b"\xf1":
        if len(data) < 2:
            return refused(Fault.TRUNCATED)
        return Told((Field("battery", data[1], "%"),))
    return refused(Fault.NOT_SUPPORTED if data else Fault.TRUNCATED)


def kkm(data: bytes) -> Told:
    """KKM sensor frame 21h in service data FEAA."""
    if data[:1] != b"\x21":
        return refused(Fault.NOT_SUPPORTED if data else Fault.TRUNCATED)
    if len(data) < 15:
        return refused(Fault.TRUNCATED)
    if data[1:3] != b"\x01\x07":
        return refused(Fault.NOT_SUPPORTED)
    millivolt, degrees, humidity, x, y, z = struct.unpack(">HhHhhh", data[3:15])
    return Told(
        (
            Field("voltage", millivolt / 1000, "V"),
            Field("temperature", degrees / 256, "Cel"),
            Field("humidity", humidity / 256, "%"),
            Field("acceleration_x", x, "m[g]"),
            Field("acceleration_y", y, "m[g]"),
            Field("acceleration_z", z, "m[g]"),
            Field("acceleration", math.hypot(x, y, z), "m[g]"),
        )
    )


def holyiot(data: bytes) -> Told:
    """Holyiot service data 5242: battery, and one measurement in each frame."""
    if data[:1] != b"\x41":
        return refused(Fault.NOT_SUPPORTED if data else Fault.TRUNCATED)
    if len(data) < 13:
        return refused(Fault.TRUNCATED)
    battery, kind = Field("battery", data[1], "%"), data[10]
    if kind == 1:
        whole = int.from_bytes(data[11:12], "big", signed=True)
        if data[12] > 99:
            return Told((battery,), Fault.BAD_FIELD)
        degrees = (abs(whole) * 100 + data[12]) / 100
        return Told((battery, Field("temperature", -degrees if whole < 0 else degrees, "Cel")))
    if kind == 5:
        return Told((battery, Field("side", data[11])))
    return Told((battery,), Fault.NOT_SUPPORTED)


def mikrotik(data: bytes) -> Told:
    """MikroTik TG-BT5 manufacturer data 094F, version 1, plain."""
    if len(data) < 2:
        return refused(Fault.TRUNCATED)
    if data[0] != 1 or data[1] & 1:
        return refused(Fault.NOT_SUPPORTED)
    if len(data) < 18:
        return refused(Fault.TRUNCATED)
    # Fixed point 8.8. The recorded frame reads its axes without a sign; temperature has one.
    x, y, z, degrees, uptime, flags, battery = struct.unpack("<HHHhIBB", data[4:18])
    bits = ("switch", "tilt", "dropping", "impact_x", "impact_y", "impact_z")
    return Told(
        (
            Field("acceleration_x", x / 256, "m/s2"),
            Field("acceleration_y", y / 256, "m/s2"),
            Field("acceleration_z", z / 256, "m/s2"),
            Field("acceleration", math.hypot(x, y, z) / 256, "m/s2"),
            Field("temperature", None if degrees == -0x8000 else degrees / 256, "Cel"),
            Field("uptime", uptime, "s"),
            Field("battery", battery, "%"),
            *(Field(name, bool(flags >> at & 1)) for at, name in enumerate(bits)),
            Field("impact", bool(flags & 0x38)),
        )
    )
