"""Columns to values and back: where a block meets readings, and nowhere else.

The arithmetic of conversions is exact and specified in docs/reference/uplink.md, section "Conversions":
every platform that follows it gets the same binary64 bits.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from headgate.model import (
    FORMAT,
    WIDTH,
    BitField,
    Block,
    Column,
    Conversion,
    Linear,
    Lookup,
    PointTable,
    Polynomial,
    Quality,
    Reading,
    Status,
    Value,
    status_word,
)


def convert(conversion: Conversion | None, raw: Value) -> Value:
    """The engineering value of one raw value; None when the conversion has no answer for it.

    Text, bytes and booleans pass unchanged; without a conversion, integers stay integers.
    """
    if raw is None or isinstance(raw, (str, bytes, bool)):
        return raw
    if conversion is None:
        return raw if isinstance(raw, int) or math.isfinite(raw) else None
    if isinstance(conversion, BitField):
        return (int(raw) >> conversion.shift) & ((1 << conversion.width) - 1)
    x = float(raw)
    if not math.isfinite(x):
        return None
    if isinstance(conversion, Linear):
        value = x * conversion.multiply / conversion.divide + conversion.offset
    elif isinstance(conversion, Polynomial):
        value = 0.0
        for coefficient in reversed(conversion.coefficients):
            value = value * x + coefficient
    else:
        return _look_up(conversion, x)
    return value if math.isfinite(value) else None


def _look_up(table: Lookup, x: float) -> float | None:
    after = bisect_right(table.points, x, key=lambda pair: pair[0])
    if after == 0:
        return None
    x0, y0 = table.points[after - 1]
    if x == x0 or table.between == "step":
        return y0
    if after == len(table.points) or table.between == "exact":
        return None
    x1, y1 = table.points[after]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def pack(kind: str, values: Sequence[Value]) -> Column:
    """One column of `values`. Raises struct.error when a value does not fit the type."""
    if kind == "text":
        return tuple(str(v) for v in values)
    if kind == "bytes":
        return tuple(v if isinstance(v, bytes) else b"" for v in values)
    return struct.pack(f">{len(values)}{FORMAT[kind]}", *values)


def unpack(kind: str, column: Column) -> tuple[Value, ...]:
    """The raw values of one column. Raises ValueError when its size does not fit the type."""
    if kind in ("text", "bytes"):
        if isinstance(column, bytes):
            raise ValueError(f"a {kind} column must be a list")
        return tuple(column)
    if not isinstance(column, bytes) or len(column) % WIDTH[kind]:
        raise ValueError(f"a {kind} column must be packed bytes, {WIDTH[kind]} a value")
    return struct.unpack(f">{len(column) // WIDTH[kind]}{FORMAT[kind]}", column)


def present(block: Block, count: int) -> list[int]:
    """Indices of the points this block speaks of."""
    if block.presence is None:
        return list(range(count))
    bits = block.presence
    return [i for i in range(min(count, len(bits) * 8)) if bits[i >> 3] >> (i & 7) & 1]


def raw_values(block: Block, table: PointTable) -> list[tuple[int, Value]]:
    """(point index, raw value) of every present point, in point order; value None where none came.

    Raises ValueError when the columns do not fit the table.
    """
    where = present(block, len(table.points))
    if block.columns is None:
        return [(index, None) for index in where]
    runs = [
        (kind, [i for i in where if first <= i < first + count])
        for kind, first, count in table.runs()
    ]
    runs = [(kind, indices) for kind, indices in runs if indices]
    if len(runs) != len(block.columns):
        raise ValueError(
            f"{len(block.columns)} columns for {len(runs)} runs of table {table.device!r}"
        )
    out: list[tuple[int, Value]] = []
    for (kind, indices), column in zip(runs, block.columns, strict=True):
        values = unpack(kind, column)
        if len(values) != len(indices):
            raise ValueError(f"{len(values)} values for {len(indices)} points of type {kind}")
        out.extend(zip(indices, values, strict=True))
    return out


def _spread(packed: bytes | None, width: int, count: int) -> Sequence[int]:
    if packed is None:
        return [0] * count
    if len(packed) % width:
        raise ValueError(f"{len(packed)} bytes of status, two for each point")
    values = packed if width == 1 else struct.unpack(f">{len(packed) // 2}H", packed)
    if len(values) == 1:
        return [values[0]] * count
    if len(values) != count:
        raise ValueError(f"{len(values)} quality or status entries for {count} points")
    return list(values)


def readings(block: Block, table: PointTable) -> Iterator[Reading]:
    """Every reading of a block, converted. Raises ValueError when block and table do not fit."""
    pairs = raw_values(block, table)
    qualities = _spread(block.quality, 1, len(pairs))
    statuses = _spread(block.status, 2, len(pairs))
    offsets = (0,) * len(pairs) if block.offsets_us is None else unpack("i64", block.offsets_us)
    for (index, raw), quality, status, offset in zip(
        pairs, qualities, statuses, offsets, strict=True
    ):
        point = table.points[index]
        value = convert(point.conversion, raw) if quality < Quality.BAD else None
        if value is None and raw is not None and quality < Quality.BAD:
            quality, status = Quality.BAD, status_word(Status.NOT_CONVERTIBLE)
        yield Reading(
            device=table.device,
            point=point.name,
            unit=point.unit,
            value=value,
            raw=raw,
            quality=Quality(quality),
            status=status,
            taken_at_us=block.at_us + int(offset or 0),
            slot=block.slot,
            device_time_us=block.device_time_us,
        )
