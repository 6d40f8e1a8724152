"""The objects of BTHome, by number: what each is called, what its bytes mean. Source: bthome.io/format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from headgate_drivers.ble.codec.told import Fault, Field


class Kind(NamedTuple):
    """One object: its value is raw * multiply / divide, little-endian on the air."""

    name: str
    size: int
    unit: str = "1"
    divide: int = 1
    signed: bool = False
    multiply: int = 1


def _u(name: str, size: int, unit: str = "1", divide: int = 1) -> Kind:
    return Kind(name, size, unit, divide)


def _s(name: str, size: int, unit: str = "1", divide: int = 1, multiply: int = 1) -> Kind:
    return Kind(name, size, unit, divide, True, multiply)


NUMBERS: dict[int, Kind] = {
    0x00: _u("packet_id", 1), 0x01: _u("battery", 1, "%"), 0x02: _s("temperature", 2, "Cel", 100),
    0x03: _u("humidity", 2, "%", 100), 0x04: _u("pressure", 3, "hPa", 100),
    0x05: _u("illuminance", 3, "lx", 100), 0x06: _u("mass", 2, "kg", 100),
    0x07: _u("mass", 2, "[lb_av]", 100), 0x08: _s("dew_point", 2, "Cel", 100), 0x09: _u("count", 1),
    0x0A: _u("energy", 3, "kW.h", 1000), 0x0B: _u("power", 3, "W", 100),
    0x0C: _u("voltage", 2, "V", 1000), 0x0D: _u("pm2_5", 2, "ug/m3"), 0x0E: _u("pm10", 2, "ug/m3"),
    0x12: _u("carbon_dioxide", 2, "[ppm]"), 0x13: _u("volatile_organic_compounds", 2, "ug/m3"),
    0x14: _u("moisture", 2, "%", 100), 0x2E: _u("humidity", 1, "%"), 0x2F: _u("moisture", 1, "%"),
    0x3D: _u("count", 2), 0x3E: _u("count", 4), 0x3F: _s("rotation", 2, "deg", 10),
    0x40: _u("distance", 2, "mm"), 0x41: _u("distance", 2, "m", 10), 0x42: _u("duration", 3, "s", 1000),
    0x43: _u("current", 2, "A", 1000), 0x44: _u("speed", 2, "m/s", 100),
    0x45: _s("temperature", 2, "Cel", 10), 0x46: _u("uv_index", 1, "1", 10),
    0x47: _u("volume", 2, "L", 10), 0x48: _u("volume", 2, "mL"),
    0x49: _u("volume_flow_rate", 2, "m3/h", 1000), 0x4A: _u("voltage", 2, "V", 10),
    0x4B: _u("gas", 3, "m3", 1000), 0x4C: _u("gas", 4, "m3", 1000), 0x4D: _u("energy", 4, "kW.h", 1000),
    0x4E: _u("volume", 4, "L", 1000), 0x4F: _u("water", 4, "L", 1000), 0x50: _u("timestamp", 4, "s"),
    0x51: _u("acceleration", 2, "m/s2", 1000), 0x52: _u("gyroscope", 2, "deg/s", 1000),
    0x55: _u("volume_storage", 4, "L", 1000), 0x56: _u("conductivity", 2, "uS/cm"),
    0x57: _s("temperature", 1, "Cel"), 0x58: _s("temperature", 1, "Cel", 100, 35),
    0x59: _s("count", 1), 0x5A: _s("count", 2), 0x5B: _s("count", 4), 0x5C: _s("power", 4, "W", 100),
    0x5D: _s("current", 2, "A", 1000), 0x5E: _u("direction", 2, "deg", 100),
    0x5F: _u("precipitation", 2, "mm", 10), 0x60: _u("channel", 1),
    0x61: _u("rotational_speed", 2, "/min"), 0x62: _s("speed", 4, "m/s", 1_000_000),
    0x63: _s("acceleration", 4, "m/s2", 1_000_000), 0x64: _u("light_level", 1),
    0x65: _u("settings_revision", 1), 0xF0: _u("device_type", 2),
}  # fmt: skip

YES_OR_NO: dict[int, str] = {
    0x0F: "generic", 0x10: "power_on", 0x11: "opening", 0x15: "battery_low", 0x16: "battery_charging",
    0x17: "carbon_monoxide", 0x18: "cold", 0x19: "connectivity", 0x1A: "door", 0x1B: "garage_door",
    0x1C: "gas_detected", 0x1D: "heat", 0x1E: "light", 0x1F: "lock", 0x20: "moisture_detected",
    0x21: "motion", 0x22: "moving", 0x23: "occupancy", 0x24: "plug", 0x25: "presence", 0x26: "problem",
    0x27: "running", 0x28: "safety", 0x29: "smoke", 0x2A: "sound", 0x2B: "tamper", 0x2C: "vibration",
    0x2D: "window",
}  # fmt: skip

BUTTON, COMMAND, DIMMER, TEXT, RAW = 0x3A, 0x3B, 0x3C, 0x53, 0x54
#: A firmware version and its bytes: 00 01 02 04 is 4.2.1.0.
FIRMWARE = {0xF1: 4, 0xF2: 3}
PRESSES = {
    0x00: None, 0x01: "press", 0x02: "double_press", 0x03: "triple_press", 0x04: "long_press",
    0x05: "long_double_press", 0x06: "long_triple_press", 0x80: "hold_press",
    0x81: "hold_release",
}  # fmt: skip
COMMANDS = {0x00: "off", 0x01: "on", 0x02: "toggle", 0x03: "step_up", 0x04: "step_down"}
TURNS = {0x00: None, 0x01: "rotate_left", 0x02: "rotate_right"}

#: Every name a BTHome frame may tell; what stands several times is told as name_1, name_2 ...
NAMES = frozenset(
    {kind.name for kind in NUMBERS.values()}
    | set(YES_OR_NO.values())
    | {"button", "command", "command_args", "dimmer", "dimmer_steps", "firmware", "text", "raw"}
)


def read(object_id: int, value: bytes) -> Iterator[Field | Fault]:
    """What one object tells; a fault where its value is none that the format knows."""
    if (kind := NUMBERS.get(object_id)) is not None:
        raw = int.from_bytes(value, "little", signed=kind.signed) * kind.multiply
        yield Field(kind.name, raw if kind.divide == 1 else raw / kind.divide, kind.unit)
    elif object_id in YES_OR_NO:
        # Anything but 0 and 1 is a fault of the sender, not a door that is open.
        yield Field(YES_OR_NO[object_id], value == b"\1") if value[0] < 2 else Fault.BAD_FIELD
    elif object_id == BUTTON:
        yield (Field("button", PRESSES[value[0]]) if value[0] in PRESSES else Fault.BAD_FIELD)
    elif object_id == DIMMER:
        if value[0] not in TURNS:
            yield Fault.BAD_FIELD
            return
        yield Field("dimmer", TURNS[value[0]])
        yield Field("dimmer_steps", value[1])
    elif object_id == COMMAND:
        if value[1] not in COMMANDS:
            yield Fault.BAD_FIELD
            return
        yield Field("command", COMMANDS[value[1]])
        yield Field("command_args", value[2:].hex())
    elif object_id in FIRMWARE:
        yield Field("firmware", ".".join(str(byte) for byte in reversed(value)))
    elif object_id == RAW:
        yield Field("raw", value[1:].hex())
    else:
        try:
            yield Field("text", value[1:].decode("utf-8"))
        except UnicodeDecodeError:
            yield Fault.BAD_FIELD


def numbered(fields: list[Field]) -> tuple[Field, ...]:
    """What stands more than once gets a number: a probe with two thermometers."""
    often = {name for name, count in Counter(f.name for f in fields).items() if count > 1}
    seen: Counter[str] = Counter()
    out = []
    for field in fields:
        if field.name in often:
            seen[field.name] += 1
            field = field._replace(name=f"{field.name}_{seen[field.name]}")
        out.append(field)
    return tuple(out)
