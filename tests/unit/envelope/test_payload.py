from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.crypto.provider import CryptoProvider
from headgate.envelope.payload import (
    MAX_ITEMS,
    PayloadBuilder,
    Unknown,
    decode_payload,
    decode_table,
    encode_table,
    table_name,
)
from headgate.errors import EnvelopeError
from headgate.model import (
    Alarm,
    BitField,
    Block,
    ClockFix,
    CommandResult,
    EpochLink,
    Event,
    Gap,
    GapReason,
    Linear,
    Lookup,
    Origin,
    Plan,
    Point,
    PointTable,
    Polynomial,
)

BOOT = b"boot-of-a-machin"
RIVER, RAIN = b"r" * 32, b"n" * 32
TABLE = PointTable(
    7,
    "gauge-7",
    (Point("level", "u16", "m", Linear(1.0, 1000.0, 3.5)), Point("text", "text")),
    labels={"station": "60403200", "mn": "7"},
)
ITEMS = [
    EpochLink(None, None, BOOT, 1),
    ClockFix(BOOT, 5, 1_780_000_000_000_000, None, "unsynced"),
    Block(7, RIVER, 10, 0, (b"\x00\x01", ("a", "b"))),
    Block(8, RAIN, 11, None, (b"\x00\x02", (b"a", b"b"), b"\x01"), b"\x01", b"\x05\x00", b"\x07"),
    Block(8, RAIN, 12, 2, None, b"\x02", b"\x01\x00"),
    Block(
        9, RIVER, 13, 3, (b"",), None, None, None, b"\x00" * 8, 99, Origin("s", "f", 1, None, b"d")
    ),
    Gap(7, GapReason.DEVICE_SILENT, 1, 2, 3, None, boot=b"another-boot----", text="no answer"),
    Alarm(7, "level", "high", 700, True, 14, 3.5, "above the dyke"),
    Event("started", 15, {"version": "1", "ok": True, "nothing": None, "load": 0.5}),
    Plan(7, RIVER, 16, 1_000_000, 2),
]


def build(*items: Any) -> bytes:
    builder = PayloadBuilder(BOOT)
    for item in items:
        builder.add(item)
    return builder.close()


def test_every_item_comes_back_as_it_went() -> None:
    payload = decode_payload(build(*ITEMS))
    assert payload.boot == BOOT
    assert payload.tables == (RIVER, RAIN)
    assert list(payload.named()) == ITEMS


def test_a_block_that_is_all_good_is_written_short() -> None:
    wire = msgspec.msgpack.decode(build(ITEMS[2]))
    assert wire == [1, BOOT, [RIVER], [], [[1, 7, 0, 10, 0, [b"\x00\x01", ["a", "b"]]]]]


def test_an_announced_table_is_named_by_its_bytes(provider: CryptoProvider) -> None:
    announced = encode_table(TABLE)
    builder = PayloadBuilder(BOOT)
    builder.announce(announced)
    builder.add(Block(7, table_name(provider, announced), 10))
    payload = decode_payload(builder.close())
    assert decode_table(payload.announced[0]) == TABLE
    assert payload.tables == (provider.sm3(payload.announced[0]),)


def test_a_table_has_one_name_whatever_the_order_of_its_labels() -> None:
    other = msgspec.structs.replace(TABLE, labels={"mn": "7", "station": "60403200"})
    assert encode_table(other) == encode_table(TABLE)


def test_the_size_while_building_is_close_to_the_size_when_closed() -> None:
    builder = PayloadBuilder(BOOT)
    builder.announce(encode_table(TABLE))
    for item in ITEMS:
        builder.add(item)
    assert abs(builder.size - len(builder.close())) <= 32


@pytest.mark.parametrize("count", [0, 15, 16, MAX_ITEMS - 1, MAX_ITEMS])
def test_any_allowed_number_of_items_goes_in_one_record(count: int) -> None:
    builder = PayloadBuilder(BOOT)
    for at in range(count):
        builder.add(Block(1, RIVER, at))
    assert builder.full == (count >= MAX_ITEMS)
    assert len(decode_payload(builder.close()).items) == count


def test_more_items_than_allowed_are_refused_on_both_sides() -> None:
    builder = PayloadBuilder(BOOT)
    for at in range(MAX_ITEMS + 1):
        builder.add(Block(1, RIVER, at))
    with pytest.raises(ValueError, match="items"):
        builder.close()
    many = msgspec.msgpack.encode([1, BOOT, [], [], [[99]] * (MAX_ITEMS + 1)])
    with pytest.raises(EnvelopeError, match="65536"):
        decode_payload(many)


