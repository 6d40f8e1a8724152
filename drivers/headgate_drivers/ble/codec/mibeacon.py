"""MiBeacon service data (UUID FE95), plain and sealed as of versions 4 and 5.

Source: Mi Beacon protocol as published for developers (frame control, object list); object numbers and
their encodings were checked against recorded frames. Sealed frames of versions 2 and 3 are not supported.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from headgate_drivers.ble.codec.told import Fault, Field, Told, refused
from headgate_drivers.ble.sealing import TAG_SIZE, opened

SERVICE = "fe95"

_SEALED, _HAS_ADDRESS, _HAS_CAPABILITY, _HAS_OBJECT = 0x0008, 0x0010, 0x0020, 0x0040
_CAPABILITY_IO = 0x20
_AAD = b"\x11"
_COUNTER_SIZE = 3

NAMES = frozenset(
    {
        "packet_counter", "mac", "temperature", "humidity", "battery", "illuminance", "moisture",
        "conductivity", "formaldehyde", "moisture_detected", "smoke", "door", "door_action", "opening",
        "motion", "motion_timer", "no_motion_time", "idle_time", "light", "consumable", "occupancy",
        "bed_occupancy", "pressure_present_duration", "battery_low", "button",
    }
)  # fmt: skip


def decode(data: bytes, address: bytes = b"", key: bytes | None = None) -> Told:
    """What one frame tells; arguments as of BTHome's `decode`."""
    if len(data) < 5:
        return refused(Fault.TRUNCATED)
    control = int.from_bytes(data[:2], "little")
    product, number = data[2:4], data[4]
    at = 5
    head = [Field("packet_counter", number)]
    if control & _HAS_ADDRESS:
        if len(data) < at + 6:
            return refused(Fault.TRUNCATED)
        address = data[at : at + 6][::-1]
        head.append(Field("mac", address.hex()))
        at += 6
    if control & _HAS_CAPABILITY:
        if len(data) < at + 1:
            return refused(Fault.TRUNCATED)
        at += 3 if data[at] & _CAPABILITY_IO else 1
    if not control & _SEALED:
        if key is not None and control & _HAS_OBJECT:
            return refused(Fault.NOT_SUPPORTED)
        return _told(head, data[at:] if control & _HAS_OBJECT else b"")
    if control >> 12 < 4:
        return refused(Fault.NOT_SUPPORTED)
    if len(data) <= at + _COUNTER_SIZE + TAG_SIZE:
        return refused(Fault.TRUNCATED)
    if key is None or len(address) != 6:
        return refused(Fault.BAD_CHECKSUM)
    counter, tag = data[-_COUNTER_SIZE - TAG_SIZE : -TAG_SIZE], data[-TAG_SIZE:]
    nonce = address[::-1] + product + bytes([number]) + counter
    plain = opened(key, nonce, data[at : -_COUNTER_SIZE - TAG_SIZE] + tag, _AAD)
    if plain is None:
        return refused(Fault.BAD_CHECKSUM)
    # The frame counter of one byte runs beside it, so one number seals several different frames.
    counted = int.from_bytes(counter, "little")
    return _told(head, plain)._replace(counter=counted, counter_shared=True)


def _told(head: list[Field], body: bytes) -> Told:
    fields = list(head)
    at = 0
    while at < len(body):
        if len(body) < at + 3:
            # Some fill up behind their only object, with less than another one begins with.
            return Told(tuple(fields), None if at else Fault.TRUNCATED)
        number, size = int.from_bytes(body[at : at + 2], "little"), body[at + 2]
        value = body[at + 3 : at + 3 + size]
        if len(value) < size:
            return Told(tuple(fields), Fault.TRUNCATED)
        found = list(_object(number, value))
        if not found:
            # Its length is known, but not what it means: what follows still is.
            return Told(tuple(fields), Fault.NOT_SUPPORTED)
        fields += found
        at += 3 + size
    return Told(tuple(fields))


