"""What bodies say, in both codings: the standard's clauses, and that everything written is read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_drivers.sl651 import replies, values
from headgate_drivers.sl651.codec import Codec, compose, understand
from headgate_drivers.sl651.elements import CLASSES, ELEMENTS, EVENTS, SLOTS, STATUS_BITS
from headgate_drivers.sl651.fields import WITH_CLASS, Function
from headgate_drivers.sl651.frames import Coding, Control, Direction, Frame, encode
from headgate_drivers.sl651.items import (
    Asked,
    Batch,
    Element,
    Events,
    Gates,
    Item,
    Message,
    Observed,
    Picture,
    Quota,
    Raw,
    Rest,
    Series,
    Slots,
    Station,
    Status,
    Step,
    Switches,
    Text,
    Version,
    rows,
)  # fmt: skip
from headgate_drivers.sl651.packets import Assembly, split
from headgate_drivers.sl651.parameters import PARAMETERS, RUNNING

TABLES = json.loads(
    (Path(__file__).parents[2] / "vectors" / "protocols" / "sl651_tables.json").read_text()
)
AT = datetime(2026, 7, 18, 14, 30, 5)  # noqa: DTZ001 the station's own time
HEAD = "0001260718143005"
ME = "F1F10061512045"
WHEN = "F0F02607181430"


def frame(function: int, body: bytes, *, up: bool = True, coding: Coding = Coding.BCD) -> Frame:
    direction, end = (Direction.UP, Control.ETX) if up else (Direction.DOWN, Control.ENQ)
    return Frame(direction, 1, "0061512045", "1234", function, end, body, coding=coding)


def items(function: int, body: str, *, up: bool = True) -> tuple[Item, ...]:
    message = understand(frame(function, bytes.fromhex(HEAD + body), up=up))
    assert message.flaws == ()
    return message.items


def spelt(function: int, body: str, *, up: bool = True) -> tuple[Item, ...]:
    message = understand(frame(function, (HEAD + body).encode(), up=up, coding=Coding.ASCII))
    assert message.flaws == ()
    return message.items


@pytest.mark.parametrize(
    ("digits", "decimals", "value"),
    [
        ("000127", 3, 0.127),
        ("FF000127", 3, -0.127),
        ("FF0123", 1, -12.3),
        ("FF05", 1, -0.5),
        ("03", 0, 3),
        ("FFFFFF", 1, None),
        ("AAAAAA", 1, None),
        ("FF", 0, None),
        ("0A", 0, None),
        ("FFFF12", 1, None),
        ("", 0, None),
    ],
)
def test_bcd_numbers(digits: str, decimals: int, value: float | None) -> None:
    assert values.number(digits, decimals) == value


@pytest.mark.parametrize("text", ["M", "FFFF", "1e5", "1_0", "٣", "--1", "nan", "1.2.3", "9" * 40])
def test_what_is_no_number_in_ascii_is_none(text: str) -> None:
    assert values.decimal(text) is None


@given(st.integers(-99999, 99999), st.integers(0, 7))
@settings(max_examples=50, deadline=None)
def test_numbers_come_back(count: int, decimals: int) -> None:
    digits = values.digits_of(count / 10**decimals, 8, decimals)
    assert values.number(digits, decimals) == (count / 10**decimals if decimals else count)
    assert len(digits) == 16


def test_a_number_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="in 2 bytes"):
        values.digits_of(-123.4, 2, 1)


def test_several_stations_and_times_in_one_report() -> None:
    second = "F1F1006151204648F0F0260718142539121234"
    message = understand(frame(0x32, bytes.fromhex(HEAD + ME + "48" + WHEN + "38121236" + second)))
    found = [
        (r.station and r.station.address, r.observed and r.observed.digits) for r in rows(message)
    ]
    assert found == [("0061512045", "2607181430"), ("0061512046", "2607181425")]


def test_even_steps_are_a_series_with_holes() -> None:
    body = ME + "48" + WHEN + "0418000005" + "2219" + "000005" + "FFFFFF" + "000010"
    *_, step, series = items(0x31, body)
    assert step == Step(0, 0, 5)
    assert isinstance(series, Series)
    assert series.values == (0.5, None, 1.0)


def test_a_series_may_be_followed_by_the_voltage_or_another_station() -> None:
    body = ME + "48" + WHEN + "0418000005" + "2219" + "000005" * 3
    assert items(0x38, body + "38121236")[-1] == Element(0x38, "1236", 2)
    assert items(0x38, body + ME + "48")[-1] == Station("0061512045", 0x48)


def test_hours_of_slots_are_one() -> None:
    rain = "05" * 12 + "FF" * 12
    *_, slots = items(0x38, ME + "50" + WHEN + "0418000000" + "F460" + rain)
    assert isinstance(slots, Slots)
    assert slots.values == (0.5,) * 12 + (None,) * 12


def test_a_class_that_is_missing_or_has_no_place_is_understood() -> None:
    assert items(0x32, ME + WHEN + "38121236")[0] == Station("0061512045")
    assert items(0x35, ME + "48" + WHEN + "F2F241")[0] == Station("0061512045", 0x48)


def test_users_own_identifiers_have_one_byte_more() -> None:
    assert items(0x32, ME + "48" + WHEN + "FF01110123")[-1] == Element(0xFF01, "0123", 1)


@pytest.mark.parametrize(
    ("function", "up", "body", "wanted"),
    [
        (0x4C, True, ME + "0105", Switches(b"\x05")),
        (0x4C, False, "020501", Switches(b"\x05\x01")),
        (0x4D, False, "0180", Switches(b"\x80")),
        (0x4E, True, ME + "02030150FFFF", Gates((True, True), (150, None))),
        (0x4E, False, "0A0102" + "0000" * 10, Gates((True,) + (False,) * 8 + (True,), (0,) * 10)),
        (0x4F, False, "FF", Quota(True)),
        (0x4F, True, ME + "00", Quota(False)),
        (0x45, True, ME + "04" + "56312E32", Version(b"V1.2")),
        (0x50, True, ME + "0001" * 32, Events((1,) * 32)),
        (0x4B, False, "452000000200", Status(0x200)),
        (0x47, False, "9700", Asked(0x97, parameter=True)),
        (0x48, False, "9800", Asked(0x98, parameter=True)),
        (0x49, False, "03101234031003E8", Raw(3, b"\x03\xe8")),
        (0x3A, False, "39233812", Asked(0x38, 0x12)),
        (0x38, False, "26071800260718080418000005" + "2219", Asked(0x22, 0x19)),
        (0x43, False, "20082108", Asked(0x21, 0x08, parameter=True)),
        (0x40, False, "0E06006151204503", Raw(0x0E, bytes.fromhex("006151204503"))),
        (0x42, False, "2823FF001250", Element(0x28, "FF001250", 3, parameter=True)),
        (0x32, True, ME + "48" + WHEN + "FDF60102", Batch(b"\x01\x02")),
        (0xE1, True, "CAFE", Rest(b"\xca\xfe")),
    ],
)
def test_each_function_has_its_body(function: int, up: bool, body: str, wanted: Item) -> None:
    found = items(function, body, up=up)
    assert found[-1] == wanted
    message = Message(1, "260718143005", found)
    assert compose(message, Coding.BCD) == bytes.fromhex(HEAD + body)


def test_switches_count_from_the_lowest_bit() -> None:
    assert Switches(b"\x05\x80").on == (True, False, True) + (False,) * 12 + (True,)


@pytest.mark.parametrize(
    ("function", "body"),
    [
        (0x32, ME + "48" + "F0F02613181430"),
        (0x32, ME + "48" + WHEN + "3923000A1870"),
        (0x32, ME + "48" + WHEN + "39230001"),
        (0x4C, ME + "0301"),
        (0x4E, ME + "020100"),
        (0x4F, ME + "01"),
        (0x50, ME + "0001"),
    ],
)
def test_a_body_that_makes_no_sense_says_so(function: int, body: str) -> None:
    assert understand(frame(function, bytes.fromhex(HEAD + body))).flaws


@pytest.mark.parametrize(
    ("function", "up", "body", "wanted"),
    [
        (0x32, True, "ST 0061512045 H TT 2607181430 Z -10.490 ", Element(0x39, "-10.490")),
        (0x32, True, "ST 0061512045 H TT 2607181430 Z M ", Element(0x39, "M")),
        (0x34, True, "ST 0061512045 H TT 2607181430 DRP " + "05" * 11 + "FF ",
         Slots(0xF4, b"\x05" * 11 + b"\xff", 12)),
        (0x46, True, "ST 0061512045 ZT 00000400 ", Status(0x400)),
        (0x35, True, "RGZS ST 61512045 Z 10.4 ", Text(b"ST 61512045 Z 10.4")),
        (0x36, True, "ST 0061512045 H TT 2607181430 PIC \x01 x ", Picture(b"\x01 x")),
        (0x38, True, "ST 0061512045 P TT 2607181430 DRH01 P1 1.5 M 2.0 ",
         Series(0x1A, ("1.5", "M", "2.0"))),
        (0x31, True, "ST 0061512045 H TT 2607181430 DRN05 PN05 Z 0.5 10.1 1.0 10.2 ",
         Series(0x39, ("10.1", "10.2"))),
        (0x38, False, "26071800 26071808 DRN05 PN05 ", Asked(0x22)),
        (0x3A, False, "Z VT ", Asked(0x38)),
        (0x42, False, "28 -1.250 20 1 ", Element(0x20, "1", parameter=True)),
        (0x40, False, "03 03E8 ", Raw(3, b"\x03\xe8")),
        (0x43, False, "20 21 ", Asked(0x21, parameter=True)),
        (0x4C, False, "0105 ", Switches(b"\x05")),
        (0x4F, False, "FF ", Quota(True)),
        (0x45, True, "ST 0061512045 05V 1.2 ", Version(b"V 1.2")),
    ],
)  # fmt: skip
def test_ascii_bodies_say_the_same(function: int, up: bool, body: str, wanted: Item) -> None:
    found = spelt(function, body, up=up)
    assert found[-1] == wanted
    assert compose(Message(1, "260718143005", found), Coding.ASCII) == (HEAD + body).encode()


@pytest.mark.parametrize("body", ["ST 00 H ", "NOPE 1 ", "TT 2613181430 ", "Z 1.2.3 ", "DRP XY "])
def test_an_ascii_body_that_makes_no_sense_says_so(body: str) -> None:
    assert understand(frame(0x32, (HEAD + body).encode(), coding=Coding.ASCII)).flaws


numbers = st.one_of(
    st.builds(
        lambda code, count, size, dec: Element(code, values.digits_of(count, size, 0), dec),
        st.sampled_from(sorted(set(ELEMENTS) - {0x04, 0x45})),
        st.one_of(st.none(), st.integers(-999, 999)),
        st.integers(3, 31),
        st.integers(0, 7),
    ),
    st.builds(lambda d: Observed(f"{d:%y%m%d%H%M}"), st.datetimes(AT.replace(year=2001), AT)),
    st.builds(
        Station, st.binary(min_size=5, max_size=5).map(lambda b: b.hex().upper()), st.just(80)
    ),
    st.builds(Status, st.integers(0, 2**32 - 1)),
    st.builds(lambda data: Slots(0xF5, data, 24), st.binary(min_size=24, max_size=24)),
)


@given(st.lists(numbers, max_size=20), st.integers(0, 65535))
@settings(max_examples=50, deadline=None)
def test_whatever_is_written_is_read(said: list[Item], serial: int) -> None:
    message = Message(serial, "260718143005", tuple(said))
    raw = encode(frame(0x32, compose(message, Coding.BCD)))
    (found,) = Codec().feed(raw)
    assert isinstance(found, Frame)
    assert found.message == message


words = st.one_of(
    st.builds(
        Element,
        st.sampled_from(sorted(set(ELEMENTS) - {0x04, 0x45})),
        st.one_of(st.just("M"), st.decimals(-999, 999, places=2).map(lambda d: f"{d:f}")),
    ),
    st.builds(Status, st.integers(0, 2**32 - 1)),
)


@given(st.lists(words, max_size=20), st.integers(4, 500))
@settings(max_examples=50, deadline=None)
def test_ascii_is_read_too_and_in_packets(said: list[Item], most: int) -> None:
    message = Message(9, "260718143005", (Station("0061512045", 80), *said))
    whole = frame(0x32, compose(message, Coding.ASCII), coding=Coding.ASCII)
    assembly, found = Assembly(), None
    for packet in split(whole, most + 6):
        (event,) = Codec().feed(encode(packet))
        assert isinstance(event, Frame)
        found = assembly.add(event)
    assert found is not None
    assert found.message == message


@given(st.integers(0, 255), st.binary(max_size=80), st.booleans(), st.sampled_from(Coding))
@settings(max_examples=150, deadline=None)
def test_no_body_makes_it_raise(function: int, body: bytes, up: bool, coding: Coding) -> None:
    head = HEAD.encode() if coding is Coding.ASCII else bytes.fromhex(HEAD)
    message = understand(frame(function, head + body, up=up, coding=coding))
    for row in rows(message):
        if isinstance(row.item, (Series, Slots)):
            assert row.item.values is not None


def test_the_tables_are_the_standards() -> None:
    for code, known in TABLES["elements"].items():
        number = int(code, 16)
        if number in ELEMENTS and number not in (0x04, 0x05, 0x45):
            mine = ELEMENTS[number]
            assert (mine.ascii, mine.digits, mine.decimals) == (
                known["ascii"], known["digits"], known["decimals"],
            )  # fmt: skip
        else:
            assert number in (0x04, 0x05, 0x45, 0xF0, 0xF1, 0xF2, 0xF3, 0xFD) or number in SLOTS
    assert len(ELEMENTS) + len(SLOTS) + 5 == len(TABLES["elements"])
    for code, known in TABLES["parameters"].items():
        assert RUNNING[int(code, 16)][:2] == (known["digits"], known["decimals"] or 0)
    assert {f"{f:02X}" for f in Function} == set(TABLES["functions"])
    assert {f"{c:02X}" for c in CLASSES} == set(TABLES["station_classes"])
    assert {str(bit) for bit in STATUS_BITS} == set(TABLES["status_bits"])
    assert len(EVENTS) == 18
    assert len(PARAMETERS) == 15 + 137
    assert Function.ASK_PUMP_MOTOR in WITH_CLASS


CENTRE = replies.Centre(16, "0061512045", "A5C3")


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (CENTRE.set_clock(AT), ""),
        (CENTRE.ask(Function.ASK_NOW, AT), ""),
        (CENTRE.elements([0x39, 0x38], AT), "39233812"),
        (CENTRE.period(0x22, AT, AT, Step(0, 0, 5), AT), "2607181426071814" + "0418000005" + "2219"),
        (CENTRE.read_parameters([0x20], AT), "2008"),
        (CENTRE.set_parameters({0x28: -1.25, 0x20: 1}, AT), "282BFF00001250" + "200801"),
        (CENTRE.set_password("1234", "03E8", AT), "03101234031003E8"),
        (CENTRE.clear_storage(AT), "9700"),
        (CENTRE.factory_reset(AT), "9800"),
        (CENTRE.set_card(0x200, AT), "452000000200"),
        (CENTRE.pumps([True, False, True], AT), "0105"),
        (CENTRE.valves([False] * 8 + [True], AT), "020001"),
        (CENTRE.gates([True, False], [150, 0], AT), "020101500000"),
        (CENTRE.quota(AT, on=True), "FF"),
    ],
)  # fmt: skip
def test_a_centre_says_it_as_the_standard_does(said: Frame, body: str) -> None:
    assert said.body.hex().upper() == "0000260718143005" + body
    assert (said.end, said.direction) == (Control.ENQ, Direction.DOWN)
    assert Codec().feed(encode(said)) == [said]


def test_the_clock_is_set_as_in_the_vector() -> None:
    wanted = "7E7E006151204510A5C34A800802000026071814310005B9BA"
    at = datetime(2026, 7, 18, 14, 31)  # noqa: DTZ001
    assert encode(CENTRE.set_clock(at)).hex().upper() == wanted


def test_a_report_is_confirmed_with_its_own_serial_number() -> None:
    up = (
        "7E7E010012345678123430002B020003591011154947F1F1001234567848"
        "F0F0591011154920190000052619000005392300000127381211150320FA"
    )
    (report,) = Codec().feed(bytes.fromhex(up))
    assert isinstance(report, Frame)
    assert replies.wants_answer(report)
    at = datetime(2059, 10, 11, 15, 49, 47)  # noqa: DTZ001
    wanted = "7E7E00123456780112343080080200035910111549471B75D4"
    assert encode(replies.confirmation(report, at)).hex().upper() == wanted
    assert replies.confirmation(report, at, replies.SLEEP).end is Control.EOT


def test_a_keep_alive_is_not_answered() -> None:
    (alive,) = Codec().feed(bytes.fromhex("7E7E01001234567812342F0008020003591011155111036BCA"))
    assert isinstance(alive, Frame)
    assert not replies.wants_answer(alive)


@pytest.mark.parametrize("coding", list(Coding))
def test_packets_are_confirmed_once_or_asked_for_again(coding: Coding) -> None:
    message = Message(5, "260718143005", (Text(b"x" * 100),))
    packets = split(frame(0x35, compose(message, coding), coding=coding), 40)
    assert [p.end for p in packets[:-1]] == [Control.ETB] * (len(packets) - 1)
    assembly = Assembly()
    whole = [assembly.add(packet) for packet in packets][-1]
    assert whole is not None
    yes, no = replies.confirmation(whole, AT), replies.again(packets[0], 2, AT, serial=5)
    assert (yes.total, yes.number, yes.end) == (len(packets), len(packets), Control.ESC)
    assert (no.total, no.number, no.end) == (len(packets), 2, Control.NAK)
    for said in (yes, no):
        (event,) = Codec().feed(encode(said))
        assert isinstance(event, Frame)
        assert understand(event).serial == 5


def test_every_function_is_read_up_and_down() -> None:
    for function in Function:
        assert items(function, ME) == (Station("0061512045"),)
        assert items(function, "", up=False) == ()
