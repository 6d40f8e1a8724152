"""What a record holds before it is sealed: the boot, the point tables it needs, and its items.

Writing is the hot path: `PayloadBuilder.add` encodes a block at once, within a microsecond.
Reading trusts nothing: every count and size is bounded, and item types from the future are kept as
they are. Source: docs/reference/uplink.md, sections 5 to 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import CryptoProvider
from headgate.envelope.wire import MAX_INT, MAX_PAYLOAD, MAX_TABLE, Bytes16, Digest, decode
from headgate.errors import EnvelopeError
from headgate.model import (
    Alarm,
    Block,
    ClockFix,
    CommandResult,
    EpochLink,
    Event,
    Gap,
    Item,
    Linear,
    Lookup,
    Plan,
    PointTable,
    Polynomial,
)

PAYLOAD_VERSION: Final = 1
MAX_ITEMS: Final = 65_536
MAX_TABLES: Final = 4_096
MAX_POINTS: Final = 65_535
MAX_TERMS: Final = 4_096

_POINT_TABLE: Final = 2


class Unknown(msgspec.Struct, frozen=True):
    """An item of a type that this version does not know, whole, as it came (msgpack)."""

    type: int
    data: bytes


class Payload(msgspec.Struct, frozen=True):
    """A decoded record. The `table` of a block is an index into `tables`.

    `announced` are the msgpack bytes of point tables; `decode_table` reads one.
    """

    boot: bytes
    tables: tuple[bytes, ...]
    announced: tuple[bytes, ...]
    items: tuple[Item | Unknown, ...]

    def named(self) -> Iterator[Item | Unknown]:
        """The items as they were in the gateway: blocks name their table by SM3."""
        for item in self.items:
            if type(item) is Block and type(item.table) is int:
                yield msgspec.structs.replace(item, table=self.tables[item.table])
            else:
                yield item


# ---------------------------------------------------------------- writing

_encoder = msgspec.msgpack.Encoder()
_table_encoder = msgspec.msgpack.Encoder(order="deterministic")


def encode_table(table: PointTable) -> bytes:
    """The announced form of a table. Its SM3 (`table_name`) is its name everywhere."""
    return _table_encoder.encode(table)


def table_name(provider: CryptoProvider, table: bytes) -> bytes:
    """The name of a table from its announced form: SM3, 32 bytes."""
    return provider.sm3(table)


class PayloadBuilder:
    """Collects the items of one record, encoding each as it comes. One owner, one use.

    Args:
        boot: 16 bytes that name the boot all times of this record belong to.
    """

    def __init__(self, boot: bytes) -> None:
        self.boot = boot
        self.count = 0
        self._items = bytearray()
        self._index: dict[bytes, int] = {}
        self._announced: list[bytes] = []
        self._announced_size = 0

    @property
    def size(self) -> int:
        """Bytes of the payload as it stands, give or take its few header bytes."""
        return len(self._items) + self._announced_size + 34 * len(self._index) + 32

    @property
    def full(self) -> bool:
        """No further item may be added: the format's bound on items or tables is reached."""
        return self.count >= MAX_ITEMS or len(self._index) >= MAX_TABLES

    @property
    def tables(self) -> tuple[bytes, ...]:
        """SM3 names of the tables that blocks added so far use."""
        return tuple(self._index)

    def announce(self, table: bytes) -> None:
        """Carry a point table (`encode_table`) in this record."""
        self._announced.append(table)
        self._announced_size += len(table) + 5

    def add(self, item: Item) -> None:
        """Take an item. A block names its table by SM3; the wire's index is put in its place."""
        if type(item) is Block:
            index = self._index
            name: bytes = item.table  # type: ignore[assignment]  # bytes while in the gateway
            number = index.get(name)
            if number is None:
                number = index[name] = len(index)
            if (
                item.quality is None
                and item.presence is None
                and item.offsets_us is None
                and (item.device_time_us is None and item.origin is None and item.status is None)
            ):
                # Most blocks are all good: what is absent at the end is not written.
                _encoder.encode_into(
                    (1, item.device, number, item.at_us, item.slot, item.columns), self._items, -1
                )
            else:
                _encoder.encode_into(
                    (
                        1, item.device, number, item.at_us, item.slot, item.columns,
                        item.quality, item.status, item.presence, item.offsets_us,
                        item.device_time_us, item.origin,
                    ),
                    self._items,
                    -1,
                )  # fmt: skip
        else:
            _encoder.encode_into(item, self._items, -1)
        self.count += 1

    def close(self) -> bytes:
        """The payload, ready to be sealed.

        Raises:
            ValueError: more items, tables or bytes than the format allows (look at `full`, `size`).
        """
        if self.count > MAX_ITEMS or max(len(self._index), len(self._announced)) > MAX_TABLES:
            raise ValueError(f"{self.count} items and {len(self._index)} tables in one record")
        head = _encoder.encode((PAYLOAD_VERSION, self.boot, tuple(self._index), self._announced))
        # An array of five whose last element, the array of items, is joined on as it is.
        payload = b"".join((b"\x95", head[1:], _array_header(self.count), self._items))
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload of {len(payload)} bytes, {MAX_PAYLOAD} allowed")
        return payload


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    if count < 65_536:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


# ---------------------------------------------------------------- reading