_TENTHS = {0x1004: ("temperature", "Cel", True), 0x1006: ("humidity", "%", False)}
_WHOLE = {
    0x100A: ("battery", "%"), 0x1007: ("illuminance", "lx"), 0x1008: ("moisture", "%"),
    0x1009: ("conductivity", "uS/cm"), 0x1013: ("consumable", "%"), 0x1017: ("idle_time", "s"),
    0x4803: ("battery", "%"), 0x4A03: ("battery", "%"), 0x4C02: ("humidity", "%"),
    0x4C03: ("battery", "%"), 0x5003: ("battery", "%"), 0x5403: ("battery", "%"),
    0x4802: ("humidity", "%"), 0x6012: ("humidity", "%"), 0x483D: ("pressure_present_duration", "s"),
}  # fmt: skip
_FLOATS = {
    0x4801: ("temperature", "Cel"), 0x4C01: ("temperature", "Cel"), 0x4808: ("humidity", "%"),
    0x4C08: ("humidity", "%"), 0x4805: ("illuminance", "lx"),
}  # fmt: skip
_YES_OR_NO = {
    0x1014: "moisture_detected", 0x1015: "smoke", 0x1018: "light", 0x4806: "moisture_detected",
    0x484E: "occupancy", 0x4A01: "battery_low", 0x4E01: "battery_low", 0x5601: "battery_low",
}  # fmt: skip
#: 1 is open or somebody, 2 is closed or nobody.
_ONE_OR_TWO = {0x4804: "opening", 0x4A12: "opening", 0x5A16: "bed_occupancy"}
#: Events without a value; the only key of a device has them by number.
_HOW = ("single press", "double press", "long press")
_PRESSED = {
    0x4A0C: _HOW[0], 0x4A0D: _HOW[1], 0x4A0E: _HOW[2],
    0x4E0C: _HOW[0], 0x4E0D: _HOW[1], 0x4E0E: _HOW[2],
}  # fmt: skip
_DOOR_ACTIONS = (
    "open the door", "close the door", "door not closed in time", "knock on the door",
    "break the door", "door stuck",
)  # fmt: skip


def _object(number: int, value: bytes) -> Iterator[Field]:
    """What one object tells; nothing for an unknown one."""
    raw = int.from_bytes(value, "little")
    if number in _TENTHS and len(value) == 2:
        name, unit, signed = _TENTHS[number]
        yield Field(name, int.from_bytes(value, "little", signed=signed) / 10, unit)
    elif number == 0x100D and len(value) == 4:
        yield Field("temperature", int.from_bytes(value[:2], "little", signed=True) / 10, "Cel")
        yield Field("humidity", int.from_bytes(value[2:], "little") / 10, "%")
    elif number == 0x1010 and len(value) == 2:
        yield Field("formaldehyde", raw / 100, "mg/m3")
    elif number in _FLOATS and len(value) == 4:
        name, unit = _FLOATS[number]
        yield Field(name, struct.unpack("<f", value)[0], unit)
    elif number == 0x000A and len(value) == 2 and raw:  # of a body
        yield Field("temperature", raw / 100, "Cel")
    elif number in _WHOLE and 1 <= len(value) <= 4:
        name, unit = _WHOLE[number]
        yield Field(name, raw, unit)
    elif number in _YES_OR_NO and len(value) == 1:
        yield Field(_YES_OR_NO[number], raw != 0)
    elif number == 0x0007 and value and value[0] < len(_DOOR_ACTIONS):
        # 1 is closed; everything else leaves it open.
        yield Field("door", value[0] != 1)
        yield Field("door_action", _DOOR_ACTIONS[value[0]])
    elif number in _ONE_OR_TWO and len(value) == 1 and raw in (1, 2):
        yield Field(_ONE_OR_TWO[number], raw == 1)
    elif number == 0x5A16 and raw == 3:
        yield Field("button", "double press")
    elif number == 0x1001 and len(value) == 3 and not any(value[:2]) and value[2] < len(_HOW):
        yield Field("button", _HOW[value[2]])
    elif number in _PRESSED and not value:
        yield Field("button", _PRESSED[number])
    elif number == 0x4818 and len(value) == 2:
        yield Field("motion", raw == 0)
        yield Field("no_motion_time", raw, "s")
    elif number == 0x4A08 and len(value) == 4:
        yield Field("motion", True)
        yield Field("motion_timer", 1)
        yield Field("illuminance", struct.unpack("<f", value)[0], "lx")
    elif number == 0x0003 and len(value) == 1:
        yield Field("motion", True)
        yield Field("motion_timer", 1)
    elif number == 0x000F and len(value) == 3:
        yield Field("motion", True)
        yield Field("motion_timer", 1)
        yield Field("illuminance", raw, "lx")
