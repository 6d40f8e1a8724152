from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.columns import readings
from headgate.errors import EnvelopeError
from headgate.model import BitField, Block, Linear, Lookup, Point, PointTable, Polynomial
from headgate_receiver.looks import TableReader

TABLE = PointTable(
    1,
    "d",
    (
        Point("a", "u16", conversion=Linear(1.0, 7.0, 0.1)),
        Point("b", "u16", conversion=Linear(1.0, 7.0, 0.1)),
        Point("c", "i32"),
        Point("d", "f32"),
        Point("e", "f64", conversion=Polynomial((1.0, 2.0, 3.0))),
        Point("f", "u16", conversion=Lookup(((0.0, 0.0), (100.0, 5.0)))),
        Point("g", "u16", conversion=BitField(3, 2)),
        Point("h", "bool", conversion=Linear(2.0)),
        Point("i", "text"),
    ),
)
READER = TableReader(b"t" * 32, TABLE)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 65535), min_size=4, max_size=4),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(width=32),
    st.floats(),
    st.one_of(st.none(), st.binary(min_size=9, max_size=9).map(lambda b: bytes(x % 3 for x in b))),
)
def test_whole_runs_are_read_as_the_reference_reads_points(
    words: list[int], number: int, single: float, double: float, quality: bytes | None
) -> None:
    a, b, f, g = words
    columns = (
        struct.pack(">2H", a, b), struct.pack(">i", number), struct.pack(">f", single),
        struct.pack(">d", double), struct.pack(">2H", f, g), b"\x01", ("text",),
    )  # fmt: skip
    block = Block(1, b"t" * 32, 5, 2, columns, quality)
    look = READER.read(block)
    want = list(readings(block, TABLE))
    assert list(look.values) == [each.value for each in want]
    assert list(look.qualities) == [each.quality for each in want]
    assert list(look.statuses) == [each.status for each in want]
    assert len(look.points) == len(want)


@pytest.mark.parametrize(
    "change",
    [
        {"device": 2},
        {"columns": ()},
        {"columns": (b"\0" * 4,)},
        {"columns": (b"\0" * 3, b"\0" * 4, b"\0" * 4, b"\0" * 8, b"\0" * 4, b"\0", ("x",))},
        {"columns": (("x",), b"\0" * 4, b"\0" * 4, b"\0" * 8, b"\0" * 4, b"\0", ("x",))},
        {"quality": b"\x03"},
        {"quality": b"\0\0"},
        {"status": b"\0"},
        {"status": b"\0" * 4},
        {"offsets_us": b"\0" * 8},
        {"offsets_us": b"\x7f" + b"\xff" * 7 + b"\0" * 64},
        {"presence": b"\x01"},
    ],
)
def test_a_block_that_does_not_fit_its_table_is_refused(change: dict[str, object]) -> None:
    good = (b"\0" * 4, b"\0" * 4, b"\0" * 4, b"\0" * 8, b"\0" * 4, b"\0", ("x",))
    block = Block(1, b"t" * 32, 5, 2, good)
    READER.read(block)
    with pytest.raises(EnvelopeError):
        READER.read(msgspec.structs.replace(block, **change))
