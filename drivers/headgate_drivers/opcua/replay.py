"""Recorded values as a device, for profile cases. Pure.

A case names a point by its path or node id and gives the DataValue that the server answered, as it stands
on the wire: OPC 10000-6, sections 5.2.2.16 (Variant) and 5.2.2.17 (DataValue).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from headgate.sdk import Block, Device, ProtocolError
from headgate_drivers.opcua.looks import Notice, whole
from headgate_drivers.opcua.places import layout_of
from headgate_drivers.opcua.status import NO_NODE

#: Type id of the scalars a point can hold, and their `struct` letter.
_SCALARS = {
    1: "?",
    2: "b",
    3: "B",
    4: "h",
    5: "H",
    6: "i",
    7: "I",
    8: "q",
    9: "Q",
    10: "f",
    11: "d",
}
_STRING, _BYTES, _ARRAY = 12, 15, 0x80
_VALUE, _STATUS = 0x01, 0x02


def replayed(device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
    """The block of a look in which the server answered `frames`; what is not among them is not there."""
    recorded = {asked.decode("utf-8", "replace"): answer for asked, answer in frames}
    notices = []
    for place, point in zip(layout_of(device).places, device.points, strict=True):
        asked = str(point.source.get("path") or point.source.get("node"))
        code, value = NO_NODE, None
        if asked in recorded:
            code, value = data_value(recorded[asked])
        notices.append(Notice(place, code, value, None))
    return whole(device, notices, 0)


def data_value(data: bytes) -> tuple[int, object]:
    """(status code, value) of an encoded DataValue; its timestamps are not looked at.

    Raises:
        ProtocolError: it is cut off, or holds what no point can.
    """
    try:
        mask, at, value, code = data[0], 1, None, 0
        if mask & _VALUE:
            value, at = _variant(data, at)
        if mask & _STATUS:
            (code,) = struct.unpack_from("<I", data, at)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a DataValue: {data[:40].hex(' ')}") from error
    return code, value


def _variant(data: bytes, at: int) -> tuple[object, int]:
    kind, at = data[at], at + 1
    if not kind & _ARRAY:
        return _scalar(data, at, kind)
    (count,) = struct.unpack_from("<i", data, at)
    values, at = [], at + 4
    for _ in range(min(max(count, 0), len(data))):
        value, at = _scalar(data, at, kind & 0x3F)
        values.append(value)
    return values, at


def _scalar(data: bytes, at: int, kind: int) -> tuple[object, int]:
    if kind in (_STRING, _BYTES):
        (size,) = struct.unpack_from("<i", data, at)
        if size < 0:
            return None, at + 4
        raw = data[at + 4 : at + 4 + size]
        if len(raw) < size:
            raise IndexError
        return (raw.decode() if kind == _STRING else raw), at + 4 + size
    if kind == 0:
        return None, at
    if kind not in _SCALARS:
        raise ProtocolError(f"a variant of type {kind} is no point's value")
    (value,) = struct.unpack_from("<" + _SCALARS[kind], data, at)
    return value, at + struct.calcsize(_SCALARS[kind])
