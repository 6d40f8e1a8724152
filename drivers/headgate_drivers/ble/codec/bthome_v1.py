"""BTHome of version 1: service data 181C in plain, 181E sealed; older firmware of many thermometers.

Each object says its own length and encoding in a byte before its number. Source: bthome.io/v1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from headgate_drivers.ble.codec.bthome_objects import BUTTON, DIMMER, NUMBERS, TEXT, numbered, read
from headgate_drivers.ble.codec.bthome_objects import YES_OR_NO as FLAGS
from headgate_drivers.ble.codec.told import Fault, Field, Told, refused
from headgate_drivers.ble.sealing import TAG_SIZE, opened

PLAIN_SERVICE, SEALED_SERVICE = "181c", "181e"

_COUNTER_SIZE = 4
_UUID_BYTES = bytes.fromhex("1E18")
_AAD = b"\x11"
_UNSIGNED, _SIGNED, _FLOAT, _TEXT, _, _TIME = range(6)
_FLOATS = {2: "<e", 4: "<f", 8: "<d"}


def plain(data: bytes, address: bytes = b"", key: bytes | None = None) -> Told:
    """Service data 181C. A device that has a key is not believed in plain."""
    if not data:
        return refused(Fault.TRUNCATED)
    return refused(Fault.NOT_SUPPORTED) if key is not None else _objects(data)


def sealed(data: bytes, address: bytes = b"", key: bytes | None = None) -> Told:
    """Service data 181E: sealed objects, a counter, a tag. `address` is written big end first."""
    if len(data) <= _COUNTER_SIZE + TAG_SIZE:
        return refused(Fault.TRUNCATED)
    counter, tag = data[-_COUNTER_SIZE - TAG_SIZE : -TAG_SIZE], data[-TAG_SIZE:]
    if key is None or len(address) != 6:
        return refused(Fault.BAD_CHECKSUM)
    ciphertext = data[: -_COUNTER_SIZE - TAG_SIZE]
    body = opened(key, address + _UUID_BYTES + counter, ciphertext + tag, _AAD)
    if body is None:
        return refused(Fault.BAD_CHECKSUM)
    return _objects(body)._replace(counter=int.from_bytes(counter, "little"))


def _objects(body: bytes) -> Told:
    fields: list[Field] = []
    at = 0
    while at < len(body):
        size, encoding = body[at] & 0x1F, body[at] >> 5
        part = body[at + 1 : at + 1 + size]
        if size < 2:
            return Told(numbered(fields), Fault.BAD_LENGTH)
        if len(part) < size:
            return Told(numbered(fields), Fault.TRUNCATED)
        for told in _read(part[0], encoding, part[1:]):
            if isinstance(told, Field):
                fields.append(told)
            elif told is not Fault.NOT_SUPPORTED:
                return Told(numbered(fields), told)
            # An object nobody knows says how long it is: what follows it is still good.
        at += 1 + size
    return Told(numbered(fields))


def _read(number: int, encoding: int, value: bytes) -> Iterator[Field | Fault]:
    kind = NUMBERS.get(number)
    if ((number in FLAGS or number == BUTTON) and len(value) == 1) or (
        number == DIMMER and len(value) == 2
    ):
        yield from read(number, value)
    elif encoding == _TEXT and number == TEXT:
        yield from read(number, bytes([len(value)]) + value)
    elif kind is None:
        yield Fault.NOT_SUPPORTED
    elif encoding in (_UNSIGNED, _SIGNED, _TIME) and len(value) <= 8:
        raw: float = int.from_bytes(value, "little", signed=encoding == _SIGNED)
        raw *= kind.multiply
        yield Field(kind.name, raw if kind.divide == 1 else raw / kind.divide, kind.unit)
    elif encoding == _FLOAT and len(value) in _FLOATS:
        (raw,) = struct.unpack(_FLOATS[len(value)], value)
        raw *= kind.multiply
        yield Field(kind.name, raw / kind.divide, kind.unit)
    else:
        yield Fault.NOT_SUPPORTED
