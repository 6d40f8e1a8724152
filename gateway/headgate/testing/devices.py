"""Devices for tests, as the core would hand them to a driver."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from headgate.envelope.payload import encode_table
from headgate.sdk import Device, DevicePoint, Point, PointTable

Plain = str | int | float | bool


def make_device(
    points: Sequence[Point | DevicePoint] = (Point("value", "u16"),),
    *,
    name: str = "device-1",
    number: int = 1,
    address: str | int = 1,
    channel: str = "line",
    params: Mapping[str, Plain] | None = None,
    quirks: Mapping[str, Plain] | None = None,
    labels: Mapping[str, str] | None = None,
    firmware: str | None = None,
    interval_us: int | None = 1_000_000,
) -> Device:
    """A device with these points. A bare `Point` gets an empty `source`.

    The table's name is 32 bytes that follow from its content, as in the gateway; they are no SM3, so
    that a vendor's tests need no SM library.
    """
    held = tuple(p if isinstance(p, DevicePoint) else DevicePoint(p) for p in points)
    table = PointTable(
        number=number,
        device=name,
        points=tuple(p.point for p in held),
        labels=dict(labels or {}),
        firmware=firmware,
        interval_us=interval_us,
    )
    return Device(
        id=name,
        number=number,
        channel=channel,
        address=address,
        points=held,
        table=table,
        table_hash=zlib.crc32(encode_table(table)).to_bytes(32, "big"),
        labels=dict(labels or {}),
        firmware=firmware,
        params=dict(params or {}),
        quirks=dict(quirks or {}),
        interval_us=interval_us,
    )
