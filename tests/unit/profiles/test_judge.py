import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import convert, readings
from headgate.model import Block, Lookup, Point, PointTable, Quality, Status, status_word
from headgate.profiles import judge
from headgate.sdk import Device, DevicePoint

GOOD, UNCERTAIN, BAD = (int(q) for q in Quality)


def unit(*points: DevicePoint) -> Device:
    table = PointTable(1, "d", tuple(p.point for p in points))
    return Device("d", 1, "c", 1, points, table, bytes(32))


def plain(name: str, kind: str = "u16", *, sentinels=(), span=None, **more) -> DevicePoint:
    return DevicePoint(Point(name, kind, **more), {}, sentinels, span)


def block(*columns, **more) -> Block:
    return Block(1, bytes(32), 0, 0, columns, **more)


def u16(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def f32(*values: float) -> bytes:
    return struct.pack(f">{len(values)}f", *values)


def verdicts(judged: Block, count: int) -> list[tuple[int, int]]:
    if judged.quality is None:
        return [(GOOD, 0)] * count
    return list(zip(judged.quality, struct.unpack(f">{count}H", judged.status), strict=True))


def word(status: Status) -> int:
    return status_word(status)


def test_a_good_block_passes_untouched() -> None:
    judged = judge(unit(plain("a", span=(0.0, 10.0)), plain("b", sentinels=(0xFFFF,))))
    given_block = block(u16(10, 3))
    assert judged(given_block) is given_block
    assert judged(given_block) is given_block


def test_a_sentinel_is_bad_and_out_of_range_is_uncertain() -> None:
    judged = judge(unit(*(plain(n, span=(1.0, 10.0), sentinels=(5, 0xFFFF)) for n in "abcde")))
    result = judged(block(u16(1, 5, 11, 0xFFFF, 0)))
    assert verdicts(result, 5) == [
        (GOOD, 0),
        (BAD, word(Status.SENTINEL)),
        (UNCERTAIN, word(Status.OUT_OF_RANGE)),
        (BAD, word(Status.SENTINEL)),
        (UNCERTAIN, word(Status.OUT_OF_RANGE)),
    ]


def test_what_was_found_is_found_again_when_the_column_does_not_change() -> None:
    judged = judge(unit(plain("a", sentinels=(7,)), plain("b", "i16", sentinels=(-1,))))
    bad, good = struct.pack(">h", -1), struct.pack(">h", 0)
    for first, second, expected in [
        (u16(7), bad, [BAD, BAD]), (u16(7), good, [BAD, GOOD]), (u16(7), good, [BAD, GOOD]),
        (u16(8), good, [GOOD, GOOD]), (u16(8), bad, [GOOD, BAD]),
    ]:  # fmt: skip
        result = judged(block(first, second))
        assert [q for q, _ in verdicts(result, 2)] == expected


def test_no_answer_at_all_stays_what_the_driver_said() -> None:
    failed = unit(plain("a")).failed(0, Status.NO_ANSWER)
    assert judge(unit(plain("a", sentinels=(0,))))(failed) is failed


def test_a_point_that_is_bad_already_keeps_its_reason() -> None:
    judged = judge(unit(*(plain(n, span=(1.0, 9.0)) for n in "abc")))
    given_block = block(
        u16(0, 0, 5),
        quality=bytes([BAD, GOOD, GOOD]),
        status=struct.pack(">3H", status_word(Status.REFUSED, 2), 0, 0),
    )
    assert verdicts(judged(given_block), 3) == [
        (BAD, status_word(Status.REFUSED, 2)),
        (UNCERTAIN, word(Status.OUT_OF_RANGE)),
        (GOOD, 0),
    ]


def test_an_uncertain_point_becomes_bad_but_never_better() -> None:
    judged = judge(unit(plain("a", sentinels=(0,)), plain("b", span=(1.0, 2.0))))
    given_block = block(
        u16(0, 0), quality=bytes([UNCERTAIN]), status=word(Status.STALE).to_bytes(2, "big")
    )
    assert verdicts(judged(given_block), 2) == [
        (BAD, word(Status.SENTINEL)),
        (UNCERTAIN, word(Status.STALE)),
    ]


def test_a_nan_is_a_sentinel_where_declared_and_nonsense_elsewhere() -> None:
    judged = judge(
        unit(plain("a", "f32", sentinels=(math.nan,)), plain("b", "f32"), plain("c", "f32"))
    )
    result = judged(block(f32(math.nan, math.nan, 1.0)))
    assert verdicts(result, 3) == [
        (BAD, word(Status.SENTINEL)),
        (BAD, word(Status.NOT_CONVERTIBLE)),
        (GOOD, 0),
    ]
    infinite = judged(block(f32(1.0, -math.inf, math.inf)))
    assert [q for q, _ in verdicts(infinite, 3)] == [GOOD, BAD, BAD]


def test_huge_floats_are_good_though_their_sum_is_infinite() -> None:
    judged = judge(unit(plain("a", "f64"), plain("b", "f64")))
    result = judged(block(struct.pack(">2d", 1.7e308, 1.7e308)))
    assert result.quality is None


def test_a_curve_is_judged_by_its_converted_value() -> None:
    table = Lookup(((0.0, 0.0), (100.0, 50.0)))
    judged = judge(unit(*(plain(n, conversion=table, range=(0.0, 40.0)) for n in "abc")))
    assert verdicts(judged(block(u16(80, 90, 101))), 3) == [
        (GOOD, 0),
        (UNCERTAIN, word(Status.OUT_OF_RANGE)),
        (BAD, word(Status.NOT_CONVERTIBLE)),
    ]


def test_text_and_booleans_are_left_alone() -> None:
    judged = judge(unit(plain("a", "text"), plain("b", "bool")))
    given_block = block(("x",), b"\x01")
    assert judged(given_block) is given_block


def test_a_block_of_some_points_is_judged_by_their_own_checks() -> None:
    judged = judge(unit(plain("a", sentinels=(1,)), plain("b", sentinels=(2,)), plain("c", "f32")))
    some = block(u16(1), f32(math.nan), presence=bytes([0b110]))
    assert verdicts(judged(some), 2) == [(GOOD, 0), (BAD, word(Status.NOT_CONVERTIBLE))]
    assert verdicts(judged(block(u16(2), presence=bytes([0b010]))), 1) == [
        (BAD, word(Status.SENTINEL))
    ]


@pytest.mark.parametrize("columns", [(), (u16(1, 2, 3),), (u16(1), u16(2)), ((1,),)])
def test_columns_of_another_table_are_not_judged_at_all(columns) -> None:
    judged = judge(unit(plain("a", sentinels=(0,)), plain("b")))
    with pytest.raises(ValueError):  # noqa: PT011
        judged(block(*columns))


checks = st.tuples(
    st.sampled_from(["u16", "i16", "f32"]),
    st.none() | st.tuples(st.integers(-3, 3), st.integers(0, 5)),
    st.sets(st.integers(-3, 6), max_size=2),
)


@given(st.lists(checks, min_size=1, max_size=6), st.data())
def test_judging_by_groups_says_what_judging_one_by_one_says(drawn, data) -> None:
    """Against the definition, written out, over three blocks in a row so that memory plays its part."""
    drawn.sort(key=lambda check: check[0])
    points = []
    for i, (kind, span, sentinels) in enumerate(drawn):
        bounds = None if span is None else (float(span[0]), float(span[0] + span[1]))
        points.append(plain(f"p{i}", kind, span=bounds, sentinels=tuple(sorted(sentinels))))
    device = unit(*points)
    judged = judge(device)
    for _ in range(3):
        raws, columns = [], []
        for kind, _, count in device.table.runs():
            low = 0 if kind == "u16" else -4
            value = st.integers(low, 7)
            if kind == "f32":
                value = value.map(float) | st.sampled_from([math.nan, math.inf])
            run = data.draw(st.lists(value, min_size=count, max_size=count))
            raws += run
            columns.append(struct.pack(f">{count}{'Hhf'[('u16', 'i16', 'f32').index(kind)]}", *run))
        expected = []
        for point, raw in zip(points, raws, strict=True):
            if raw in point.sentinels:
                expected.append((BAD, word(Status.SENTINEL)))
            elif not math.isfinite(raw):
                expected.append((BAD, word(Status.NOT_CONVERTIBLE)))
            elif point.raw_range and not point.raw_range[0] <= raw <= point.raw_range[1]:
                expected.append((UNCERTAIN, word(Status.OUT_OF_RANGE)))
            else:
                expected.append((GOOD, 0))
        result = judged(block(*columns))
        assert verdicts(result, len(points)) == expected
        assert [r.quality for r in readings(result, device.table)] == [q for q, _ in expected]


def test_a_compiled_device_judges_its_engineering_range(device) -> None:
    made = device(
        '[[point]]\nname = "t"\ntype = "int16"\nscale = 0.1\nrange = [-40, 85]\nsentinels = [0x8000]\n'
    )
    judged = judge(made)
    for raw, quality in [
        (850, GOOD),
        (851, UNCERTAIN),
        (-400, GOOD),
        (-401, UNCERTAIN),
        (-32768, BAD),
    ]:
        result = judged(block(struct.pack(">h", raw)))
        assert verdicts(result, 1)[0][0] == quality
    assert convert(made.points[0].point.conversion, 850) == 85.0


def test_devices_that_share_their_points_are_judged_each_by_itself() -> None:
    points = (plain("level", sentinels=(0xFFFF,)), plain("other"))
    table = PointTable(1, "d", tuple(p.point for p in points))
    first, second = (
        judge(Device(name, number, "c", number, points, table, bytes(32)))
        for number, name in enumerate("ab", 1)
    )
    assert verdicts(first(block(u16(0xFFFF, 1))), 2)[0][0] == BAD
    assert verdicts(second(block(u16(3, 1))), 2) == [(GOOD, 0)] * 2
    assert verdicts(first(block(u16(0xFFFF, 1))), 2)[0][0] == BAD


def test_the_same_points_in_another_table_are_looked_at_anew() -> None:
    points = (plain("level", sentinels=(0xFFFF,)),)
    judge(unit(*points))(block(u16(1)))
    wide = PointTable(1, "d", (Point("level", "u32"),))
    judged = judge(Device("d", 1, "c", 1, points, wide, bytes(32)))
    assert judged(block(struct.pack(">I", 70_000))).quality is None
