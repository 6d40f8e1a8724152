"""The gateway as a logger of a bureau: what is told, when a record is settled, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from kit.bureau import PATIENCE_S, Bureau, factors_of, running_bureau
from kit.outbox import BOOT, EPOCH, MemoryOutbox, record

from headgate.columns import pack
from headgate.model import Block, Point, PointTable, Quality, Status, status_word
from headgate.sdk import ConfigError, Item, UplinkContext
from headgate_plugins.hj212 import Hj212Uplink
from headgate_plugins.hj212.history import History
from headgate_plugins.hj212.periods import HOUR as HOURS
from headgate_plugins.hj212.periods import HOUR_S, MINUTES, Book, Key, Told

DIGEST = bytes(32)
TABLE = PointTable(1, "dust-1", (Point("pm10", "f64", "ug/m3"), Point("noise", "f64", "dB[SPL]")))
SECOND = 1_000_000
#: 2026-07-18 14:30:00 at UTC+8, as boottime 0.
WALL = 1_784_356_200_000_000
HOUR = 3600 * SECOND
FACTORS = {"a34002": {"from": "dust-1/pm10", "scale": 1000, "digits": 0}, "LA": "dust-1/noise"}
MN = "42010026YC000007"


def block(at_us: int, pm10: float, noise: float, **more: Any) -> Block:
    return Block(1, DIGEST, at_us, columns=(pack("f64", [pm10, noise]),), **more)


class Box(MemoryOutbox):
    """The times of this boot are asked for without naming it, too."""

    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        return super().wall_us(at_us, boot or BOOT)


def outbox(*records: Sequence[Item], **changes: Any) -> Box:
    opened = dict(enumerate(records))
    made = {"opened": opened, "tables": [(DIGEST, TABLE)], "wall": WALL, **changes}
    return Box([record(n) for n in opened], **made)


class Quick(Hj212Uplink):
    """It is half a day after the readings, and nobody waits for late ones."""

    look_s, late_s, long_s = 0.02, 0.02, 0.1
    at_us = 12 * HOUR

    def now_us(self) -> int:
        return self.at_us


def made(bureau: Bureau, **options: Any) -> Quick:
    given = {
        "url": f"hj212://127.0.0.1:{bureau.port}", "password": "123456", "mn": MN, "st": "39",
        "factors": FACTORS, "reconnect_min_s": 0.01, "reconnect_max_s": 0.05, "epoch": EPOCH.hex(),
        "answer_timeout": "200ms", "hours": False, "days": False, **options,
    }  # fmt: skip
    return Quick(UplinkContext("bureau", "gate-7", given))


@asynccontextmanager
async def running(up: Hj212Uplink, box: MemoryOutbox) -> AsyncIterator[None]:
    task = asyncio.create_task(up.run(box))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not box.in_flight, "something was left in flight"


async def until_settled(box: MemoryOutbox, *ns: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await box.until_settled(*ns)


# ------------------------------------------------------------ what is told


async def test_real_time_and_minutes_are_told_and_settle_their_records() -> None:
    box = outbox(
        [block(0, 0.086, 60.0), block(10 * SECOND, 0.090, 62.0)],
        [block(20 * SECOND, 0.094, 64.0)],
    )
    async with running_bureau() as bureau, running(made(bureau), box):
        await until_settled(box, 0, 1)
        (real,) = bureau.of("2011")
        (minutes,) = bureau.of("2051")
    assert (real["ST"], real["PW"], real["MN"], real["Flag"]) == ("39", "123456", MN, "5")
    assert factors_of(real["CP"]) == {
        "DataTime": "20260718143000", "a34002-Rtd": "94", "a34002-Flag": "N", "LA-Rtd": "64.000",
        "LA-Flag": "N",
    }  # fmt: skip
    assert factors_of(minutes["CP"]) == {
        "DataTime": "20260718143000",
        "a34002-Min": "86", "a34002-Avg": "90", "a34002-Max": "94", "a34002-Flag": "N",
        "LA-Min": "60.000", "LA-Avg": "62.000", "LA-Max": "64.000", "LA-Flag": "N",
    }  # fmt: skip


async def test_hours_and_days_come_from_their_minutes() -> None:
    looks = [block(k * 600 * SECOND - 30 * 60 * SECOND, 0.010 * (k + 1), 50.0) for k in range(6)]
    box = outbox(looks)
    async with (
        running_bureau() as bureau,
        running(made(bureau, hours=True, days=True, realtime="0s"), box),
    ):
        await bureau.until(lambda: bureau.of("2061"))
        (hour,) = bureau.of("2061")
        up = made(bureau)
        assert up.state == "starting"
    said = factors_of(hour["CP"])
    assert said["DataTime"] == "20260718140000"
    assert (said["a34002-Min"], said["a34002-Avg"], said["a34002-Max"]) == ("10", "35", "60")
    assert said["a34002-Flag"] == "N"
    assert bureau.of("2031") == []  # the day is not over
    assert len(bureau.of("2051")) == 6


def test_what_was_not_heard_shows_in_the_mark_of_an_hour_and_of_a_day() -> None:
    book = Book(["LA"], 0, 600, late_s=0, long_s=0)
    for k in range(4):  # 40 minutes of 60
        book.take(Told("LA", k * 600.0, 60.0 + k, "N"), 0.0)
    assert book.report(("2061", 0)).factors["LA"] == [
        ("Min", 60.0), ("Avg", 61.5), ("Max", 63.0), ("Flag", "B"),
    ]  # fmt: skip
    book.take(Told("LA", 2400.0, 64.0, "N"), 0.0)
    assert book.report(("2061", 0)).factors["LA"][-1] == ("Flag", "N")
    assert book.report(("2031", 0)).factors["LA"][-1] == ("Flag", "B")  # one hour of 24


def test_a_mean_is_of_good_readings_alone() -> None:
    book = Book(["LA"], 30, 600, late_s=0, long_s=0)
    for at, value, mark in [(1, 60.0, "N"), (2, 62.0, "N"), (3, 64.0, "N"), (4, 999.0, "T")]:
        book.take(Told("LA", at, value, mark), 0.0)
    assert book.report(("2051", 0)).factors["LA"] == [
        ("Min", 60.0), ("Avg", 62.0), ("Max", 64.0), ("Flag", "N"),
    ]  # fmt: skip
    book.take(Told("LA", 5, None, "D"), 0.0)  # three of five are good: not three quarters
    assert book.report(("2051", 0)).factors["LA"][1:] == [
        ("Avg", 62.0), ("Max", 64.0), ("Flag", "T"),
    ]  # fmt: skip
    assert book.report(("2011", 0)).factors["LA"] == [("Flag", "D")]


def test_what_comes_late_is_told_again() -> None:
    book = Book(["LA"], 0, 600, hours=False, days=False, late_s=5)
    book.take(Told("LA", 1.0, 60.0, "N"), 0.0)
    key = ("2051", 0)
    assert book.due(600.0, 100.0) == []  # not yet over for so long
    assert book.due(605.0, 4.0) == []  # its last reading has only just come
    assert book.due(605.0, 5.0) == [key]
    version = book.open[key].version
    book.take(Told("LA", 2.0, 62.0, "N"), 6.0)  # while the report was under way
    assert not book.told(key, version)
    assert book.due(700.0, 20.0) == [key]
    assert book.told(key, book.open[key].version)
    book.take(Told("LA", 3.0, 64.0, "N"), 30.0)
    assert dict(book.report(key).factors["LA"])["Avg"] == 62.0
    assert book.due(700.0, 40.0) == [key]


async def test_marks_of_a_logger_go_up_as_they_came_and_others_by_what_is_wrong() -> None:
    quality = bytes([Quality.UNCERTAIN, Quality.BAD])
    words = status_word(Status.SUBSTITUTED, ord("M")), status_word(Status.NO_ANSWER)
    status = b"".join(word.to_bytes(2, "big") for word in words)
    box = outbox([block(0, 0.086, 60.0, quality=quality, status=status)])
    async with running_bureau() as bureau, running(made(bureau), box):
        await until_settled(box, 0)
        (real,) = bureau.of("2011")
        (minutes,) = bureau.of("2051")
    assert factors_of(real["CP"]) == {
        "DataTime": "20260718143000", "a34002-Rtd": "86", "a34002-Flag": "M", "LA-Flag": "B",
    }  # fmt: skip
    assert factors_of(minutes["CP"]) == {
        "DataTime": "20260718143000", "a34002-Flag": "M", "LA-Flag": "B",
    }  # fmt: skip


async def test_a_devices_own_time_is_believed_unless_it_cannot_be_true() -> None:
    back = block(0, 0.1, 50.0, device_time_us=WALL - HOUR)
    mad = block(0, 0.1, 50.0, device_time_us=WALL - 4000 * 86_400 * SECOND)
    box = outbox([back], [mad])
    async with running_bureau() as bureau, running(made(bureau, realtime="0s"), box):
        await until_settled(box, 0, 1)
    times = [factors_of(each["CP"])["DataTime"] for each in bureau.of("2051")]
    assert times == ["20260718133000", "20260718143000"]


async def test_more_than_a_packet_holds_goes_in_parts_each_answered() -> None:
    names = [f"p{k}" for k in range(60)]
    table = PointTable(1, "dust-1", tuple(Point(name, "f64") for name in names))
    factors = {f"w{k:05}": f"dust-1/{name}" for k, name in enumerate(names)}
    many = Block(1, DIGEST, 0, columns=(pack("f64", [float(k) for k in range(60)]),))
    box = outbox([many], tables=[(DIGEST, table)])
    async with running_bureau() as bureau, running(made(bureau, factors=factors), box):
        await until_settled(box, 0)
    parts = bureau.of("2011")
    assert [each["PNO"] for each in parts] == [str(k + 1) for k in range(len(parts))]
    assert {each["PNUM"] for each in parts} == {str(len(parts))}
    assert len({each["QN"] for each in bureau.heard}) == len(bureau.heard)
    said: dict[str, str] = {}
    for each in parts:
        said |= factors_of(each["CP"])
    assert said["w00059-Rtd"] == "59.000"
    assert len(said) == 121


# ------------------------------------------------------------ when it does not go well


async def test_what_is_not_answered_is_sent_three_times_and_then_on_a_new_call() -> None:
    box = outbox([block(0, 0.086, 60.0)])
    async with running_bureau() as bureau:
        bureau.answers = lambda packet: bureau.calls > 1
        up = made(bureau)
        async with running(up, box):
            await bureau.until(lambda: bureau.calls > 1)
            assert not box.settled
            assert (up.state, up.error and up.error.code) != ("online", None) or bureau.calls > 1
            await until_settled(box, 0)
    first = [each["QN"] for each in bureau.heard][:3]
    assert len(set(first)) == 1  # the same packet, three times
    assert len(bureau.of("2011")) == 4


async def test_a_bureau_that_hangs_up_gets_it_on_the_next_call_and_nothing_is_lost() -> None:
    box = outbox(*[[block(k * 30 * SECOND, 0.01 * k, 50.0)] for k in range(20)])
    async with running_bureau() as bureau:
        hung: list[str] = []

        def answers(packet: dict[str, str]) -> bool:
            if len(bureau.heard) % 7 == 0 and len(hung) < 3:
                hung.append(packet["QN"])
                bureau.hang_up()
                return False
            return True

        bureau.answers = answers
        async with running(made(bureau), box):
            await until_settled(box, *range(20))
    times = {factors_of(each["CP"])["DataTime"] for each in bureau.of("2011")}
    assert len(hung) == 3
    assert len(times) == 20


async def test_a_bureau_that_is_not_there_is_said_and_loses_nothing() -> None:
    box = outbox([block(0, 0.086, 60.0)])
    async with running_bureau() as bureau:
        port = bureau.port
        await bureau.stop()
        up = made(bureau)
        async with running(up, box):
            async with asyncio.timeout(PATIENCE_S):
                while up.error is None or up.error.code != "HG-3631":
                    await asyncio.sleep(0.01)
            (step,) = await up.probe()
            assert (step.passed, step.code) == (False, "HG-3631")
            await bureau.start(port)
            await until_settled(box, 0)
            (step,) = await up.probe()
            assert step.passed


async def test_without_a_trusted_time_everything_is_held() -> None:
    box = outbox([block(0, 0.086, 60.0)], wall=None)
    async with running_bureau() as bureau:
        up = made(bureau)
        async with running(up, box):
            async with asyncio.timeout(PATIENCE_S):
                while up.error is None or up.error.code != "HG-3634":
                    await asyncio.sleep(0.01)
            assert bureau.heard == []
            box.wall = WALL
            await until_settled(box, 0)
    assert box.given_back == []


async def test_readings_of_others_settle_at_once_and_are_told_nobody() -> None:
    other = PointTable(2, "gauge-9", TABLE.points)
    box = outbox([block(0, 1.0, 2.0)], tables=[(DIGEST, other)])
    async with running_bureau() as bureau, running(made(bureau), box):
        await until_settled(box, 0)
    assert bureau.heard == []


# ------------------------------------------------------------ what a bureau asks


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        ("CN=1011;PW=123456;MN={mn};Flag=5;CP=&&&&",
         [("9011", "QnRtn=1"), ("1011", "SystemTime=20260719023000"), ("9012", "ExeRtn=1")]),
        ("CN=1061;PW=123456;MN={mn};Flag=5;CP=&&&&",
         [("9011", "QnRtn=1"), ("1061", "RtdInterval=30"), ("9012", "ExeRtn=1")]),
        ("CN=1063;PW=123456;MN={mn};Flag=5;CP=&&&&",
         [("9011", "QnRtn=1"), ("1063", "MinInterval=10"), ("9012", "ExeRtn=1")]),
        ("CN=1012;PW=123456;MN={mn};Flag=5;CP=&&SystemTime=20010101000000&&", [("9011", "QnRtn=2")]),
        ("CN=3011;PW=123456;MN={mn};Flag=5;CP=&&PolId=w01018&&", [("9011", "QnRtn=2")]),
        ("CN=1011;PW=guess;MN={mn};Flag=5;CP=&&&&", [("9011", "QnRtn=3")]),
        ("CN=1011;PW=123456;MN=other;Flag=5;CP=&&&&", [("9011", "QnRtn=4")]),
        ("CN=7777;PW=123456;MN={mn};Flag=5;CP=&&&&", [("9011", "QnRtn=8")]),
        ("CN=2012;PW=123456;MN={mn};Flag=5;CP=&&&&", [("9013", "")]),
        ("CN=1000;PW=123456;MN={mn};Flag=5;CP=&&OverTime=5;ReCount=3&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=1")]),
        ("CN=1000;PW=123456;MN={mn};Flag=5;CP=&&OverTime=0;ReCount=3&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=3")]),
        ("CN=1062;PW=123456;MN={mn};Flag=5;CP=&&RtdInterval=60&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=1")]),
        ("CN=1062;PW=123456;MN={mn};Flag=5;CP=&&RtdInterval=1&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=3")]),
        ("CN=1064;PW=123456;MN={mn};Flag=5;CP=&&MinInterval=1&&", [("9011", "QnRtn=2")]),
        ("CN=1072;PW=123456;MN={mn};Flag=5;CP=&&NewPW=654321&&", [("9011", "QnRtn=2")]),
        ("CN=2011;PW=123456;MN={mn};Flag=5;CP=&&&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=1")]),
        ("CN=2031;PW=123456;MN={mn};Flag=5;CP=&&BeginTime=20260718000000;EndTime=20260719000000&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=100")]),
        ("CN=2051;PW=123456;MN={mn};Flag=5;CP=&&BeginTime=20260719000000&&",
         [("9011", "QnRtn=1"), ("9012", "ExeRtn=3")]),
        ("CN=1011;PW=123456;MN={mn};Flag=x;CP=&&&&", [("9011", "QnRtn=6")]),
        ("CN=11;PW=123456;MN={mn};Flag=5;CP=&&&&", [("9011", "QnRtn=8")]),
    ],
)  # fmt: skip
async def test_requests_are_answered_or_refused(
    request_: str, answers: list[tuple[str, str]]
) -> None:
    qn = "20260718150000123"
    async with running_bureau() as bureau, running(made(bureau), outbox([])):
        async with asyncio.timeout(PATIENCE_S):
            while not bureau.calls:
                await asyncio.sleep(0.01)
        bureau.say(f"QN={qn};ST=39;" + request_.format(mn=MN))
        await bureau.until(lambda: len(bureau.heard) == len(answers))
    assert [(each["CN"], each["CP"]) for each in bureau.heard] == answers
    assert {each["QN"] for each in bureau.heard} == {qn}


@asynccontextmanager
async def asked(bureau: Bureau, up: Hj212Uplink, box: MemoryOutbox) -> AsyncIterator[None]:
    """An uplink that is on line."""
    async with running(up, box):
        async with asyncio.timeout(PATIENCE_S):
            while not bureau.calls:
                await asyncio.sleep(0.01)
        yield


def request(cn: str, cp: str, qn: str = "20260718150000123", st: str = "39") -> str:
    return f"QN={qn};ST={st};CN={cn};PW=123456;MN={MN};Flag=5;CP=&&{cp}&&"


async def test_history_is_told_again_each_period_until_it_is_answered_then_9012() -> None:
    box = outbox(*[[block(k * 600 * SECOND, 0.010 * (k + 1), 50.0)] for k in range(4)])
    async with running_bureau() as bureau:
        up = made(bureau, realtime="0s")
        async with asked(bureau, up, box):
            await until_settled(box, 0, 1, 2, 3)
            first = {factors_of(each["CP"])["DataTime"]: each for each in bureau.of("2051")}
            bureau.answers = lambda packet: len(bureau.of("2051")) != 5  # the first of them is lost
            bureau.say(request("2051", "BeginTime=20260718144000;EndTime=20260718145000"))
            await bureau.until(lambda: bureau.of("9012"))
        again = bureau.of("2051")[4:]
    assert bureau.of("9012")[0]["CP"] == "ExeRtn=1"
    times = [factors_of(each["CP"])["DataTime"] for each in again]
    assert times == ["20260718144000", "20260718144000", "20260718145000"]
    assert again[0]["QN"] == again[1]["QN"]
    for each in again:
        before = first[factors_of(each["CP"])["DataTime"]]
        assert each["CP"] == before["CP"]
        assert each["QN"] != before["QN"]


async def test_real_time_data_stop_and_begin_again_as_the_bureau_wants_and_nothing_waits() -> None:
    box = outbox()
    async with running_bureau() as bureau:
        up = made(bureau)
        async with asked(bureau, up, box):
            bureau.say(request("2012", ""))
            await bureau.until(lambda: bureau.of("9013"))
            box.opened = {0: [block(0, 0.086, 60.0)]}
            box.put(record(0))
            await until_settled(box, 0)
            assert (len(bureau.of("2011")), len(bureau.of("2051"))) == (0, 1)
            bureau.say(request("2011", "", qn="20260718150000124"))
            await bureau.until(lambda: bureau.of("9012"))
            box.opened = {1: [block(600 * SECOND, 0.086, 60.0)]}
            box.put(record(1))
            await until_settled(box, 1)
            assert len(bureau.of("2011")) == 1


async def test_a_request_for_another_system_is_refused_and_a_bureau_sets_how_long_is_waited() -> (
    None
):
    async with running_bureau() as bureau:
        up = made(bureau)
        async with asked(bureau, up, outbox([])):
            bureau.say(request("1011", "", st="21"))
            await bureau.until(lambda: bureau.of("9011"))
            assert bureau.of("9011")[0]["CP"] == "QnRtn=5"
            bureau.say(request("1000", "OverTime=9;ReCount=2", qn="20260718150000125"))
            bureau.say(request("1062", "RtdInterval=60", qn="20260718150000126"))
            bureau.say(request("1061", "", qn="20260718150000127"))
            await bureau.until(lambda: len(bureau.of("9012")) == 3)
            assert bureau.of("1061")[0]["CP"] == "RtdInterval=60"


async def test_a_bureau_of_2025_gets_encrypted_data_and_is_told_what_is_made_up_for() -> None:
    box = outbox([block(0, 0.086, 60.0)])
    async with running_bureau() as bureau:
        bureau.key = b"0" * 16
        up = made(bureau, edition="2025", secret="30" * 16)
        async with running(up, box):
            await until_settled(box, 0)
    (real,) = bureau.of("2011")
    assert (real["Flag"], real["RF"]) == ("9", "1")
    assert factors_of(real["CP"])["a34002-Rtd"] == "86"


def kept(box: Box, *looks: Block) -> Box:
    """A start before this one had these settled."""
    assert isinstance(box.opened, dict)
    for n, look in enumerate(looks, 1000):
        box.opened[n] = [look]
        box.kept.append(record(n))
    return box


async def test_an_hour_is_of_all_its_minutes_though_the_gateway_was_started_in_between() -> None:
    def at(k: int) -> Block:
        return block(k * 600 * SECOND - 30 * 60 * SECOND, 0.010 * (k + 1), 50.0)

    box = kept(outbox(*[[at(k)] for k in range(4, 6)]), *[at(k) for k in range(4)])
    async with running_bureau() as bureau, running(made(bureau, hours=True, realtime="0s"), box):
        await bureau.until(lambda: bureau.of("2061"))
        await until_settled(box, 0, 1)
        (hour,) = bureau.of("2061")
        assert len(bureau.of("2051")) == 2, "what was told is not told again"
    said = factors_of(hour["CP"])
    assert (said["a34002-Min"], said["a34002-Avg"], said["a34002-Max"]) == ("10", "35", "60")
    assert said["a34002-Flag"] == "N"


async def test_what_was_told_before_a_start_is_told_again_when_a_bureau_asks() -> None:
    looks = [block(k * 600 * SECOND, 0.010 * (k + 1), 50.0) for k in range(12)]
    box = kept(outbox(), *looks)
    async with running_bureau() as bureau:
        up = made(bureau, hours=True, realtime="0s")
        async with asked(bureau, up, box):
            await bureau.until(lambda: bureau.of("2061"))  # the last hour may not have been told
            bureau.say(request("2051", "BeginTime=20260718144000;EndTime=20260718145000"))
            await bureau.until(lambda: bureau.of("9012"))
            bureau.say(request("2061", "BeginTime=20260718140000;EndTime=20260718150000"))
            await bureau.until(lambda: len(bureau.of("9012")) == 2)
        minutes = [factors_of(each["CP"]) for each in bureau.of("2051")]
        hours = [factors_of(each["CP"])["DataTime"] for each in bureau.of("2061")]
    assert [(each["DataTime"], each["a34002-Avg"]) for each in minutes] == [
        ("20260718144000", "20"), ("20260718145000", "30"),
    ]  # fmt: skip
    assert hours[0] == "20260718160000"
    assert sorted(hours[1:]) == ["20260718140000", "20260718150000"]


async def test_without_a_trusted_time_nothing_is_looked_back_on() -> None:
    box = kept(outbox(wall=None), block(0, 0.010, 50.0))
    async with running_bureau() as bureau:
        up = made(bureau)
        async with running(up, box):
            await asyncio.sleep(0.1)
            box.wall = WALL
            bureau.say(request("2051", "BeginTime=20260718143000;EndTime=20260718143000"))
            await bureau.until(lambda: bureau.of("9012"))
    assert len(bureau.of("2051")) <= 1


def test_a_period_that_was_told_for_certain_is_not_told_again() -> None:
    book = Book(["LA"], 0, 600)
    for at_s in range(0, 5 * 3600, 600):
        book.recall(Told("LA", at_s, 1.0, "N"), 0.0)
    told = book.recalled(0, 4 * 3600 + 100, 0.0)
    assert {start // 3600 for cn, start in told if cn == "2061"} == {0, 1, 2}
    assert {start // 3600 for cn, start in book.open if cn == "2061"} == {3, 4}
    assert ("2031", 0) in book.open
    assert not any(cn == "2051" for cn, _ in book.open)


def test_an_hour_that_began_before_what_was_recalled_is_not_told_of_its_half() -> None:
    book = Book(["LA"], 0, 600, days=False)
    book.recall(Told("LA", 3600 + 1800, 1.0, "N"), 0.0)
    assert book.recalled(3600 + 1000, 3600 + 1800, 0.0) == [("2051", 3600 + 1800)]
    assert book.open == {}


def test_history_keeps_the_newest() -> None:
    history = History()
    for hour in range(800):
        history.keep(("2061", hour * 3600), f"h{hour}")
    history.keep(("2061", 0), "too old")
    history.keep(("2011", 0), "not kept")
    told = list(history.between("2061", 0, 800 * 3600))
    assert (len(told), told[0], told[-1]) == (744, (56 * 3600, "h56"), (799 * 3600, "h799"))


# ------------------------------------------------------------ what a site may say


@pytest.mark.parametrize(
    "options",
    [
        {"url": "mqtt://127.0.0.1:1"}, {"url": "hj212://127.0.0.1"}, {"mn": ""}, {"mn": "a;b"},
        {"st": "x"}, {"zone": "Nowhere/At"}, {"minutes": "7min"}, {"factors": {}},
        {"factors": {"LA": "noise"}}, {"factors": {"LA": {"from": "a/b", "scale": 0}}},
        {"factors": {"LA": {"from": "a/b", "unit": "x"}}}, {"edition": "2005"}, {"odd": 1},
        {"secret": "0" * 16}, {"edition": "2025", "secret": "short"},
    ],
)  # fmt: skip
async def test_what_is_wrong_in_a_site_file_is_told(options: dict[str, Any]) -> None:
    async with running_bureau() as bureau:
        with pytest.raises(ConfigError):
            made(bureau, **options)


def test_a_kill_between_minutes_and_hours_of_a_backlog_loses_no_hour() -> None:
    """Three hours come at once. Their minutes are due before the hours are, which wait longer."""

    def fed(book: Book) -> Book:
        for at_s in range(0, 3 * HOUR_S, 60):
            book.take(Told("w01018", at_s, 1.0, "N"), 0.0)
        return book

    wall_s = 3 * HOUR_S + 700.0
    for killed_s in (6.0, 59.0, 61.0, 62.0, 63.0, 66.0):
        book, settled, told = fed(Book(["w01018"], 0, 600)), set[int](), set[Key]()
        for now_s in (6.0, 59.0, 61.0, 62.0, 63.0, 66.0):
            for key in book.due(wall_s, now_s) if now_s <= killed_s else ():
                book.told(key, book.open[key].version)
                told.add(key)
                if key[0] == MINUTES:
                    settled.update(range(key[1], key[1] + 600, 60))
        again = Book(["w01018"], 0, 600)
        for at_s in settled:
            again.recall(Told("w01018", at_s, 1.0, "N"), 100.0)
        for at_s in set(range(0, 3 * HOUR_S, 60)) - settled:
            again.take(Told("w01018", at_s, 1.0, "N"), 100.0)
        again.recalled(0, max(settled, default=0), 100.0)
        hours = {(HOURS, start) for start in range(0, 3 * HOUR_S, HOUR_S)}
        assert hours <= told | set(again.open), killed_s
    assert hours <= told  # without a kill all are told within the minute


def test_minutes_do_not_wait_for_an_hour_that_never_comes_to_an_end() -> None:
    book = Book(["w01018"], 0, 600)
    for now_s in range(0, 400, 10):  # a logger makes up for an old hour, again and again
        book.take(Told("w01018", now_s, 1.0, "N"), now_s)
    book.take(Told("w01018", 9 * HOUR_S, 1.0, "N"), 200.0)
    assert (MINUTES, 9 * HOUR_S) not in book.due(10.0 * HOUR_S, 210.0)
    assert (MINUTES, 9 * HOUR_S) in book.due(10.0 * HOUR_S, 310.0)
