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
        "motion", "motion_timer", "idle_time", "light", "consumable",
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
            return Told(tuple(fields), Fault.TRUNCATED)
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
}  # fmt: skip
_YES_OR_NO = {
    0x1014: "moisture_detected", 0x1015: "smoke", 0x1018: "light", 0x4806: "moisture_detected",
    0x4818: "motion",
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
    elif number == 0x4C01 and len(value) == 4:
        yield Field("temperature", struct.unpack("<f", value)[0], "Cel")
    elif number in _WHOLE and 1 <= len(value) <= 4:
        name, unit = _WHOLE[number]
        yield Field(name, raw, unit)
    elif number in _YES_OR_NO and len(value) == 1:
        yield Field(_YES_OR_NO[number], raw != 0)
    elif number == 0x0007 and value and value[0] < len(_DOOR_ACTIONS):
        # 1 is closed; everything else leaves it open.
        yield Field("door", value[0] != 1)
        yield Field("door_action", _DOOR_ACTIONS[value[0]])
    elif number == 0x4A12 and len(value) == 1 and raw in (1, 2):
        yield Field("opening", raw == 1)
    elif number == 0x4A08 and len(value) == 4:
        yield Field("motion", True)
        yield Field("motion_timer", 1)
        yield Field("illuminance", struct.unpack("<f", value)[0], "lx")
    elif number == 0x0003 and len(value) == 1:
        yield Field("motion", True)
    elif number == 0x000F and len(value) == 3:
        yield Field("motion", True)
        yield Field("illuminance", raw, "lx")
