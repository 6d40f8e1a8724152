"""SZY 206 frames out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.streams import Stream, StreamTests, vectors

from headgate_drivers.szy206 import body
from headgate_drivers.szy206.body import Reading
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.crc import crc8
from headgate_drivers.szy206.frames import LONGEST, Afn, Fault, Frame, Kind, encode
from headgate_drivers.szy206.items import LINKS, Label, Message, Value

VECTORS = vectors("szy206")
VALID = [v for v in VECTORS if v["kind"] == "valid"]
GOOD = bytes.fromhex(VALID[0]["hex"])
NOISE = (b"", b"\r\n", b"+IPD,60:", b"\x16", b"\x68", b"\x68\x68", b"\xfe\xfe\x68\x10", b"hhh")
PART = bytes(range(256)) * 4
AT = Label(0, 30, 14, 18, 7, 26, 5)

STREAM = Stream(Codec, Frame)
all_of, frames_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, GOOD
    longest = LONGEST
    encode = staticmethod(encode)
    noise = NOISE


def one(raw: bytes) -> Message:
    (frame,) = all_of(raw)
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    return frame.message


def labelled(label: Label) -> Any:
    if label.at is not None:
        return label.at.isoformat()
    return {
        "second": label.second, "minute": label.minute, "hour": label.hour, "day": label.day,
        "delay_min": label.delay_min,
    }  # fmt: skip


def fields(frame: Frame) -> dict[str, Any]:
    message = frame.message
    assert message is not None
    return {
        "dir": "up" if frame.up else "down",
        "div": bool(frame.parts),
        "fcb": frame.tries,
        "kind": frame.kind.name.lower(),
        "address": frame.address,
        "admin_code": frame.admin_code,
        "station": frame.station,
        "AFN": f"{frame.afn:02X}",
        "data_raw": message.raw.hex().upper(),
        "alarm_bits": list(message.alarms),
        "state_bits": list(message.states),
        "Tp": None if message.label is None else labelled(message.label),
        "link": LINKS.get(message.link or 0),
        "work_mode": message.mode,
        **{each.name: each.value for each in message.values},
    }


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_every_frame_says_what_it_says(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = frames_in(raw)
    found = fields(frame)
    message = frame.message
    assert message is not None
    for field in vector["fields"]:
        assert found[field["field"]] == field["value"], field
        if "unit" in field:
            (value,) = [each for each in message.values if each.name == field["field"]]
            assert (value.unit, value.depth_cm) == (field["unit"], field.get("depth_cm"))
        if "delay_min" in field:
            assert message.label is not None
            assert message.label.delay_min == field["delay_min"]
    assert encode(frame) == raw
    assert body.write(frame, message) == frame.data


def test_a_length_that_swallows_its_follower_does_not_lose_it() -> None:
    swallows = GOOD[:1] + b"\xff" + GOOD[2:]
    events = all_of(swallows + GOOD)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("truncated", len(GOOD))
    assert events[1:] == all_of(GOOD)


def test_a_frame_that_claims_a_picture_does_not_hold_up_those_behind_it() -> None:
    claims = bytes.fromhex("684068F02A4406070001610000FF")
    assert frames_in(claims + GOOD) == frames_in(GOOD)


# ---------------------------------------------------------------- what stations say


def report(kind: Kind, data: str, afn: int = Afn.REPORT, tries: int = 3) -> bytes:
    frame = Frame(True, tries, kind, "4207031100", afn, bytes.fromhex(data.replace(" ", "")))
    return encode(frame)


WORDS = "00002000"
TP7, TP5 = "00301418072605", "0030141805"


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        (Kind.VELOCITY, "562401 5624F1", {"velocity_1": 12.456, "velocity_2": -12.456}),
        (Kind.GATE, "345602 AAAAAA", {"gate_1": 256.34, "gate_2": None}),
        (Kind.POWER, "150000", {"power_1": 15.0}),
        (
            Kind.WEATHER,
            "131000 250380 5621",
            None,
        ),
        (
            Kind.WEATHER,
            "131000 250380 56F2",
            {
                "air_pressure": 1013.0, "wind_speed": 3.25, "wind_direction": 8.0,
                "air_temperature": -25.6,
            },
        ),
        (Kind.ELECTRICITY, "78563412", {"energy_1": 123456.78}),
        (Kind.ELECTRICITY, "250330", {"wind_speed": 3.25, "wind_direction": 3.0}),
        (Kind.WATER_TEMPERATURE, "1502", {"water_temperature_1": 21.5}),
        (Kind.EVAPORATION, "120000", {"evaporation_1": 1.2}),
        (
            Kind.QUALITY,
            "0300000000 15020000 21070000",
            {"water_temperature": 21.5, "ph": 7.21},
        ),
        (Kind.STATISTICS, "42 250000", {"rain_2h": 2.5}),
        (Kind.STATISTICS, "01 250000", {"rain_5min": 2.5}),
        (
            Kind.FLOW,
            "00590000C0 8261100000",
            {"flow_1": -5.9, "total_1": 106182.0},
        ),
        (Kind.FLOW, "0059000030 AAAAAAAAAA", {"flow_1": 5.9, "total_1": None}),
        (Kind.FLOW, "0059000000", {"flow_1": 5.9}),
        (Kind.ALARM, "", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("label", [TP7, TP5])
def test_each_kind_of_value_is_read_before_either_label(
    kind: Kind, data: str, wanted: dict[str, float | None] | None, label: str
) -> None:
    raw = report(kind, data + WORDS + label)
    if wanted is None:
        (event,) = all_of(raw)
        assert isinstance(event, Fault)
        assert event.code == "bad_field"
        return
    message = one(raw)
    assert {each.name: each.value for each in message.values} == wanted
    assert message.states == (5,)
    assert message.label is not None
    assert message.label.delay_min == 5
    (frame,) = frames_in(raw)
    assert body.write(frame, message) == frame.data


def test_a_flow_says_its_own_unit() -> None:
    per_second, per_hour = one(report(Kind.FLOW, "0059000000 0059000030" + WORDS + TP7)).values
    assert (per_second.name, per_second.unit) == ("flow_1", "m3/s")
    assert per_hour.name == "total_1"  # ten bytes are a flow and its total
    hour = one(report(Kind.FLOW, "0059000030 AAAAAAAAAA" + WORDS + TP7)).values[0]
    assert (hour.value, hour.unit) == (5.9, "m3/h")


def test_a_real_frame_without_totals_has_its_own_five_bytes_of_time() -> None:
    raw = bytes.fromhex("681568B34406070001C0AAAAAAAAAA004040000000000101E516")
    message = one(raw)
    assert message.values == (Value("flow_1", None, "m3/s"),)
    assert message.label == Label(0, 0, 0, 1, delay_min=1)


def test_words_with_the_high_byte_first_are_read_as_the_profile_says() -> None:
    (frame,) = frames_in(GOOD)
    assert body.read(frame).alarms == ("ac_power_fail", "remaining_water_low")  # type: ignore[union-attr]
    other = body.read(frame, Reading(words="big"))
    assert other is not None
    assert other.alarm == 0x0110


def test_what_does_not_fit_is_told_with_its_frame() -> None:
    (event,) = all_of(report(Kind.LEVEL, "731802" + WORDS + TP7))
    assert isinstance(event, Fault)
    assert event.code == "bad_field"
    assert event.frame is not None
    (event,) = all_of(report(Kind.LEVEL, "7318020B" + WORDS + TP7))
    assert isinstance(event, Fault)
    assert event.frame is not None
    assert event.frame.message is not None
    assert event.frame.message.values == (Value("level_1", None, "m", wrong=True),)


def test_a_station_whose_clock_is_none_is_read_all_the_same() -> None:
    (event,) = all_of(report(Kind.LEVEL, "73180200" + WORDS + "AAAAAAAAAAAA00"))
    assert isinstance(event, Fault)
    assert event.frame is not None
    assert event.frame.message is not None
    assert event.frame.message.values == (Value("level_1", 21.873, "m"),)
    assert event.frame.message.label is None


@pytest.mark.parametrize("afn", [Afn.ALARM, Afn.BY_HAND])
def test_alarms_and_values_by_hand_are_reports(afn: Afn) -> None:
    message = one(report(Kind.LEVEL, "73180200 0400 2000" + TP7, afn))
    assert message.alarms == ("level_limit",)
    assert message.values[0].value == 21.873


def test_an_alarm_may_say_nothing_but_itself() -> None:
    message = one(report(Kind.ALARM, "0400" + TP7, Afn.ALARM))
    assert (message.alarms, message.state) == (("level_limit",), None)


def test_supply_voltage_is_a_report_of_its_own() -> None:
    message = one(report(Kind.ALARM, "8012" + WORDS + TP7, Afn.VOLTAGE))
    assert message.values == (Value("voltage", 12.8, "V"),)


def test_an_answer_may_hold_several_kinds_and_no_time() -> None:
    message = one(report(Kind.STATISTICS, "C0 250000 73180200" + WORDS, Afn.ASK_VALUES))
    assert [(each.name, each.value) for each in message.values] == [
        ("rain", 2.5),
        ("level_1", 21.873),
    ]


def test_the_month_of_a_short_label_is_the_nearest() -> None:
    label = Label(0, 45, 23, 31)
    assert label.near(datetime(2026, 2, 1)) == datetime(2026, 1, 31, 23, 45)  # noqa: DTZ001
    assert Label(0, 5, 0, 1).near(datetime(2026, 12, 31, 23)) == datetime(2027, 1, 1, 0, 5)  # noqa: DTZ001
    assert Label(0, 0, 0, 31).near(datetime(2026, 4, 15)) == datetime(2026, 3, 31)  # noqa: DTZ001


def test_a_part_of_a_picture_is_as_long_as_it_says_itself() -> None:
    frame = Frame(
        True, 3, Kind.ACK, "4406070001", Afn.PICTURE_RECORD, PART, parts=42, picture=True
    )  # fmt: skip
    raw = encode(frame)
    assert raw[:13] == bytes.fromhex("680168F02A4406070001610004")
    assert len(raw) == 1039
    assert all_of(raw) == [frame]
    assert frames_in(raw + GOOD + raw, 7) == [frame, *frames_in(GOOD), frame]


def test_the_check_is_not_a_sum() -> None:
    assert crc8(GOOD[3:-2]) == GOOD[-2] == 0x35


# ---------------------------------------------------------------- written and read again

NUMBER = st.integers(0, 999_999)
FORMS: dict[Kind, Any] = {
    Kind.RAIN: st.builds(lambda n: [Value("rain", n / 10, "mm")], NUMBER),
    Kind.LEVEL: st.lists(st.integers(-9_999_999, 9_999_999), min_size=1, max_size=4).map(
        lambda all_: [Value(f"level_{i}", n / 1000, "m") for i, n in enumerate(all_, 1)]
    ),
    Kind.PRESSURE: st.builds(lambda n: [Value("pressure_1", n / 100, "kPa")], NUMBER),
    Kind.FLOW: st.builds(
        lambda n, m, unit: [Value("flow_1", n / 1000, unit), Value("total_1", float(m), "m3")],
        st.integers(-99_999_999, 99_999_999), st.integers(0, 7_999_999_999),
        st.sampled_from(["m3/s", "m3/h"]),
    ),
    Kind.SOIL: st.builds(
        lambda n, d: [Value("soil_moisture_1", n / 10, "%", depth_cm=float(d))],
        st.integers(0, 999), st.integers(0, 999),
    ),
    Kind.STATISTICS: st.builds(lambda n: [Value("rain_2h", n / 10, "mm")], NUMBER),
}  # fmt: skip


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(FORMS)))
    told = data.draw(FORMS[kind])
    words = data.draw(st.tuples(st.integers(0, 0x3FFF), st.integers(0, 0xFFFF)))
    message = Message(tuple(told), b"", *words, AT)
    empty = Frame(True, 3, kind, "4207031100", Afn.REPORT)
    frame = Frame(True, 3, kind, "4207031100", Afn.REPORT, body.write(empty, message))
    (found,) = all_of(encode(frame))
    assert isinstance(found, Frame)
    assert found.message is not None
    assert (found.message.values, found.message.label) == (message.values, AT)
    assert (found.message.alarm, found.message.state) == words


# ---------------------------------------------------------------- where the editions differ


@pytest.mark.parametrize("label", [TP7, TP5])
@pytest.mark.parametrize(
    ("kind", "data", "name", "value", "alarm"),
    [
        (Kind.LEVEL, "0400 73180200 2000", "level_1", 21.873, 4),  # clause 7.5.2
        (Kind.LEVEL, "73180200 0400 2000", "level_1", 21.873, 4),
        (Kind.FLOW, "0800 0059000000 AAAAAAAAAA 2000", "flow_1", 5.9, 8),
        (Kind.FLOW, "0059000000 AAAAAAAAAA 0800 2000", "flow_1", 5.9, 8),
        (Kind.PRESSURE, "0001 40250300 2000", "pressure_1", 325.4, 0x100),
        (Kind.PRESSURE, "40250300 0001 2000", "pressure_1", 325.4, 0x100),
        (Kind.RAIN, "0000 850600 2000", "rain", 68.5, 0),
    ],
)
def test_an_alarm_word_stands_before_its_values_or_behind_them(
    kind: Kind, data: str, name: str, value: float, alarm: int, label: str
) -> None:
    raw = report(kind, data + label, Afn.ALARM)
    message = one(raw)
    assert (message.values[0].name, message.values[0].value) == (name, value)
    assert (message.alarm, message.state) == (alarm, 0x20)
    assert message.label is not None
    (frame,) = frames_in(raw)
    assert body.write(frame, message) == frame.data


@pytest.mark.parametrize("words", ["", WORDS])
@pytest.mark.parametrize("label", ["", TP5, TP7])
def test_a_voltage_stands_alone_or_with_words_and_a_time(words: str, label: str) -> None:
    raw = report(Kind.ALARM, "8012" + words + label, Afn.VOLTAGE)
    message = one(raw)
    assert message.values == (Value("voltage", 12.8, "V"),)
    assert (message.state, message.label is None) == (0x20 if words else None, not label)
    (frame,) = frames_in(raw)
    assert body.write(frame, message) == frame.data


QUALITY = "28000000 00 21070000 34120000"  # bits 3 and 5


@pytest.mark.parametrize(
    ("label", "edition", "wanted"),
    [
        (TP7, "", {"conductivity": 721.0, "permanganate_index": 12.34}),
        (TP5, "", {"permanganate_index": 7.21, "orp": 123.4}),
        (TP5, "szy206-2012", {"permanganate_index": 72.1, "orp": 123.4}),
        (TP7, "szy206", {"permanganate_index": 7.21, "orp": 123.4}),
    ],
)
def test_water_quality_is_read_by_the_table_of_its_edition(
    label: str, edition: Any, wanted: dict[str, float]
) -> None:
    (frame,) = frames_in(report(Kind.QUALITY, QUALITY + WORDS + label))
    message = body.read(frame, Reading(edition=edition))
    assert message is not None
    assert {each.name: each.value for each in message.values} == wanted
    assert body.write(frame, message) == frame.data


@pytest.mark.parametrize(
    ("data", "label", "names"),
    [
        ("3402 1000", TP7, ["soil_moisture_1"]),  # a moisture and its depth
        ("3402 1502", TP5, ["soil_moisture_1", "soil_moisture_2"]),  # two moistures
    ],
)
def test_soil_has_a_depth_only_in_the_newer_edition(
    data: str, label: str, names: list[str]
) -> None:
    message = one(report(Kind.SOIL, data + WORDS + label))
    assert [each.name for each in message.values] == names
    assert (message.values[0].value, message.values[0].depth_cm) == (
        23.4,
        10.0 if label == TP7 else None,
    )


@pytest.mark.parametrize(
    ("data", "edition", "wanted"),
    [
        # rain, flow, weather, soil, pressure by SL/T 427
        (
            "AB 250000 0059000000 8261100000 131000 250380 56F2 3402 1000 40250300",
            "slt427",
            {"rain": 2.5, "flow_1": 5.9, "air_temperature": -25.6, "pressure_1": 325.4},
        ),
        # level, wind, soil, quality by SZY 206
        (
            "4B 73180200 250330 3402 0300000000 15020000 21070000",
            "szy206",
            {"level_1": 21.873, "wind_speed": 3.25, "soil_moisture_1": 23.4, "ph": 7.21},
        ),
    ],
)
def test_several_kinds_in_one_answer_are_those_of_the_edition(
    data: str, edition: Any, wanted: dict[str, float]
) -> None:
    (frame,) = frames_in(report(Kind.STATISTICS, data + WORDS, Afn.ASK_VALUES))
    message = body.read(frame, Reading(edition=edition))
    assert message is not None
    found = {each.name: each.value for each in message.values}
    assert {name: found[name] for name in wanted} == wanted
    assert body.write(frame, message) == frame.data


def test_the_voltage_is_asked_for_as_the_values_are() -> None:
    message = one(report(Kind.ALARM, "8012" + WORDS, Afn.ASK_VALUES))
    assert message.values == (Value("voltage", 12.8, "V"),)


def test_a_confirmation_of_a_picture_has_a_mode() -> None:
    frame = Frame(False, 3, Kind.ACK, "4207031100", Afn.PICTURE, bytes.fromhex("00" + TP7), parts=7)
    (found,) = frames_in(encode(frame))
    assert found.message is not None
    assert (found.parts, found.message.mode, found.message.label) == (7, 0, AT)


def test_what_no_table_knows_is_carried_as_bytes() -> None:
    for afn in (0x47, 0x7E, 0xD4, 0xEE):
        raw = encode(Frame(True, 3, Kind.ACK, "4207031100", afn, b"\x01\x02\x03"))
        (frame,) = frames_in(raw)
        assert frame.message == Message(raw=b"\x01\x02\x03")
    own = encode(Frame(True, 3, Kind.ACK, "4207031100", 0xFF, b"\x01\x02", own=0x21))
    (frame,) = frames_in(own)
    assert (frame.own, frame.data) == (0x21, b"\x01\x02")
