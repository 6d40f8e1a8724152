"""Segment bytes: what is written is found, and hostile bytes never raise."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.model import Lane
from headgate.spool.records import ClearIndex, SealedRecord
from headgate.spool.segment import (
    RECORD_HEADER,
    ZERO,
    Damage,
    Entry,
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


def segment(bodies: list[bytes]) -> bytes:
    data = b""
    for n, body in enumerate(bodies):
        record = SealedRecord(b"epoch---", n, b"key-----", Lane.LIVE, body, INDEX)
        data += encode_record(record, msgspec.msgpack.encode(INDEX), n, len(data), START)
    return data


def found(data: bytes, start: int = START) -> list[Entry | Damage]:
    return list(scan(lambda at, size: data[at : at + size], 0, len(data), start))


@given(st.lists(st.binary(max_size=40_000), max_size=6))
def test_every_record_written_is_found_with_its_clear_index(bodies: list[bytes]) -> None:
    data = segment(bodies)
    entries = found(data)
    assert [e.n for e in entries if isinstance(e, Entry)] == list(range(len(bodies)))
    for entry, body in zip(entries, bodies, strict=True):
        assert isinstance(entry, Entry)
        assert entry.index == INDEX
        assert (
            check_record(data[entry.offset : entry.offset + entry.size], entry.offset, START)
            == body
        )


@given(st.binary(max_size=5000))
@example(b"\xa9HGr" * 600)
def test_hostile_bytes_are_damage_and_nothing_else(data: bytes) -> None:
    assert all(isinstance(one, Damage) for one in found(data))
    assert decode_header(data) is None
    assert header_size(data) == 0
    assert check_record(data, 0, START) is None


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_costs_at_most_its_own_record(place: int, change: int) -> None:
    data = bytearray(segment([b"a" * 900, b"b" * 900, b"c" * 900]))
    size = len(data) // 3
    place %= len(data)
    data[place] ^= change
    survivors = {e.n for e in found(bytes(data)) if isinstance(e, Entry)}
    assert survivors >= {0, 1, 2} - {place // size}


def test_a_torn_tail_ends_the_segment_and_keeps_what_stands_before_it() -> None:
    data = segment([b"a" * 100, b"b" * 100])
    for end in range(len(data) // 2 + 1, len(data)):
        first, rest = found(data[:end])
        assert isinstance(first, Entry)
        assert rest == Damage(len(data) // 2, end)


def test_a_stale_block_of_another_segment_is_no_record_here() -> None:
    data = segment([b"a" * 100])
    assert found(data, seed(LOG, 8)) == [Damage(0, len(data))]
    assert found(data, seed(b"other---", 7)) == [Damage(0, len(data))]
    moved = b"\0" * 512 + data
    assert found(moved) == [Damage(0, len(moved))]


def test_damage_in_the_clear_index_leaves_the_record_deliverable() -> None:
    data = bytearray(segment([b"a" * 100]))
    data[RECORD_HEADER + 2] ^= 1
    (entry,) = found(bytes(data))
    assert isinstance(entry, Entry)
    assert entry.index is None
    assert check_record(bytes(data), 0, START) == b"a" * 100


def test_a_header_is_told_from_a_newer_one_and_from_a_damaged_one() -> None:
    header = SegmentHeader(LOG, 7, 3, ZERO, b"ledger")
    data = encode_header(header)
    assert decode_header(data) == msgspec.structs.replace(header, size=len(data))
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        # A rotten version byte must look rotten, not new: only an intact header may stop a start.
        assert decode_header(bytes(changed)) is None
    import zlib

    newer = bytearray(data)
    newer[8] = 2
    body = bytes(newer[36:])
    newer[32:36] = zlib.crc32(body, zlib.crc32(bytes(newer[:32]))).to_bytes(4, "big")
    with pytest.raises(NewerFormat):
        decode_header(bytes(newer))
