"""Deadband: what passes, what is held back, and what is said about it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import pack, raw_values
from headgate.model import Block, Linear, Lookup, Point, PointTable, Quality, Status, status_word
from headgate.sdk import ConfigError, Device, DevicePoint
from headgate_plugins.deadband import DeadbandStage

S = 1_000_000
POINTS = (
    Point("level", "u16", "m", Linear(1.0, 1000.0), deadband=0.010),
    Point("battery", "u16", "V", Linear(-1.0, 10.0, 30.0), deadband=0.5),
    Point("note", "text"),
    Point("flow", "f32", "m3/s", Lookup(((0.0, 0.0), (10.0, 100.0))), deadband=5.0),
    Point("rate", "f64", "1"),
)
TABLE = PointTable(1, "gauge-001", POINTS)
DEVICE = Device("gauge-001", 1, "line", 1, tuple(DevicePoint(p) for p in POINTS), TABLE, bytes(32))


def look(at_s: float, *, level: int = 1000, battery: int = 50, note: str = "", flow: float = 1.0, rate: float = 0.0, **changes: Any) -> Block:  # fmt: skip # noqa: E501
    columns = (pack("u16", [level, battery]), (note,), pack("f32", [flow]), pack("f64", [rate]))
    made = {"slot": round(at_s), "columns": columns, **changes}
    return Block(1, bytes(32), round(at_s * S), **made)


def step(**options: Any) -> Any:
    made = DeadbandStage(options).step(DEVICE)
    assert made is not None
    return made


def is_mark(blocks: Any) -> bool:
    (block,) = blocks
    return block.columns == () and raw_values(block, TABLE) == []


def test_the_first_look_passes() -> None:
    first = look(0)
    assert list(step()(first)) == [first]


def test_what_has_not_moved_is_marked_and_keeps_its_slot() -> None:
    through = step()
    through(look(0))
    out = through(look(5))
    assert is_mark(out)
    assert (out[0].slot, out[0].at_us, out[0].table) == (5, 5 * S, bytes(32))


def test_what_has_not_moved_is_dropped_where_that_was_asked() -> None:
    through = step(unchanged="drop")
    through(look(0))
    assert list(through(look(5))) == []


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"level": 1010}, False),
        ({"level": 1011}, True),
        ({"level": 990}, False),
        ({"level": 989}, True),
        ({"battery": 55}, False),
        ({"battery": 56}, True),
        ({"note": "x"}, True),
        ({"flow": 1.5}, False),
        ({"flow": 1.6}, True),
        ({"rate": 1e-9}, True),
    ],
)
def test_a_point_has_moved_when_it_left_its_band(changes: dict[str, Any], passes: bool) -> None:
    through = step()
    through(look(0))
    now = look(1, **changes)
    assert (list(through(now)) == [now]) is passes


def test_a_slow_drift_adds_up() -> None:
    through = step()
    passed = [n for n in range(60) if not is_mark(through(look(n, level=1000 + 2 * n)))]
    assert passed == [0, *range(6, 60, 6)]


def test_quality_changes_always_pass_both_ways() -> None:
    through = step()
    through(look(0))
    qualities = bytes([Quality.BAD, 0, 0, 0, 0])
    statuses = status_word(Status.SENTINEL).to_bytes(2, "big") + bytes(8)
    bad = look(1, level=65535, quality=qualities, status=statuses)
    assert list(through(bad)) == [bad]
    # A bad value means nothing: that it differs is no news.
    assert is_mark(through(look(2, level=65534, quality=qualities, status=statuses)))
    good = look(3)
    assert list(through(good)) == [good]


def test_a_failed_look_always_passes_and_so_does_the_one_after() -> None:
    through = step()
    through(look(0))
    for at in (1, 2):
        failed = DEVICE.failed(at * S, Status.NO_ANSWER)
        assert list(through(failed)) == [failed]
    back = look(3)
    assert list(through(back)) == [back]


def test_a_whole_look_passes_at_least_so_often() -> None:
    through = step(at_least="10s")
    passed = [n for n in range(31) if not is_mark(through(look(n)))]
    assert passed == [0, 10, 20, 30]


def test_only_the_points_that_moved_where_that_was_asked() -> None:
    through = step(send="points", at_least="10s")
    through(look(0))
    (out,) = through(look(1, level=1200, flow=9.0))
    assert raw_values(out, TABLE) == [(0, 1200), (3, 9.0)]
    assert out.quality is None
    qualities = bytes([0, Quality.UNCERTAIN, 0, 0, 0])
    (out,) = through(look(2, level=1200, flow=9.0, quality=qualities, status=bytes(10)))
    assert raw_values(out, TABLE) == [(1, 50)]
    assert out.quality == bytes([Quality.UNCERTAIN])
    # Points sent alone do not put off the whole look.
    whole = look(10, level=1200, flow=9.0)
    assert list(through(whole)) == [whole]


def test_looks_at_parts_of_a_device_are_told_apart() -> None:
    through = step(at_least="10s")
    left = {"presence": b"\x01", "columns": (pack("u16", [1000]),)}
    right = {"presence": b"\x10", "columns": (pack("f64", [1.0]),)}
    passed = [
        (n, name)
        for n in range(12)
        for name, part in (("left", left), ("right", right))
        if not is_mark(through(look(n, **part)))
    ]
    assert passed == [(0, "left"), (0, "right"), (10, "left"), (10, "right")]


def test_offsets_go_with_their_points() -> None:
    through = step(send="points")
    through(look(0))
    offsets = b"".join(n.to_bytes(8, "big") for n in range(5))
    (out,) = through(look(1, flow=9.0, offsets_us=offsets))
    assert out.offsets_us == (3).to_bytes(8, "big")


def test_the_site_file_overrides_the_profile() -> None:
    through = step(points={"level": 0.5, "rate": 1})
    through(look(0))
    assert is_mark(through(look(1, level=1400, rate=0.9)))
    assert not is_mark(through(look(2, level=1501)))


def test_not_a_number_is_not_a_move_by_itself() -> None:
    through = step(points={"rate": 0.1})
    through(look(0, rate=math.nan))
    assert is_mark(through(look(1, rate=math.nan, battery=51)))
    assert not is_mark(through(look(2, rate=0.0)))


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60))
def test_what_was_sent_is_never_further_off_than_the_band(levels: list[int]) -> None:
    through = step(unchanged="drop", at_least="1h")
    known = None
    for n, level in enumerate(levels):
        for block in through(look(n, level=level)):
            known = dict(raw_values(block, TABLE))[0]
        assert known is not None
        assert abs(known - level) <= 10


@pytest.mark.parametrize(
    ("options", "where", "code"),
    [
        ({"at_least": 10}, "at_least", "HG-1107"),
        ({"points": {"level": "x"}}, "points.level", "HG-1103"),
        ({"points": {"level": -1}}, "points.level", "HG-1106"),
        ({"send": "point"}, "send", "HG-1105"),
        ({"unchangd": "drop"}, "unchangd", "HG-1101"),
    ],
)
def test_a_mistake_has_a_place(options: dict[str, Any], where: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DeadbandStage(options)
    (problem,) = caught.value.problems
    assert (problem.where, problem.code) == (f"stage deadband: {where}", code)
