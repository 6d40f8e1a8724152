"""How far the raw values of a block can be trusted: sentinels are bad, out of range is uncertain.

Compiled once per device. A common block, all of it good, costs an unpack and a `min`/`max` per group
of points that are checked alike; a column that did not change since the last look costs one
comparison.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec

from headgate.columns import convert, raw_values
from headgate.model import (
    FORMAT,
    Block,
    Column,
    Lookup,
    Point,
    PointTable,
    Quality,
    Status,
    status_word,
)
from headgate.sdk.device import Device, DevicePoint

_SENTINEL = (Quality.BAD, status_word(Status.SENTINEL))
_OUT_OF_RANGE = (Quality.UNCERTAIN, status_word(Status.OUT_OF_RANGE))
_NOT_CONVERTIBLE = (Quality.BAD, status_word(Status.NOT_CONVERTIBLE))

Verdict = tuple[Quality, int]
#: (point index, verdict) of each value that is not good.
Findings = Sequence[tuple[int, Verdict]]
Judge = Callable[[Block], Block]


class _Check(NamedTuple):
    """What one raw value must be. `curve` is set when the converted value must be looked at."""

    low: float
    high: float
    sentinels: tuple[int | float, ...]
    inner: tuple[int | float, ...]  # those of `sentinels` that the range would not catch
    real: bool
    nan_is_sentinel: bool
    curve: Point | None

    def __bool__(self) -> bool:
        return bool(
            self.sentinels
            or self.real
            or self.curve
            or self.low != -math.inf
            or self.high != math.inf
        )

    def one(self, value: int | float) -> Verdict | None:
        """The verdict on one value, None when it is good."""
        if self.real and not math.isfinite(value):
            if (value != value and self.nan_is_sentinel) or value in self.sentinels:
                return _SENTINEL
            return _NOT_CONVERTIBLE
        if value in self.sentinels:
            return _SENTINEL
        if not self.low <= value <= self.high:
            return _OUT_OF_RANGE
        return None if self.curve is None else _on_curve(self.curve, value)

    def all(self, values: Sequence[int | float]) -> bool:
        """Whether every value is good; may say no for a group that is (then each is looked at)."""
        # A sum shows one NaN or infinity among them; an overflow of finite values only costs time.
        if self.real and not math.isfinite(sum(values)):
            return False
        if not (self.low <= min(values) and max(values) <= self.high):
            return False
        for sentinel in self.inner:
            if sentinel in values:
                return False
        if self.curve is not None:
            return all(_on_curve(self.curve, value) is None for value in values)
        return True


class _Group(NamedTuple):
    """Points of one run that are checked alike; `pick` takes their values from the run's."""

    check: _Check
    indices: tuple[int, ...]
    pick: Callable[[Sequence[int | float]], Sequence[int | float]]

    def find(self, values: Sequence[int | float]) -> Findings:
        """What is wrong with this group's values."""
        mine = self.pick(values)
        if self.check.all(mine):
            return ()
        return [
            (index, verdict)
            for index, value in zip(self.indices, mine, strict=True)
            if (verdict := self.check.one(value)) is not None
        ]


class _Form(NamedTuple):
    """One column with something to check: where it stands, how it is packed, its groups."""

    at: int
    packing: struct.Struct
    groups: tuple[_Group, ...]


class _Plan(NamedTuple):
    """What points ask for, worked out: columns and what is looked at in them. Never changes."""

    points: Sequence[DevicePoint]
    shape: Sequence[tuple[str, int, int]]
    forms: tuple[_Form, ...]
    checks: tuple[_Check, ...]


#: Of the points that were asked for last: devices of one profile share theirs, and come side by side.
_last: _Plan | None = None


def _plan_of(device: Device) -> _Plan:
    global _last  # a memory of one; a race that is lost costs the work once more
    last, shape = _last, device.table.runs()
    if last is not None and last.points is device.points and last.shape == shape:
        return last
    checks = tuple([_check_of(point) for point in device.points])
    forms = [
        _Form(
            at, struct.Struct(f">{count}{FORMAT[kind]}"),
            _groups(first, checks[first : first + count]),
        )
        for at, (kind, first, count) in enumerate(shape)
        if kind in FORMAT
    ]  # fmt: skip
    plan = _Plan(device.points, shape, tuple(form for form in forms if form.groups), checks)
    _last = plan
    return plan


