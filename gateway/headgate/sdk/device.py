"""Devices as a driver sees them: identity, address, points, and how to make a block of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from headgate import columns
from headgate.model import Block, Column, Point, PointTable, Quality, Status, Value, status_word

T = TypeVar("T")


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

    def quirk(self, key: str, usual: str) -> str:
        """A quirk as text; a truth as "yes" or "no"."""
        value = self.quirks.get(key, usual)
        return ("no", "yes")[value] if isinstance(value, bool) else str(value)

    def bare(self) -> Device:
        """The same without its points: to ask who it is, or whether it is there."""
        table = msgspec.structs.replace(self.table, points=())
        return msgspec.structs.replace(self, points=(), table=table)

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

    def partial(
        self,
        at_us: int,
        told: Mapping[str, tuple[Value, Quality, int]],
        *,
        offsets_us: Mapping[str, int] | None = None,
        device_time_us: int | None = None,
    ) -> Block:
        """A block that speaks of the points in `told` only: raw value, quality, status word of each.

        A value of None is bad, and `NOT_READ` where its status word says nothing. `offsets_us` says how
        long after `at_us` (before: negative) a point's value was true. Names the device does not have are
        left out.
        """
        spoken = [i for i, p in enumerate(self.points) if p.point.name in told]
        qualities, statuses, filled = bytearray(), bytearray(), []
        for kind, first, count in self.table.runs():
            blank: Value = "" if kind == "text" else b"" if kind == "bytes" else 0
            values: list[Value] = []
            for index in spoken:
                if not first <= index < first + count:
                    continue
                raw, quality, status = told[self.points[index].point.name]
                if raw is None:
                    quality, status = Quality.BAD, status or status_word(Status.NOT_READ)
                values.append(blank if raw is None else raw)
                qualities.append(quality)
                statuses += status.to_bytes(2, "big")
            if values:
                filled.append(columns.pack(kind, values))
        offsets = None
        if offsets_us is not None and any(offsets_us.values()):
            names = [self.points[index].point.name for index in spoken]
            offsets = b"".join(
                offsets_us.get(name, 0).to_bytes(8, "big", signed=True) for name in names
            )
        presence = None
        if len(spoken) < len(self.points):
            bits = sum(1 << index for index in spoken)
            presence = bits.to_bytes((len(self.points) + 7) // 8, "little")
        return Block(
            device=self.number,
            table=self.table_hash,
            at_us=at_us,
            columns=tuple(filled),
            quality=bytes(qualities) if any(qualities) else None,
            status=bytes(statuses) if any(statuses) else None,
            presence=presence,
            offsets_us=offsets,
            device_time_us=device_time_us,
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


def once_for_each(work: Callable[[Device], T]) -> Callable[[Device], T]:
    """What is made of a device, made once: a device never changes, another one takes its place."""
    made: dict[str, tuple[Device, T]] = {}

    def cached(device: Device) -> T:
        found = made.get(device.id)
        if found is None or found[0] is not device:
            found = made[device.id] = device, work(device)
        return found[1]

    cached.__doc__ = work.__doc__
    return cached
