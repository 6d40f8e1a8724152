"""Devices as a driver sees them: identity, address, points, and how to make a block of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate import columns
from headgate.model import Block, Column, Point, PointTable, Quality, Status, Value, status_word


class DevicePoint(msgspec.Struct, frozen=True):
    """One point of this device: what is announced, and where the driver finds it.

    `source` holds the driver's own keys from the profile (for Modbus: register, area, encoding, word
    order). `sentinels` are raw values that mean "no value"; `raw_range` is what the raw value may be
    before it is out of range (derived from the point's range).
    """

    point: Point
    source: dict[str, str | int | float | bool | None] = {}
    sentinels: tuple[int | float, ...] = ()
    raw_range: tuple[float | None, float | None] | None = None


class Device(msgspec.Struct, frozen=True):
    """One physical unit at one place, with its profile resolved. Crosses to plugin hosts as it is."""

    id: str
    number: int
    channel: str
    address: str | int
    points: tuple[DevicePoint, ...]
    table: PointTable
    #: SM3 of the table's msgpack bytes: what blocks name it by.
    table_hash: bytes
    name: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str | None = None
    profile: str = ""
    labels: dict[str, str] = {}
    params: dict[str, str | int | float | bool] = {}
    quirks: dict[str, str | int | float | bool] = {}
    interval_us: int | None = None
    timeout_s: float = 1.0
    retries: int = 1
    #: Where it may tell its firmware, in the order to try: the driver's own keys, and `format`.
    identify: tuple[dict[str, str | int | float | bool], ...] = ()

    def block(self, at_us: int, raw: Mapping[str, Value]) -> Block:
        """A block of raw values by point name. Points not named, or None, are bad: not read.

        For drivers that bring a few values; the fast ones build columns themselves.
        """
        statuses = [
            status_word(Status.NOT_READ) if raw.get(p.point.name) is None else 0
            for p in self.points
        ]
        filled: list[Column] = []
        for kind, first, count in self.table.runs():
            blank: Value = "" if kind == "text" else b"" if kind == "bytes" else 0
            values = [raw.get(p.point.name) for p in self.points[first : first + count]]
            filled.append(columns.pack(kind, [blank if v is None else v for v in values]))
        good = not any(statuses)
        return Block(
            device=self.number,
            table=self.table_hash,
            at_us=at_us,
            columns=tuple(filled),
            quality=None if good else bytes(Quality.BAD if s else Quality.GOOD for s in statuses),
            status=None if good else b"".join(s.to_bytes(2, "big") for s in statuses),
        )

    def failed(self, at_us: int, status: Status, detail: int = 0) -> Block:
        """The block of a look that brought nothing: every point bad, and why."""
        return Block(
            device=self.number,
            table=self.table_hash,
            at_us=at_us,
            quality=bytes([Quality.BAD]),
            status=status_word(status, detail).to_bytes(2, "big"),
        )