def test_item_types_from_the_future_are_kept_whole() -> None:
    future = [[77, {"deep": [1, 2]}], [200, b"c", "done", 5]]
    payload = decode_payload(msgspec.msgpack.encode([1, BOOT, [], [], future]))
    assert [
        (i.type, msgspec.msgpack.decode(i.data)) for i in payload.items if isinstance(i, Unknown)
    ] == [
        (77, future[0]),
        (200, future[1]),
    ]


def test_a_command_result_is_read_also_where_it_is_short() -> None:
    wire = [[9, b"c" * 16, "accepted", 5], [9, b"c" * 16, "ended", 6, "why", 2, "run", 0.5, "HG-6537",
            "gateway", "operate", 7, "more"]]  # fmt: skip
    short, whole = decode_payload(msgspec.msgpack.encode([1, BOOT, [], [], wire])).items
    assert short == CommandResult(b"c" * 16, "accepted", 5)
    assert whole == CommandResult(
        b"c" * 16, "ended", 6, "why", 2, "run", 0.5, "HG-6537", "gateway", "operate", 7
    )


def test_extra_elements_at_the_end_of_an_array_are_ignored() -> None:
    wire = [1, BOOT, [RIVER], [], [[7, 1, RIVER, 2, 3, 4, 5, "more"]], "and more"]
    assert decode_payload(msgspec.msgpack.encode(wire)).items == (Plan(1, RIVER, 2, 3, 4, 5),)


@pytest.mark.parametrize(
    "wire",
    [
        [2, BOOT, [], [], []],
        [1, BOOT[:-1], [], [], []],
        [1, BOOT, [b"short"], [], []],
        [1, BOOT, [], [], [[1, 7, 0, 10]]],
        [1, BOOT, [], [], [[9, b"c", "done", 5]]],
        [1, BOOT, [], [], [[9, b"c" * 16, "done", 5, "", 2**63]]],
        [1, BOOT, [], [], [[9, b"c" * 16, "done", 5, "", 1, "p", 2**63]]],
        [1, BOOT, [], [], [[9, b"c" * 16, "done", 5, "", 1, "p", [1]]]],
        [1, BOOT, [RIVER], [], [[1, 7, -1, 10]]],
        [1, BOOT, [RIVER], [], [[1, 7, RIVER, 10]]],
        [1, BOOT, [RIVER], [], [[1, 7, 0, 2**63]]],
        [1, BOOT, [RIVER], [], [[1, 7, 0, 1, 0, [["a", b"b"]]]]],
        [1, BOOT, [RIVER], [], [[1, 7, 0, 1, 0, [[1]]]]],
        [1, BOOT, [], [], [[2, 7, "device", []]]],
        [1, BOOT, [], [], [[3, 0, "of no reason", 0, 1, None, None]]],
        [1, BOOT, [], [], [[4, b"short", 0, 0, None, "synced"]]],
        [1, BOOT, [], [], ["no array"]],
        [1, BOOT, [], [], [[]]],
        [1, BOOT, [], [], [["1"]]],
        [1, BOOT],
        {},
        [],
        None,
    ],
)
def test_a_payload_of_another_shape_is_refused(wire: Any) -> None:
    with pytest.raises(EnvelopeError):
        decode_payload(msgspec.msgpack.encode(wire))


@pytest.mark.parametrize(
    "tail", [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
def test_depth_and_declared_sizes_cost_nothing(tail: bytes) -> None:
    whole = msgspec.msgpack.encode([1, BOOT, [], [], [[99]]])
    for data in (tail, whole[:-2] + tail, whole[:-1] + tail, whole + tail):
        with pytest.raises(EnvelopeError):
            decode_payload(data)
        with pytest.raises(EnvelopeError):
            decode_table(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_altered_payloads_decode_or_are_refused(data: st.DataObject) -> None:
    good = bytearray(build(*ITEMS))
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
        good[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for hostile in (bytes(good), bytes(good[:cut])):
        with contextlib.suppress(EnvelopeError):
            list(decode_payload(hostile).named())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_refused(data: bytes) -> None:
    for read in (decode_payload, decode_table):
        with contextlib.suppress(EnvelopeError):
            read(data)


@pytest.mark.parametrize(
    "conversion",
    [
        Linear(1.0, 0.0, 0.0),
        Linear(float("nan")),
        Polynomial(()),
        Polynomial((float("inf"),)),
        Lookup(()),
        Lookup(((1.0, 0.0), (1.0, 1.0))),
        Lookup(((2.0, 0.0), (1.0, 1.0))),
        BitField(64, 1),
        BitField(-1, 1),
        BitField(0, 0),
        BitField(60, 8),
    ],
)
def test_a_table_whose_conversion_cannot_be_computed_is_refused(conversion: Any) -> None:
    table = msgspec.structs.replace(TABLE, points=(Point("level", "u16", "m", conversion),))
    with pytest.raises(EnvelopeError, match="conversion"):
        decode_table(encode_table(table))
