"""JSON messages: what a template makes of a record, and what it never does."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from headgate.columns import pack
from headgate.model import (
    Alarm,
    BitField,
    Block,
    Gap,
    GapReason,
    Item,
    Linear,
    Point,
    PointTable,
    Quality,
    Status,
    status_word,
)
from headgate.sdk import ConfigError, UplinkContext
from headgate_plugins.mqtt_json.render import Renderer, iso
from headgate_plugins.mqtt_json.template import TemplateError, compile_json
from headgate_plugins.mqtt_json.uplink import read_options

DIGEST = bytes(32)
TABLE = PointTable(
    3,
    "gauge-003",
    (
        Point("level", "u16", "m", Linear(1.0, 1000.0, 12.5), title="水位"),
        Point("battery", "u16", "V", Linear(0.1)),
        Point("door", "u16", "1", BitField(3)),
        Point("note", "text"),
        Point("flow", "f32", "m3/s"),
    ),
    name='North "weir"',
    labels={"district": "北", "odd": 'a"}{b'},
)
WALL = 1_700_000_000_000_000


def block(**changes: Any) -> Block:
    made = {
        "columns": (pack("u16", [1234, 127, 8]), ("ok",), pack("f32", [2.5])),
        "slot": 7,
        **changes,
    }
    return Block(3, DIGEST, 678_000, **made)


def rendered(*items: Item, synced: bool = True, **options: Any) -> list[tuple[str, Any]]:
    context = UplinkContext("json", "gate-7", {"url": "mqtt://127.0.0.1", **options})
    _, shape, _ = read_options(context)
    problems: list[str] = []
    made = Renderer(shape, {DIGEST: TABLE}.get).messages(
        items, lambda at: WALL + at if synced else None, problems.append
    )
    found = [(topic, json.loads(payload)) for topic, payload in made]
    assert problems == []
    return found


def test_without_a_template_a_block_is_one_message() -> None:
    assert rendered(block()) == [
        (
            "city/gate-7/gauge-003",
            {
                "gateway": "gate-7",
                "device": "gauge-003",
                "name": 'North "weir"',
                "time": "2023-11-14T22:13:20.678Z",
                "time_state": "synced",
                "slot": 7,
                "values": {
                    "level": 13.734,
                    "battery": 127 * 0.1,
                    "door": 1,
                    "note": "ok",
                    "flow": 2.5,
                },
                "quality": {},
            },
        )
    ]


def test_a_value_that_is_not_good_says_so_and_a_bad_one_has_no_number() -> None:
    qualities = bytes([Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.GOOD, Quality.GOOD])
    statuses = b"".join(
        status_word(s).to_bytes(2, "big")
        for s in (Status.NONE, Status.OUT_OF_RANGE, Status.SENTINEL, Status.NONE, Status.NONE)
    )
    ((_, said),) = rendered(block(quality=qualities, status=statuses))
    assert said["quality"] == {"battery": "uncertain", "door": "bad"}
    assert said["values"]["door"] is None
    assert said["values"]["battery"] == 127 * 0.1


@pytest.mark.parametrize("quality", [None, bytes([Quality.UNCERTAIN])])
def test_a_number_that_is_none_is_bad(quality: bytes | None) -> None:
    columns = (pack("u16", [1, 1, 1]), ("",), pack("f32", [math.nan]))
    ((_, said),) = rendered(block(columns=columns, quality=quality, status=quality and bytes(2)))
    assert said["values"]["flow"] is None
    assert said["quality"]["flow"] == "bad"


def test_a_look_that_brought_nothing_is_told_not_hidden() -> None:
    failed = block(
        columns=None,
        quality=bytes([Quality.BAD]),
        status=status_word(Status.NO_ANSWER).to_bytes(2, "big"),
    )
    ((_, said),) = rendered(failed)
    assert set(said["values"].values()) == {None}
    assert set(said["quality"].values()) == {"bad"}


def test_only_points_that_the_look_speaks_of_are_there() -> None:
    ((_, said),) = rendered(block(presence=b"\x01", columns=(pack("u16", [1]),)))
    assert said["values"] == {"level": 12.501}


def test_without_a_trusted_time_there_is_no_time() -> None:
    ((_, said),) = rendered(block(), synced=False)
    assert (said["time"], said["time_state"]) == (None, "unsynced")


def test_a_template_keeps_types_and_quotes_what_it_must() -> None:
    template = """{
        "{device}": [{"ts": "{time_ms}", "values": "{values}"}],
        "by": "{name} at {slot}", "l": "{label.odd}", "none": "{label.x}",
        "fixed": [1, null, "{{literal}}"]
    }"""
    ((_, said),) = rendered(block(), template=template)
    assert said["gauge-003"][0]["ts"] == 1_700_000_000_678
    assert said["gauge-003"][0]["values"]["level"] == 13.734
    assert said["by"] == 'North "weir" at 7'
    assert said["l"] == 'a"}{b'
    assert said["none"] is None
    assert said["fixed"] == [1, None, "{literal}"]


def test_per_point_there_is_a_message_for_each() -> None:
    template = '{"v": "{value}", "u": "{unit}", "t": "{title}", "raw": "{raw}", "q": "{quality}"}'
    topic = "{gateway}/{device}/{point}"
    made = rendered(block(), per="point", topic=topic, template=template)
    assert [topic for topic, _ in made][:2] == [
        "gate-7/gauge-003/level",
        "gate-7/gauge-003/battery",
    ]
    assert made[0][1] == {"v": 13.734, "u": "m", "t": "水位", "raw": 1234, "q": "good"}


def test_no_label_breaks_a_topic() -> None:
    labels = {"place": "a+b#c\0d"}
    table = msgspec.structs.replace(TABLE, labels=labels)
    for topic, expected in (("x/{label.place}", "x/a_b_c_d"), ("{label.none}", "_")):
        _, shape, _ = read_options(
            UplinkContext("json", "gate-7", {"url": "mqtt://127.0.0.1", "topic": topic})
        )
        ((made, _),) = Renderer(shape, {DIGEST: table}.get).messages(
            [block()], lambda at: at, lambda reason: None
        )
        assert made == expected


def test_a_batch_joins_messages_of_one_topic() -> None:
    made = rendered(*(block(slot=n) for n in range(5)), batch=2)
    assert [[each["slot"] for each in payload] for _, payload in made] == [[0, 1], [2, 3], [4]]


def test_gaps_and_alarms_have_topics_of_their_own_or_none() -> None:
    items = (
        block(),
        Gap(3, GapReason.DEVICE_SILENT, 0, 1_000_000, 2, 10),
        Alarm(3, "level", "high", 700, True, 2_000_000, 13.7, "over the bank"),
    )
    assert len(rendered(*items)) == 1
    made = rendered(*items, gap_topic="gaps/{gateway}", alarm_topic="alarms/{device}/{point}")
    assert [topic for topic, _ in made[1:]] == ["gaps/gate-7", "alarms/gauge-003/level"]
    assert made[1][1]["reason"] == "device-silent"
    assert made[1][1]["looks"] == 2
    assert made[2][1]["active"] is True


def test_static_fields_and_units_join_the_default() -> None:
    ((_, said),) = rendered(block(), fields={"site": "north", "v": 2}, units=True)
    assert (said["site"], said["v"]) == ("north", 2)
    assert said["units"]["flow"] == "m3/s"


def test_a_block_without_its_table_is_reported_and_the_others_go() -> None:
    context = UplinkContext("json", "gate-7", {"url": "mqtt://127.0.0.1"})
    _, shape, _ = read_options(context)
    problems: list[str] = []
    stranger = Block(4, b"\xff" * 32, 0, columns=())
    made = Renderer(shape, {DIGEST: TABLE}.get).messages(
        [stranger, block(columns=()), block()], lambda at: at, problems.append
    )
    assert len(list(made)) == 1
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("options", "where", "code"),
    [
        ({"template": "{"}, "template", "HG-5040"),
        ({"template": '{"a": "{levle}"}'}, "template", "HG-5040"),
        ({"template": '{"a": "{"}'}, "template", "HG-5040"),
        ({"template": "{}", "units": True}, "units", "HG-5041"),
        ({"topic": "city/+/{device}"}, "topic", "HG-5040"),
        ({"topic": "city/{point}"}, "topic", "HG-5040"),
        ({"per": "blok"}, "per", "HG-1105"),
        ({"batch": 0}, "batch", "HG-1106"),
        ({"templat": "{}"}, "templat", "HG-1101"),
        ({"url": "http://x"}, "url", "HG-5030"),
    ],
)
def test_a_mistake_has_a_place(options: dict[str, Any], where: str, code: str) -> None:
    given = {"url": "mqtt://127.0.0.1", **options}
    with pytest.raises(ConfigError) as caught:
        read_options(UplinkContext("json", "gate-7", given))
    assert [(p.where, p.code) for p in caught.value.problems] == [(f"uplink json: {where}", code)]


def test_a_closing_brace_alone_is_a_mistake_too() -> None:
    with pytest.raises(TemplateError):
        compile_json('{"a": "x}"}', ())


def test_times_before_1970_and_none() -> None:
    assert iso(None) is None
    assert iso(-1_000) == "1969-12-31T23:59:59.999Z"