def _groups(first: int, checks: Sequence[_Check]) -> tuple[_Group, ...]:
    grouped: dict[_Check, list[int]] = {}
    for place, check in enumerate(checks):
        if check:
            grouped.setdefault(check, []).append(place)
    return tuple(
        _Group(check, tuple(first + place for place in places), _picker(places))
        for check, places in grouped.items()
    )


class _Run:
    """One column of one device, and what was found the last time in which bytes."""

    def __init__(self, form: _Form) -> None:
        self.at, self._struct, self.groups = form
        self._last: Column = b""
        self._found: Findings = ()

    def find(self, column: Column) -> Findings:
        if column == self._last:
            return self._found
        if not isinstance(column, bytes):
            raise ValueError("a packed column was expected")
        try:
            values = self._struct.unpack(column)
        except struct.error as error:
            raise ValueError(f"column {self.at} does not fit its table: {error}") from error
        found: list[tuple[int, Verdict]] = []
        for group in self.groups:
            found.extend(group.find(values))
        self._last, self._found = column, found
        return found


def judge(device: Device) -> Judge:
    """The judge of one device's blocks: give it a block, get it back with the quality it deserves.

    A point that is already worse stays as it is. Not to be shared between threads.

    Raises (the judge):
        ValueError: the block's columns do not fit the device's table.
    """
    table = device.table
    plan = _plan_of(device)
    runs = [_Run(form) for form in plan.forms]
    total = len(table.points)

    def judged(block: Block) -> Block:
        columns = block.columns
        if columns is None:
            return block
        if block.presence is not None:
            return _judge_some(block, table, plan.checks)
        if len(columns) != len(plan.shape):
            raise ValueError(
                f"{len(columns)} columns for {len(plan.shape)} runs of {table.device!r}"
            )
        found: Findings = ()
        for run in runs:
            if news := run.find(columns[run.at]):
                found = [*found, *news]
        return _marked(block, found, total) if found else block

    return judged


def _judge_some(block: Block, table: PointTable, checks: Sequence[_Check]) -> Block:
    """The slow way, for a block that speaks of some of the points."""
    pairs = raw_values(block, table)
    found = [
        (place, verdict)
        for place, (index, raw) in enumerate(pairs)
        if checks[index]
        and isinstance(raw, (int, float))
        and (verdict := checks[index].one(raw)) is not None
    ]
    return _marked(block, found, len(pairs)) if found else block


def _marked(block: Block, found: Findings, total: int) -> Block:
    """`block` with the verdicts laid over the quality it had; the worse of the two stands."""
    quality = bytearray(_spread(block.quality, 1, total))
    status = bytearray(_spread(block.status, 2, total))
    for place, (worse, word) in found:
        if worse > quality[place]:
            quality[place] = worse
            status[2 * place : 2 * place + 2] = word.to_bytes(2, "big")
    return msgspec.structs.replace(block, quality=bytes(quality), status=bytes(status))


def _spread(entries: bytes | None, width: int, total: int) -> bytes:
    if entries is None:
        return bytes(width * total)
    if len(entries) == width:
        return entries * total
    if len(entries) != width * total:
        raise ValueError(f"{len(entries) // width} quality or status entries for {total} points")
    return entries


def _check_of(point: DevicePoint) -> _Check:
    kind = point.point.type
    low, high, curve = -math.inf, math.inf, None
    span = point.raw_range
    if span is None and point.point.conversion is None:
        span = point.point.range
    if span is not None:
        low = -math.inf if span[0] is None else span[0]
        high = math.inf if span[1] is None else span[1]
    elif point.point.range is not None or isinstance(point.point.conversion, Lookup):
        curve = point.point
    sentinels = tuple(value for value in point.sentinels if value == value)
    nan = len(sentinels) < len(point.sentinels)
    if kind not in FORMAT or kind == "bool":
        return _Check(-math.inf, math.inf, (), (), False, False, None)
    inner = tuple(value for value in sentinels if low <= value <= high)
    return _Check(low, high, sentinels, inner, kind in ("f32", "f64"), nan, curve)


def _on_curve(point: Point, raw: int | float) -> Verdict | None:
    value = convert(point.conversion, raw)
    if not isinstance(value, (int, float)):
        return _NOT_CONVERTIBLE
    low, high = point.range or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        return _OUT_OF_RANGE
    return None


def _picker(places: Sequence[int]) -> Callable[[Sequence[int | float]], Sequence[int | float]]:
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    if places[-1] - places[0] == len(places) - 1:
        return itemgetter(slice(places[0], places[-1] + 1))
    return itemgetter(*places)
