"""BTHome v2 service data (UUID FCD2), plain and sealed. Source: bthome.io/format and /encryption."""

from __future__ import annotations

from collections.abc import Iterator

from headgate_drivers.ble.codec.bthome_objects import (
    BUTTON,
    COMMAND,
    DIMMER,
    FIRMWARE,
    NAMES,
    NUMBERS,
    RAW,
    TEXT,
    YES_OR_NO,
    numbered,
    read,
)
from headgate_drivers.ble.codec.told import Fault, Field, Told, refused
from headgate_drivers.ble.sealing import TAG_SIZE, opened

__all__ = ["NAMES", "SERVICE", "decode"]

SERVICE = "fcd2"

_SEALED, _HAS_ADDRESS = 0x01, 0x02
_VERSION = 2
_COUNTER_SIZE = 4
_UUID_BYTES = bytes.fromhex("D2FC")


def decode(data: bytes, address: bytes = b"", key: bytes | None = None) -> Told:
    """What one frame tells.

    Args:
        data: the service data after its UUID.
        address: the sender's six bytes as they are written (`A4 C1 38 ...`); needed for sealed frames.
        key: the device's bind key. A device that has one is not believed in plain.
    """
    if not data:
        return refused(Fault.TRUNCATED)
    info = data[0]
    if info >> 5 != _VERSION:
        return refused(Fault.NOT_SUPPORTED)
    body = data[1:]
    if info & _HAS_ADDRESS:
        if len(body) < 6:
            return refused(Fault.TRUNCATED)
        address, body = body[5::-1], body[6:]
    if not info & _SEALED:
        if key is not None:
            return refused(Fault.NOT_SUPPORTED)
        return _objects(body)
    if len(body) <= _COUNTER_SIZE + TAG_SIZE:
        return refused(Fault.TRUNCATED)
    if key is None:
        return refused(Fault.BAD_CHECKSUM)
    ciphertext = body[: -_COUNTER_SIZE - TAG_SIZE]
    counter, tag = body[-_COUNTER_SIZE - TAG_SIZE : -TAG_SIZE], body[-TAG_SIZE:]
    nonce = address + _UUID_BYTES + bytes([info]) + counter
    plain = opened(key, nonce, ciphertext + tag) if len(address) == 6 else None
    if plain is None:
        return refused(Fault.BAD_CHECKSUM)
    return _objects(plain)._replace(counter=int.from_bytes(counter, "little"))


def _objects(body: bytes) -> Told:
    fields: list[Field] = []
    fault = None
    for told in _walk(body):
        if isinstance(told, Fault):
            fault = told
        else:
            fields.append(told)
    return Told(numbered(fields), fault)


def _walk(body: bytes) -> Iterator[Field | Fault]:
    """Objects in order; the first that cannot be read is the last word."""
    at = 0
    while at < len(body):
        object_id = body[at]
        size = _size(object_id, body[at + 1 : at + 2])
        if size is None:
            yield Fault.NOT_SUPPORTED
            return
        value = body[at + 1 : at + 1 + size]
        if len(value) < size:
            yield Fault.TRUNCATED
            return
        for told in read(object_id, value):
            yield told
            if isinstance(told, Fault):
                return
        at += 1 + size


def _size(object_id: int, following: bytes) -> int | None:
    if object_id in NUMBERS:
        return NUMBERS[object_id].size
    if object_id in YES_OR_NO or object_id == BUTTON:
        return 1
    if object_id == DIMMER:
        return 2
    if object_id in (TEXT, RAW):
        return 1 + (following[0] if following else 0)
    if object_id == COMMAND:
        # Five bits say how many arguments follow the command, three are for later.
        return 2 + (following[0] & 0x1F if following else 0)
    return FIRMWARE.get(object_id)
