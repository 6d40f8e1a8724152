"""Segments of the spool, as a disk hands them back after a power cut."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from fuzz.target import Target
from headgate.model import Lane
from headgate.spool.ledger import Ledger
from headgate.spool.records import ClearIndex, SealedRecord
from headgate.spool.segment import (
    ZERO,
    Damage,
    NewerFormat,
    SegmentHeader,
    check_record,
    decode_header,
    encode_header,
    encode_record,
    header_size,
    scan,
    seed,
)

LOG = b"log-name"
START = seed(LOG, 7)
INDEX = ClearIndex(5, 10, 20, b"b" * 16, ((1, 5),), totals=(0, 0, 1, 5, 0, 0))


def _record(n: int, index: bytes, body: bytes, offset: int) -> bytes:
    record = SealedRecord(b"epoch---", n, b"key-----", Lane.LIVE, body, INDEX)
    return encode_record(record, index, n, offset, START)


def _scan(data: bytes) -> None:
    """Every byte is in exactly one entry or one damage, in order."""
    for brief in (False, True):
        end = 0
        for found in scan(lambda at, n: data[at : at + n], 0, len(data), START, brief=brief):
            assert found.offset == end, "nothing between two finds"
            end = found.end if isinstance(found, Damage) else found.offset + found.size
            assert end > found.offset
            if not isinstance(found, Damage):
                check_record(data[found.offset : end], found.offset, START)
        assert end == len(data)


def _segment(data: bytes) -> None:
    _scan(data)
    header_size(data)
    with suppress(NewerFormat):
        decode_header(data)
    Ledger.decode(data)


def _damaged(data: bytes) -> None:
    """Two records that check around hostile bytes; the first one's clear index is hostile as well."""
    middle = len(data) // 2
    first = _record(0, data[:middle], b"first", 0)
    at = len(first) + len(data) - middle
    whole = first + data[middle:] + _record(1, msgspec.msgpack.encode(INDEX), b"second", at)
    _scan(whole)
    found = [
        f.n
        for f in scan(lambda p, n: whole[p : p + n], 0, len(whole), START)
        if not isinstance(f, Damage)
    ]
    assert found[0] == 0
    assert found[-1] == 1, "the record behind the damage is found"


def _seeds() -> Iterable[bytes]:
    packed = msgspec.msgpack.encode(INDEX)
    yield packed
    yield _record(0, packed, b"body", 0)
    first = _record(0, packed, b"a" * 200, 0)
    yield first + _record(1, packed, b"b" * 20, len(first))
    yield encode_header(SegmentHeader(LOG, 7, 0, tuple(ZERO), b"", 0))
    yield Ledger(LOG).encode()


STORED: dict[str, Target] = {
    "segment": Target(_segment, _seeds),
    "segment-damaged": Target(_damaged, _seeds),
}
