"""A device of any points, without a profile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from headgate.model import Access, Point, PointTable
from headgate.sdk import Device, DevicePoint

COLUMNS = {
    "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64", "int64": "i64",
    "float32": "f32", "float64": "f64", "bool": "bool", "text": "text", "bits": "u16",
    "bcd16": "u16", "bcd32": "u32", "bcd64": "u64",
    "uint8_high": "u16", "uint8_low": "u16", "int8_high": "i16", "int8_low": "i16",
}  # fmt: skip

MakeDevice = Callable[..., Device]


def make(*points: dict[str, Any], **more: Any) -> Device:
    """A device with one point per dict of source keys; `name`, `column` and `access` may be among them."""
    made = []
    for index, given in enumerate(points):
        source = dict(given)
        name = source.pop("name", f"p{index}")
        column = source.pop("column", None) or COLUMNS[source.get("type", "uint16")]
        access = Access(source.pop("access", "r"))
        made.append(DevicePoint(Point(name, column, access=access), source))
    table = PointTable(1, more.get("id", "d1"), tuple(p.point for p in made))
    digest = hashlib.sha256(msgspec.msgpack.encode(table)).digest()
    settings: dict[str, Any] = {
        "id": "d1", "number": 1, "channel": "c1", "address": 1, "retries": 0, **more
    }  # fmt: skip
    return Device(points=tuple(made), table=table, table_hash=digest, **settings)
