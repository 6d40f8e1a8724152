"""OPC UA without a wire: a device as a profile makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headgate.model import Point, PointTable
from headgate.sdk import Access, Device, DevicePoint


def make(
    *points: dict[str, Any],
    address: str = "/Station",
    quirks: dict[str, Any] | None = None,
) -> Device:
    """A device of points `{"name", "type", "access", ...the driver's keys}`."""
    made = []
    for index, given in enumerate(points):
        source = dict(given)
        name = source.pop("name", f"p{index}")
        kind = source.pop("type", "f64")
        access = Access(source.pop("access", "r"))
        made.append(DevicePoint(Point(name, kind, access=access), source))
    table = PointTable(1, "station", tuple(p.point for p in made))
    return Device(
        id="station", number=1, channel="c", address=address, points=tuple(made), table=table,
        table_hash=bytes(32), quirks={"namespace": "urn:x"} if quirks is None else quirks,
    )  # fmt: skip


@pytest.fixture
def device() -> Callable[..., Device]:
    return make
