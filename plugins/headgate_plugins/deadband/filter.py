"""What a device last sent, and whether that still holds. Pure.

A point has moved when it differs from what was last *sent* by more than its deadband (so a slow drift
passes as soon as it adds up), or when its quality or status changed. Comparison is made on raw values
where the conversion is linear: that is the same question, without converting a value per look.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from headgate.sdk import (
    Block,
    Column,
    Linear,
    Point,
    PointTable,
    Quality,
    Value,
    convert,
    pack,
    raw_values,
)

#: A device that names other points in every look is not followed without end.
_MOST_SHAPES = 256

Moved = Callable[[Value, Value], bool]
Send = Literal["block", "points"]
Unchanged = Literal["mark", "drop"]


class Filter:
    """One device's step.

    Args:
        table: what its blocks mean.
        bands: deadband of each point in its unit; None: any change counts.
        at_least_us: a look passes whole at least this often.
        send: when a point moved, the whole block or the moved points only.
        unchanged: when none did, a look that names no point, or nothing at all.
    """

    def __init__(
        self,
        table: PointTable,
        bands: Sequence[float | None],
        at_least_us: int,
        send: Send,
        unchanged: Unchanged,
    ) -> None:
        self._table = table
        self._moved = [moved(point, band) for point, band in zip(table.points, bands, strict=True)]
        self._at_least_us = at_least_us
        self._send, self._unchanged = send, unchanged
        self._nothing = bytes((len(table.points) + 7) // 8)
        self._sent: dict[int, tuple[Value, int, int]] = {}
        # When a look at these points (None: all) last passed as it was.
        self._whole_us: dict[bytes | None, int] = {}
        # The block last looked at, when nothing in it had moved: the common case, told by its bytes.
        self._same: Block | None = None

    def step(self, block: Block) -> Sequence[Block]:
        """What goes on of one look."""
        if block.columns is None:
            # A look that failed says so each time: it is small, and somebody counts it.
            self._sent.clear()
            self._same = None
            return (block,)
        whole_us = self._whole_us.get(block.presence)
        if whole_us is None or block.at_us - whole_us >= self._at_least_us:
            return self._pass(block, self._looked(block))
        same = self._same
        if same is not None and _alike(same, block):
            return self._nothing_moved(block)
        looked = self._looked(block)
        moved = [entry for entry in looked if self._has_moved(entry)]
        if not moved:
            self._same = block
            return self._nothing_moved(block)
        if self._send == "block" or len(moved) == len(looked):
            return self._pass(block, looked)
        self._same = None
        self._remember(moved)
        return (self._subset(block, moved, looked),)

    def _pass(self, block: Block, looked: list[_Entry]) -> Sequence[Block]:
        if len(self._whole_us) > _MOST_SHAPES:
            self._whole_us.clear()
        self._whole_us[block.presence] = block.at_us
        self._remember(looked)
        self._same = block
        return (block,)

    def _nothing_moved(self, block: Block) -> Sequence[Block]:
        if self._unchanged == "drop":
            return ()
        return (
            msgspec.structs.replace(
                block,
                columns=(),
                quality=None,
                status=None,
                presence=self._nothing,
                offsets_us=None,
            ),
        )

    def _looked(self, block: Block) -> list[_Entry]:
        pairs = raw_values(block, self._table)
        count = len(pairs)
        qualities = _spread(block.quality, 1, count)
        statuses = _spread(block.status, 2, count)
        return [
            _Entry(place, index, raw, quality, status)
            for place, ((index, raw), quality, status) in enumerate(
                zip(pairs, qualities, statuses, strict=True)
            )
        ]

    def _has_moved(self, entry: _Entry) -> bool:
        last = self._sent.get(entry.index)
        if last is None:
            return True
        raw, quality, status = last
        if (quality, status) != (entry.quality, entry.status):
            return True
        # The value of a bad point means nothing, so nothing moves.
        return entry.quality < Quality.BAD and self._moved[entry.index](raw, entry.raw)

    def _remember(self, entries: list[_Entry]) -> None:
        for entry in entries:
            self._sent[entry.index] = (entry.raw, entry.quality, entry.status)

    def _subset(self, block: Block, moved: list[_Entry], looked: list[_Entry]) -> Block:
        presence = bytearray(self._nothing)
        for entry in moved:
            presence[entry.index >> 3] |= 1 << (entry.index & 7)
        columns: list[Column] = []
        for kind, first, count in self._table.runs():
            values = [e.raw for e in moved if first <= e.index < first + count]
            if values:
                columns.append(pack(kind, values))
        offsets = block.offsets_us
        if offsets is not None:
            offsets = b"".join(offsets[8 * e.place : 8 * e.place + 8] for e in moved)
        good = not any(e.quality or e.status for e in moved)
        return msgspec.structs.replace(
            block,
            columns=tuple(columns),
            presence=bytes(presence),
            quality=None if good else bytes(e.quality for e in moved),
            status=None if good else struct.pack(f">{len(moved)}H", *(e.status for e in moved)),
            offsets_us=offsets,
        )


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """One present point of a look; `place` counts among the present ones."""

    place: int
    index: int
    raw: Value
    quality: int
    status: int


def moved(point: Point, band: float | None) -> Moved:
    """Whether a raw value has left the deadband around the one before it."""
    if band is None or band == 0.0 or point.type in ("text", "bytes", "bool"):
        return _differs
    conversion = point.conversion
    if conversion is None:
        return _beyond(band)
    if isinstance(conversion, Linear) and conversion.multiply != 0.0:
        return _beyond(abs(band * conversion.divide / conversion.multiply))

    def converted(before: Value, now: Value) -> bool:
        one, other = convert(conversion, before), convert(conversion, now)
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
            return one is not other
        return abs(other - one) > band

    return converted


def _beyond(band: float) -> Moved:
    def beyond(before: Value, now: Value) -> bool:
        assert isinstance(before, (int, float))
        assert isinstance(now, (int, float))
        if before != before or now != now:
            return (before == before) != (now == now)
        return abs(now - before) > band

    return beyond


def _differs(before: Value, now: Value) -> bool:
    both_nan = before != before and now != now
    return before != now and not both_nan


def _alike(one: Block, other: Block) -> bool:
    return (
        one.columns == other.columns
        and one.quality == other.quality
        and one.status == other.status
        and one.presence == other.presence
    )


def _spread(packed: bytes | None, width: int, count: int) -> Sequence[int]:
    if packed is None:
        return [0] * count
    values: Sequence[int] = packed if width == 1 else struct.unpack(f">{len(packed) // 2}H", packed)
    return [values[0]] * count if len(values) == 1 else values
