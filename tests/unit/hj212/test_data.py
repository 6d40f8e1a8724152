"""What stands in CP, parts of one packet, and the flow of answers."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_drivers.hj212 import data, editions, factors, process, replies
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import COMMANDS, SYSTEMS, Accepted, Done, Kind
from headgate_drivers.hj212.data import Factor, Record
from headgate_drivers.hj212.frames import Flag, Packet, encode, segment
from headgate_drivers.hj212.parts import Assembly, split

AT = datetime(2026, 7, 18, 14, 30, 0, 123_000)  # noqa: DTZ001 the logger's own time
UPLOAD = Packet(
    qn="20260718143000123", st="31", cn="2051", pw="123456", mn="42010026AQ000001",
    flag=Flag(1, split=False, answer=True),
    cp="DataTime=20260718143000;" + ";".join(
        f"a{n:05}-Min={n}.1,a{n:05}-Avg={n}.2,a{n:05}-Max={n}.3,a{n:05}-Flag=N" for n in range(60)
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("mark", "quality"),
    [
        ("N", "good"), ("F", "bad"), ("M", "uncertain"), ("S", "uncertain"), ("D", "bad"),
        ("C", "uncertain"), ("T", "uncertain"), ("B", "bad"), (None, "good"), ("X", "uncertain"),
        ("3", "good"), ("2", "bad"), ("P", "bad"), ("", "uncertain"),
    ],
)  # fmt: skip
def test_a_mark_says_how_far_a_value_can_be_used(mark: str | None, quality: str) -> None:
    fields = (("Rtd", "1"),) if mark is None else (("Rtd", "1"), ("Flag", mark))
    factor = Factor("a21026", fields)
    assert factor.quality == quality
    assert factor.value("Rtd") == 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-0.052", -0.052), ("74", 74.0), ("1.2E+3", 1200.0), (" 5 ", 5.0), (".5", 0.5),
        ("", None), ("NaN", None), ("--", None), ("inf", None), ("1_0", None), ("1,0", None),
        ("0x10", None), ("9" * 40, None),
    ],
)  # fmt: skip
def test_what_is_no_number_is_none(text: str, value: float | None) -> None:
    assert data.number(text) == value


@pytest.mark.parametrize(
    "cp",
    [
        "a21026-Rtd=1,a21026-Flag=N",
        "a21026-Rtd=1;a21026-Flag=N",
        "a21026-Rtd=1,a21026-Flag=N;",
    ],
)
def test_a_factor_is_one_however_it_is_separated(cp: str) -> None:
    (record,) = data.read(cp)
    assert record.factors == (Factor("a21026", (("Rtd", "1"), ("Flag", "N"))),)


def test_a_mark_in_small_letters_is_one() -> None:
    (record,) = data.read("DataTime=20160516130000;A18-Avg=40.28,A18-flag=D")
    assert (record.factors[0].mark, record.factors[0].quality) == ("D", "bad")


def test_counters_states_and_noise_are_factors() -> None:
    (record,) = data.read(
        "DataTime=20260718000000;w00000-Cou=1234.5;SB1-RT=12.5;SB2-RS=4;Ld-DayData=52.1;Ln-NightData=41"
    )
    assert [f.values for f in record.factors] == [
        {"Cou": 1234.5}, {"RT": 12.5}, {"RS": 4.0}, {"DayData": 52.1}, {"NightData": 41.0},
    ]  # fmt: skip
    assert record.at == datetime(2026, 7, 18)  # noqa: DTZ001


def test_nothing_in_a_log_separates() -> None:
    cp = "DataTime=20260718143000;i11001-Info=//a=1;b-c=2,清洗/开始//;i12001-Info=0"
    (record,) = data.read(cp)
    assert record.factors[0].text("Info") == "//a=1;b-c=2,清洗/开始//"
    assert record.factors[1].text("Info") == "0"
    assert data.write([record]) == cp


def test_times_in_one_packet_are_records_of_their_own() -> None:
    first, second = data.read("DataTime=20260718140000;a-Avg=1;DataTime=20260718150000;a-Avg=2")
    assert (first.time, second.time) == ("20260718140000", "20260718150000")
    assert [r.factors[0].value("Avg") for r in (first, second)] == [1.0, 2.0]


@given(st.text("ab-=;,/#&\n1", max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_cp_makes_it_raise_and_what_is_read_stays(cp: str) -> None:
    records = data.read(cp)
    data.flaws(records)
    for record in records:
        assert record.at is None
        for factor in record.factors:
            assert factor.quality in ("good", "uncertain", "bad")
            assert factor.values is not None


def test_a_long_packet_is_split_and_joined_again() -> None:
    parts = split(UPLOAD)
    assert len(parts) > 1
    assert [p.pno for p in parts] == list(range(1, len(parts) + 1))
    assert all(p.flag and p.flag.number == 7 and p.pnum == len(parts) for p in parts)
    assert all(data.read(p.cp)[0].time == "20260718143000" for p in parts)
    raw = b"".join(encode(part) for part in parts)
    found = Codec().feed(raw)
    assert found == parts
    assembly = Assembly()
    # Backwards, and one of them twice.
    wholes = [assembly.add(part) for part in [parts[1], *reversed(parts)]]
    assert wholes[:-1] == [None] * (len(wholes) - 1)
    assert wholes[-1] is not None
    assert wholes[-1].records == UPLOAD.records
    assert (wholes[-1].pnum, assembly.size) == (0, 0)


def test_a_part_that_is_missing_is_named_and_another_packet_begins_anew() -> None:
    parts, assembly = split(UPLOAD, 400), Assembly()
    for part in parts[:2] + parts[3:]:
        assert assembly.add(part) is None
    assert assembly.missing() == (3,)
    other = msgspec.structs.replace(parts[0], mn="OTHER")
    assert assembly.add(other) is None
    assert assembly.missing()[0] == 2


def test_parts_of_too_much_are_dropped() -> None:
    assembly = Assembly(most_bytes=1000)
    for part in split(UPLOAD):
        assert assembly.add(part) is None
        assert assembly.size <= 1000


def test_a_packet_with_room_is_not_split_and_one_item_too_long_is_refused() -> None:
    small = msgspec.structs.replace(UPLOAD, cp="DataTime=20260718143000;a-Avg=1")
    assert split(small) == [small]
    assert Assembly().add(small) is small
    log = msgspec.structs.replace(UPLOAD, cp="i11001-Info=//" + "x" * 1100 + "//")
    with pytest.raises(ValueError, match="one item"):
        split(log)


@given(st.integers(200, 1024))
@settings(max_examples=30, deadline=None)
def test_no_part_is_longer_than_asked(most: int) -> None:
    assert all(len(segment(part)) <= most for part in split(UPLOAD, most))


@pytest.mark.parametrize(
    ("cn", "wanted"), [("2011", "9014"), ("2051", "9014"), ("2081", "9014"), ("1013", "9013")]
)
def test_data_are_answered_with_9014_and_a_notice_with_9013(cn: str, wanted: str) -> None:
    packet = msgspec.structs.replace(UPLOAD, cn=cn)
    answer = replies.answer(packet)
    assert answer is not None
    assert (answer.cn, answer.st, answer.qn, answer.mn) == (wanted, "91", UPLOAD.qn, UPLOAD.mn)
    assert answer.flag == Flag(1, split=False, answer=False)
    assert Codec().feed(encode(answer)) == [answer]
    assert replies.answers(answer, packet)
    # An answer is not answered.
    assert replies.answer(answer) is None


@pytest.mark.parametrize("flag", [None, Flag(1, split=False, answer=False)])
def test_who_asks_for_no_answer_gets_none(flag: Flag | None) -> None:
    assert replies.answer(msgspec.structs.replace(UPLOAD, flag=flag)) is None


def test_a_logger_of_2005_is_answered_as_that_edition_has_it() -> None:
    upload = msgspec.structs.replace(UPLOAD, flag=Flag(0, split=False, answer=True))
    answer = replies.answer(upload)
    assert answer is not None
    assert segment(answer) == (
        b"ST=91;CN=9014;PW=123456;MN=42010026AQ000001;Flag=0;CP=&&QN=20260718143000123&&"
    )
    assert replies.answers(answer, upload)
    ready = replies.accepted(upload)
    assert ready.cp == "QN=20260718143000123;QnRtn=1"
    assert replies.result_of(ready) is Accepted.READY
    alarm = Packet(cn="2072", mn="M")
    assert editions.understood(alarm)
    assert editions.name(alarm) == "上传报警事件"
    assert editions.name(UPLOAD) == "取/上传污染物分钟数据"


def test_parts_are_answered_one_by_one() -> None:
    parts = split(UPLOAD)
    assert [part.qn for part in parts[:2]] == ["20260718143000123", "20260718143000124"]
    for part in parts:
        answer = replies.answer(part)
        assert answer is not None
        # As annex C.50 has it: the part's own QN, no part numbers, Flag 4.
        assert (answer.qn, answer.pnum, answer.pno) == (part.qn, 0, 0)
        assert answer.flag is not None
        assert answer.flag.number == 4


def test_a_request_goes_down_and_its_results_come_up() -> None:
    platform = replies.Platform("42010026AQ000001", "123456", "31")
    request = platform.set_clock(AT, "a34004")
    assert request.cp == "PolId=a34004;SystemTime=20260718143000"
    assert request.qn == "20260718143000123"
    assert request.asked_at == AT
    for answer, result in (
        (replies.accepted(request), Accepted.READY),
        (replies.accepted(request, Accepted.WRONG_PASSWORD), Accepted.WRONG_PASSWORD),
        (replies.done(request), Done.SUCCESS),
        (replies.done(request, Done.NO_DATA), Done.NO_DATA),
    ):
        assert replies.result_of(answer) == result
        assert replies.answers(answer, request)
        assert Codec().feed(encode(answer)) == [answer]
    history = platform.history("2061", AT, AT, AT)
    assert history.cp == "BeginTime=20260718143000;EndTime=20260718143000"


@pytest.mark.parametrize("cp", ["", "QnRtn=", "QnRtn=x", "QnRtn=77", "QnRtn=²", "ExeRtn=1"])
def test_a_result_that_is_none_is_none(cp: str) -> None:
    assert replies.result_of(Packet(cn="9011", mn="M", cp=cp)) is None
    assert replies.result_of(Packet(cn="2011", mn="M", cp=cp)) is None


def test_the_newest_edition_is_recognised_and_not_claimed() -> None:
    heartbeat = Packet(
        qn=UPLOAD.qn, st="91", cn="9015", pw="1", mn="M", flag=Flag(2, split=False, answer=True)
    )
    assert editions.edition(heartbeat) is editions.Edition.OF_2025
    assert not editions.understood(heartbeat)
    back = replies.answer(heartbeat)
    assert back is not None
    assert (back.cn, back.qn) == ("9013", heartbeat.qn)
    hardware = msgspec.structs.replace(heartbeat, cn="1001")
    assert replies.kind(hardware, up=True) is Kind.NOTICE
    raw = msgspec.structs.replace(heartbeat, cn="2013")
    assert replies.kind(raw, up=True) is Kind.UPLOAD
    # No key is handed out here, and nobody is told that one was.
    assert replies.answer(msgspec.structs.replace(heartbeat, cn="1014")) is None
    assert editions.understood(UPLOAD)
    assert editions.edition(Packet(cn="2011", mn="M")) is editions.Edition.OF_2005
    assert editions.name(heartbeat) == "心跳包"
    odd = msgspec.structs.replace(UPLOAD, flag=Flag(9, split=False, answer=True))
    assert editions.edition(odd) is None


def test_the_tables_know_both_editions_names() -> None:
    assert factors.known("w01018") == factors.known("011")
    assert factors.known("a21026") == factors.known("02")
    sulphur = factors.known("a21026")
    assert sulphur is not None
    assert (sulphur.name, sulphur.unit, sulphur.amount) == ("二氧化硫", "mg/m3", "kg")
    noise = factors.known("Leq")
    assert noise is not None
    assert noise.unit == "dB"
    assert factors.known("zzz") is None
    for code in ("e30101", "g11902", "i12001", "i33315", "I33400"):
        assert process.known(code) is not None
    assert process.known("x1") is None
    assert (len(factors.WATER), len(factors.AIR), len(factors.NOISE)) == (63, 121, 12)
    assert len(SYSTEMS) == 22


def test_every_command_begins_something_or_is_an_answer() -> None:
    assert replies.kind(UPLOAD, up=True) is Kind.UPLOAD
    assert replies.kind(UPLOAD, up=False) is Kind.REQUEST
    assert replies.kind(Packet(cn="4711", mn="M"), up=True) is None
    assert all(command.down or command.up for command in COMMANDS.values())


def test_a_record_is_written_as_it_is_read() -> None:
    record = Record(
        "20260718143000", (("PolId", "a34004"),), (Factor("a34004", (("Rtd", "1.50"),)),)
    )
    assert data.read(data.write([record])) == (record,)
