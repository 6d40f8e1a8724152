"""Points into the fewest requests, and answers into columns. Pure; compiled once per device.

A request never splits a value and never exceeds what the standard or the device's quirks allow.
Registers between two points are read along when they are few (`gap_limit`), because a round trip
costs more than they do. The layout then knows, for every column, which slices of which answer make
it: a run of plain values moves as bytes, whatever its length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from operator import itemgetter
from typing import NamedTuple

import msgspec

from headgate.sdk import (
    FORMAT,
    WIDTH,
    Block,
    Column,
    ColumnType,
    Device,
    Quality,
    Status,
    status_word,
)
from headgate_drivers.modbus.codec import (
    READ_COILS,
    READ_DISCRETE,
    READ_HOLDING,
    READ_INPUT,
    Request,
)
from headgate_drivers.modbus.encoding import (
    PLAIN,
    BadValue,
    Decode,
    Encoding,
    Order,
    blank,
    in_order,
    unpack_bits,
)

AREAS = {
    "coil": READ_COILS,
    "discrete": READ_DISCRETE,
    "input": READ_INPUT,
    "holding": READ_HOLDING,
}

_MALFORMED = status_word(Status.MALFORMED)


class Limits(NamedTuple):
    """What one request may span, in registers and in bits; a gap wider than `gap` is not read."""

    registers: int = 125
    bits: int = 2000
    gap: int = 8
    joined: bool = True
    #: Added to every register, and whether values over several registers stand word-swapped.
    shift: int = 0
    swapped: bool = False

    def of(self, function: int) -> tuple[int, int]:
        """(longest request, widest gap) for this function, in its own units."""
        if function in (READ_COILS, READ_DISCRETE):
            return self.bits, self.gap * 16
        return self.registers, self.gap


class Place(msgspec.Struct, frozen=True):
    """Where one point stands: `count` registers (or bits) from `start` of what `function` reads."""

    point: int
    function: int
    start: int
    count: int
    encoding: Encoding


class Layout:
    """The requests of one device, and how their answers become its columns. Never changes."""

    def __init__(self, device: Device, groups: Sequence[Sequence[Place]]) -> None:
        self.device = device
        self.groups = tuple(tuple(group) for group in groups)
        self.requests = tuple(_request(group) for group in self.groups)
        #: Whether the request reads registers that no point names.
        self.crosses_hole = tuple(len(_join(group, 0, 1 << 16)) > 1 for group in self.groups)
        self._columns = _compile(device, self.groups, self.requests)

    def for_another(self, device: Device) -> Layout:
        """The same for a device with the very same points."""
        other = copy(self)
        other.device = device
        return other

    def split(self, index: int) -> Layout:
        """The same device with request `index` cut at every hole."""
        group = self.groups[index]
        parts = _join(group, 0, 1 << 16)
        return Layout(self.device, [*self.groups[:index], *parts, *self.groups[index + 1 :]])

    def block(self, at_us: int, answers: Sequence[bytes | int]) -> Block:
        """One look in columns.

        Args:
            answers: for each request its data bytes, or the status word of why there are none.
        """
        bad: dict[int, int] = {}
        columns = tuple([column.fill(answers, bad) for column in self._columns])
        if not bad:
            return Block(self.device.number, self.device.table_hash, at_us, None, columns)
        count = len(self.device.points)
        return Block(
            self.device.number,
            self.device.table_hash,
            at_us,
            None,
            columns,
            bytes(Quality.BAD if i in bad else Quality.GOOD for i in range(count)),
            struct.pack(f">{count}H", *(bad.get(i, 0) for i in range(count))),
        )


def plan_requests(device: Device, places: Iterable[Place], limits: Limits) -> Layout:
    """The fewest requests for these places.

    Sorted by start, the longest run that still fits is always the best first request, so taking
    runs greedily gives the fewest.
    """
    groups: list[list[Place]] = []
    by_function: dict[int, list[Place]] = {}
    for place in places:
        by_function.setdefault(place.function, []).append(place)
    for function, members in sorted(by_function.items()):
        longest, gap = limits.of(function)
        if limits.joined:
            groups += _join(members, gap, longest)
        else:
            spans: dict[tuple[int, int], list[Place]] = {}
            for place in members:
                spans.setdefault((place.start, place.count), []).append(place)
            groups += [spans[key] for key in sorted(spans)]
    return Layout(device, groups)


def _join(places: Iterable[Place], gap: int, longest: int) -> list[list[Place]]:
    groups: list[list[Place]] = []
    first = end = 0
    for place in sorted(places, key=lambda p: (p.start, p.count)):
        stop = place.start + place.count
        if groups and place.start - end <= gap and max(end, stop) - first <= longest:
            groups[-1].append(place)
            end = max(end, stop)
        else:
            groups.append([place])
            first, end = place.start, stop
    return groups


def _request(group: Sequence[Place]) -> Request:
    start = min(p.start for p in group)
    return Request(group[0].function, start, max(p.start + p.count for p in group) - start)


# ---------------------------------------------------------------- answers into columns


class _Chunk:
    """Consecutive points of one column that come out of one answer in one way."""

    def __init__(self, kind: ColumnType, request: int, points: list[int]) -> None:
        self.kind = kind
        self.request = request
        self.points = points

    def take(self, data: bytes, bad: dict[int, int]) -> Column:
        raise NotImplementedError


class _Move(_Chunk):
    """Plain values (or bits): slices of the answer, put in order by whole runs."""

    def __init__(
        self,
        kind: ColumnType,
        request: int,
        points: list[int],
        cut: Callable[[bytes], bytes],
        order: Order,
    ) -> None:
        super().__init__(kind, request, points)
        self.cut = cut
        self.order = order
        self.width = WIDTH[kind]

    def take(self, data: bytes, bad: dict[int, int]) -> Column:
        raw = self.cut(data)
        return raw if self.order == "ABCD" else in_order(raw, self.order, self.width)


class _Each(_Chunk):
    """Values that need decoding, one by one."""

    def __init__(
        self, kind: ColumnType, request: int, points: list[int], parts: list[tuple[slice, Decode]]
    ) -> None:
        super().__init__(kind, request, points)
        self.parts = parts
        self.form = "" if kind in ("text", "bytes") else f">{FORMAT[kind]}"

    def take(self, data: bytes, bad: dict[int, int]) -> Column:
        if not self.form:
            return tuple(str(self._value(at, data, bad) or "") for at in range(len(self.parts)))
        packed = []
        for at in range(len(self.parts)):
            try:
                packed.append(struct.pack(self.form, self._value(at, data, bad) or 0))
            except struct.error:  # a decoded number that the announced type cannot hold
                bad[self.points[at]] = _MALFORMED
                packed.append(struct.pack(self.form, 0))
        return b"".join(packed)

    def _value(self, at: int, data: bytes, bad: dict[int, int]) -> object:
        where, decode = self.parts[at]
        try:
            return decode(data[where])
        except BadValue:
            bad[self.points[at]] = _MALFORMED
            return None


class _ColumnPlan:
    """One column: its chunks in point order."""

    def __init__(self, kind: ColumnType, chunks: list[_Chunk]) -> None:
        self.kind = kind
        self.chunks = chunks

    def fill(self, answers: Sequence[bytes | int], bad: dict[int, int]) -> Column:
        pieces: list[Column] = []
        for chunk in self.chunks:
            answer = answers[chunk.request]
            if isinstance(answer, int):
                bad.update(dict.fromkeys(chunk.points, answer))
                pieces.append(blank(self.kind, len(chunk.points)))
            else:
                pieces.append(chunk.take(answer, bad))
        if len(pieces) == 1:
            return pieces[0]
        if self.kind == "text":
            return tuple(text for piece in pieces for text in piece)
        return b"".join(pieces)  # type: ignore[arg-type]


def _compile(
    device: Device, groups: Sequence[Sequence[Place]], requests: Sequence[Request]
) -> list[_ColumnPlan]:
    where = {place.point: (at, place) for at, group in enumerate(groups) for place in group}
    columns = []
    for kind, first, count in device.table.runs():
        chunks: list[_Chunk] = []
        alike: list[tuple[int, Place]] = []
        for point in range(first, first + count):
            found = where[point]
            if alike and _sort(alike[0]) != _sort(found):
                chunks.append(_chunk(kind, alike, requests))
                alike = []
            alike.append(found)
        chunks.append(_chunk(kind, alike, requests))
        columns.append(_ColumnPlan(kind, chunks))
    return columns


def _sort(found: tuple[int, Place]) -> tuple[int, str, str]:
    """Points next to each other with the same of this are taken together."""
    request, place = found
    if place.encoding.name not in PLAIN:
        return request, "each", ""
    return request, "move", place.encoding.order


def _chunk(kind: ColumnType, alike: list[tuple[int, Place]], requests: Sequence[Request]) -> _Chunk:
    at = alike[0][0]
    request = requests[at]
    places = [place for _, place in alike]
    points = [place.point for place in places]
    if request.function in (READ_COILS, READ_DISCRETE):
        cut = _cutter([(p.start - request.start, p.start - request.start + 1) for p in places], 0)
        return _Move(kind, at, points, lambda data: cut(unpack_bits(data)), "ABCD")
    spans = [
        ((p.start - request.start) * 2, (p.start - request.start + p.count) * 2) for p in places
    ]
    if places[0].encoding.name in PLAIN:
        cut = _cutter(spans, request.count * 2)
        return _Move(kind, at, points, cut, places[0].encoding.order)
    parts = [(slice(*span), p.encoding.decode()) for span, p in zip(spans, places, strict=True)]
    return _Each(kind, at, points, parts)


def _cutter(spans: list[tuple[int, int]], whole: int) -> Callable[[bytes], bytes]:
    """Cuts spans out of bytes and joins them; neighbours become one slice first."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    if joined == [(0, whole)]:
        return lambda data: data
    if len(joined) == 1:
        return itemgetter(slice(*joined[0]))
    cut = itemgetter(*(slice(*span) for span in joined))
    return lambda data: b"".join(cut(data))