class _Wire(msgspec.Struct, array_like=True):
    version: int
    boot: Bytes16
    tables: Annotated[tuple[Digest, ...], Meta(max_length=MAX_TABLES)]
    announced: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_TABLE)], ...], Meta(max_length=MAX_TABLES)
    ]
    items: Annotated[list[msgspec.Raw], Meta(max_length=MAX_ITEMS)]


class _Head(msgspec.Struct, array_like=True):
    type: int


_wire = msgspec.msgpack.Decoder(_Wire)
_head = msgspec.msgpack.Decoder(_Head)
_table = msgspec.msgpack.Decoder(PointTable)
_known = msgspec.msgpack.Decoder(
    Block | Gap | ClockFix | Alarm | Event | Plan | EpochLink | CommandResult
)
_KNOWN = frozenset((1, 3, 4, 5, 6, 7, 8, 9))


def decode_payload(data: bytes) -> Payload:
    """The payload of an opened record.

    Raises:
        EnvelopeError: not of the format's shape, or past one of its bounds.
    """
    if len(data) > MAX_PAYLOAD:
        raise EnvelopeError(f"a payload of {len(data)} bytes, {MAX_PAYLOAD} allowed")
    wire = decode(_wire, data, "payload")
    if wire.version != PAYLOAD_VERSION:
        raise EnvelopeError(f"version {wire.version} of the payload, we speak {PAYLOAD_VERSION}")
    tables = len(wire.tables)
    items = tuple(_item(raw, tables) for raw in wire.items)
    return Payload(wire.boot, wire.tables, wire.announced, items)


def _item(raw: msgspec.Raw, tables: int) -> Item | Unknown:
    kind = decode(_head, raw, "item").type
    if kind not in _KNOWN:
        if kind == _POINT_TABLE:
            raise EnvelopeError("a point table among the items: tables are announced")
        return Unknown(kind, bytes(raw))
    item: Item = decode(_known, raw, f"item of type {kind}")
    if type(item) is Block:
        if type(item.table) is not int or not 0 <= item.table < tables:
            raise EnvelopeError("a block names a table that the record does not list")
        _bounded(item.device, item.at_us, item.slot, item.device_time_us)
        for column in item.columns or ():
            if type(column) is tuple and len({*map(type, column), str}) > 1:
                _all_bytes(column)
    elif type(item) is Gap:
        _bounded(item.device, item.first_us, item.last_us, item.looks, item.readings)
        _bounded(item.first_slot, item.last_slot)
    elif type(item) is ClockFix:
        _bounded(item.at_us, item.wall_us, item.error_us)
        _named_boot(item.boot)
    elif type(item) is Alarm:
        _bounded(item.device, item.severity, item.at_us)
    elif type(item) is Event:
        _bounded(item.at_us)
    elif type(item) is Plan:
        _bounded(item.device, item.start_us, item.interval_us, item.readings, item.first_slot)
    elif type(item) is EpochLink:
        _bounded(item.last_n, item.at_us)
        _named_boot(item.boot)
    elif type(item) is CommandResult:
        _bounded(item.device, item.at_us, item.lease_us)
        if isinstance(item.value, int):
            _bounded(item.value)
        if len(item.command) != 16:
            raise EnvelopeError(f"a command is named by 16 bytes, not {len(item.command)}")
    return item


def _bounded(*numbers: int | None) -> None:
    for number in numbers:
        if number is not None and not -MAX_INT <= number <= MAX_INT:
            raise EnvelopeError("a number that does not fit 64 bits with a sign")


def _all_bytes(column: tuple[object, ...]) -> None:
    if any(type(value) is not bytes for value in column):
        raise EnvelopeError("a listed column holds all text or all bytes")


def _named_boot(boot: bytes) -> None:
    if len(boot) != 16:
        raise EnvelopeError(f"a boot is named by 16 bytes, not {len(boot)}")


def decode_table(data: bytes) -> PointTable:
    """A point table from its announced form.

    Raises:
        EnvelopeError: not a table, or with a conversion that cannot be computed.
    """
    if len(data) > MAX_TABLE:
        raise EnvelopeError(f"a point table of {len(data)} bytes, {MAX_TABLE} allowed")
    table = decode(_table, data, "point table")
    if len(table.points) > MAX_POINTS:
        raise EnvelopeError(f"a point table with {len(table.points)} points")
    _bounded(table.number, table.interval_us, table.heartbeat_us)
    for point in table.points:
        if not _computable(point.conversion):
            raise EnvelopeError(f"point table of {table.device!r}: conversion of {point.name!r}")
    return table


def _computable(conversion: object) -> bool:
    if conversion is None:
        return True
    if isinstance(conversion, Linear):
        terms = (conversion.multiply, conversion.divide, conversion.offset)
        return all(map(math.isfinite, terms)) and conversion.divide != 0
    if isinstance(conversion, Polynomial):
        many = len(conversion.coefficients)
        return 1 <= many <= MAX_TERMS and all(map(math.isfinite, conversion.coefficients))
    if isinstance(conversion, Lookup):
        xs = [x for x, _ in conversion.points]
        return (
            1 <= len(xs) <= MAX_TERMS
            and all(math.isfinite(v) for pair in conversion.points for v in pair)
            and all(a < b for a, b in pairwise(xs))
        )
    shift: int = getattr(conversion, "shift", -1)
    width: int = getattr(conversion, "width", 0)
    return 0 <= shift <= 63 and 1 <= width <= 64 - shift
