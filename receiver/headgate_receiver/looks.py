"""Blocks read with their tables: many readings at a time, by the arithmetic of the specification.

`headgate.columns` says it point by point and is the reference; this does the common case, whole runs
of good values under one kind of conversion, without a call per reading. Source: uplink.md, 6 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from headgate.columns import convert, raw_values, unpack
from headgate.envelope.wire import MAX_INT
from headgate.errors import EnvelopeError
from headgate.model import Block, Linear, PointTable, Quality, Status, Value, status_word
from headgate_receiver.store import Look

_NOT_CONVERTIBLE = status_word(Status.NOT_CONVERTIBLE)
_FLOATS = ("f32", "f64")
_PLAIN = ("text", "bytes", "bool")


class _Run:
    """One column of a table, and how its values are converted together."""

    def __init__(self, table: PointTable, kind: str, first: int, count: int) -> None:
        self.kind = kind
        self.count = count
        self._conversions = [point.conversion for point in table.points[first : first + count]]
        alike = all(each == self._conversions[0] for each in self._conversions)
        common = self._conversions[0] if alike and kind not in _FLOATS else None
        self._linear = common if isinstance(common, Linear) else None
        self._plain = kind in _PLAIN or (
            kind not in _FLOATS and not any(each is not None for each in self._conversions)
        )

    def convert(self, raws: tuple[Value, ...]) -> Sequence[Value]:
        if self._plain:
            return raws
        if self._linear is not None:
            m, d, o = self._linear.multiply, self._linear.divide, self._linear.offset
            quick = [float(x) * m / d + o for x in raws]  # type: ignore[arg-type]
            if all(map(isfinite, quick)):
                return quick
        return list(map(convert, self._conversions, raws))


class TableReader:
    """Reads the blocks of one point table."""

    def __init__(self, digest: bytes, table: PointTable) -> None:
        self.digest = digest
        self.table = table
        self._count = len(table.points)
        self._all = range(self._count)
        self._zeros = [0] * self._count
        self._runs = tuple(_Run(table, *run) for run in table.runs())

    def read(self, block: Block) -> Look:
        """One block as a look.

        Raises:
            EnvelopeError: the block does not fit the table.
        """
        if block.device != self.table.number:
            raise EnvelopeError(
                f"a block of device {block.device} under the table of device {self.table.number}"
            )
        try:
            return self._read(block)
        except (ValueError, OverflowError) as error:
            raise EnvelopeError(f"block of device {block.device}: {error}") from None

    def _read(self, block: Block) -> Look:
        points: range | list[int] = self._all
        raws: list[Value]
        values: list[Value]
        columns = block.columns
        if block.presence is None and columns is not None:
            if len(columns) != len(self._runs):
                raise ValueError(f"{len(columns)} columns for {len(self._runs)} runs")
            raws, values = [], []
            for run, column in zip(self._runs, columns, strict=True):
                got = unpack(run.kind, column)
                if len(got) != run.count:
                    raise ValueError(f"{len(got)} values for {run.count} points of type {run.kind}")
                raws += got
                values += run.convert(got)
        else:
            pairs = raw_values(block, self.table)
            points = [index for index, _ in pairs]
            raws = [raw for _, raw in pairs]
            values = [convert(self.table.points[index].conversion, raw) for index, raw in pairs]
        count = len(raws)
        qualities = self._spread(block.quality, count)
        statuses = self._words(block.status, count)
        if any(quality > Quality.BAD for quality in qualities):
            raise ValueError("a quality above 2")
        offsets = None
        if block.offsets_us is not None:
            offsets = [int(each or 0) for each in unpack("i64", block.offsets_us)]
            if len(offsets) != count:
                raise ValueError(f"{len(offsets)} time offsets for {count} points")
            if any(abs(block.at_us + each) > MAX_INT for each in offsets):
                raise ValueError("a time that does not fit 64 bits")
        if block.quality is not None or None in values:
            qualities, statuses, values = _judge(raws, values, qualities, statuses)
        return Look(
            self.digest,
            block.device,
            block.at_us,
            block.slot,
            block.device_time_us,
            points,
            raws,
            values,
            qualities,
            statuses,
            offsets,
        )

    def _spread(self, packed: bytes | None, count: int) -> list[int]:
        if packed is None:
            return self._zeros[:count]
        if len(packed) == 1:
            return [packed[0]] * count
        if len(packed) != count:
            raise ValueError(f"{len(packed)} qualities for {count} points")
        return list(packed)

    def _words(self, packed: bytes | None, count: int) -> list[int]:
        if packed is None:
            return self._zeros[:count]
        words = [int(word or 0) for word in unpack("u16", packed)]
        if len(words) == 1:
            return words * count
        if len(words) != count:
            raise ValueError(f"{len(words)} statuses for {count} points")
        return words


def _judge(
    raws: list[Value], values: list[Value], qualities: list[int], statuses: list[int]
) -> tuple[list[int], list[int], list[Value]]:
    """A bad point has no value; a value that cannot be computed makes its point bad."""
    qualities, statuses, values = qualities[:], statuses[:], values[:]
    for i, quality in enumerate(qualities):
        if quality >= Quality.BAD:
            values[i] = None
        elif values[i] is None:
            qualities[i] = Quality.BAD
            if raws[i] is not None:
                statuses[i] = _NOT_CONVERTIBLE
    return qualities, statuses, values
