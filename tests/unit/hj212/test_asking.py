"""What a logger on a call is asked, told and commanded, and how it answers (6.1, 6.2, annex C)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.logger import MN, ST, Logger, Trusted, cod, own_profile, packet, site, stored
from kit.running import Site

from headgate.cli.client import call
from headgate.env import system_env
from headgate.errors import ChannelTimeout, DeviceRefused, HeadgateError, ProtocolError
from headgate.messages import say
from headgate.model import Access
from headgate.sdk import Device, DevicePoint, Point
from headgate.testing.channel import FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.hj212 import Hj212Driver, orders, talk
from headgate_drivers.hj212.commands import COMMANDS, Accepted, Done, Kind
from headgate_drivers.hj212.errands import ASKS
from headgate_drivers.hj212.orders import Reply

DEVICE = f"log-{MN}"
ORDERS = """
[[point]]
name = "sample_now"
title = "Command: sample now"
unit = "1"
type = "float64"
item = "3012/w01018"
access = "w"

[[point]]
name = "every_hours"
title = "Command: sample every so many hours"
unit = "h"
type = "float64"
item = "3016/w01018"
access = "w"

[[point]]
name = "digestion"
title = "Temperature of digestion"
unit = "Cel"
type = "float64"
item = "3021/w01018/i13004"
access = "w"
"""


async def asked(here: Site, errand: str, *arguments: str, confirmed: bool = True) -> Any:
    """`headgate stations ask`."""
    said = {"device": DEVICE, "errand": errand, "arguments": arguments, "confirmed": confirmed}
    return await asyncio.to_thread(lambda: next(call(here.folder / "gateway.sock", "ask", **said)))


async def written(here: Site, point: str, value: float) -> Any:
    """`headgate write`."""
    said = {"device": DEVICE, "point": point, "value": value, "confirmed": True}
    return await asyncio.to_thread(
        lambda: next(call(here.folder / "gateway.sock", "write", **said))
    )


@asynccontextmanager
async def on_line(
    folder: Path, port: int, options: str = "", profile: str = ""
) -> AsyncIterator[tuple[Site, Logger]]:
    """A gateway with one logger that has said something; it can be commanded, unless a profile is named."""
    profile = profile or own_profile(folder, ORDERS)
    here = site(folder, MN, port=port, profile=profile, options=options)
    env = system_env()
    env.clock = Trusted()
    async with here.running(env, [folder / "profiles"]):
        logger = await Logger.to(port)
        logger.send(cod(1.0))
        assert (await logger.answer())["CN"] == "9014"
        yield here, logger
        logger.close()


def answer(request: dict[str, str], cn: str, cp: str) -> bytes:
    return packet(cn, cp, qn=request["QN"], st="91", flag=4)


def data(request: dict[str, str], cp: str, flag: int = 4) -> bytes:
    return packet(request["CN"], cp, qn=request["QN"], flag=flag)


async def test_a_loggers_clock_is_asked_and_told(tmp_path: Path, port: int) -> None:
    async with on_line(tmp_path, port) as (here, logger):
        asking = asyncio.create_task(asked(here, "clock"))
        request = await logger.answer()
        assert (request["CN"], request["ST"], request["PW"]) == ("1011", ST, "123456")
        assert (request["Flag"], request["CP"]) == ("5", "")
        logger.send(
            answer(request, "9011", "QnRtn=1"),
            data(request, "SystemTime=20260718143000"),
            answer(request, "9012", "ExeRtn=1"),
        )
        said = await asking
        assert [(t["name"], t["value"]) for t in said["told"]] == [("SystemTime", "20260718143000")]


async def test_history_is_asked_for_stored_with_its_own_times_and_answered(
    tmp_path: Path, port: int
) -> None:
    async with on_line(tmp_path, port, profile="generic/water-outfall") as (here, logger):
        asking = asyncio.create_task(asked(here, "hours", "2026-07-18T08", "2026-07-18T09"))
        request = await logger.answer()
        assert request["CN"] == "2061"
        assert request["CP"] == "BeginTime=20260718080000;EndTime=20260718090000"
        logger.send(answer(request, "9011", "QnRtn=1"))
        for hour, qn in ((8, "20260718143000534"), (9, "20260718143000535")):  # annex C.48
            cp = f"DataTime=202607180{hour}0000;w01018-Avg={hour}.5,w01018-Flag=N"
            logger.send(packet("2061", cp, qn=qn))
            back = await logger.answer()
            assert (back["CN"], back["QN"]) == ("9014", qn)
        logger.send(answer(request, "9012", "ExeRtn=1"))
        told = {t["name"]: t["value"] for t in (await asking)["told"]}
        assert told == {"records": 2, "first": "20260718080000", "last": "20260718090000"}
    assert [v for p, v, _, _ in stored(here) if p == "cod_hour"] == [8.5, 9.5]


async def test_a_setting_is_asked_about_then_sent_and_a_refusal_is_said_with_its_number(
    tmp_path: Path, port: int
) -> None:
    async with on_line(tmp_path, port) as (here, logger):
        assert (await asked(here, "set-realtime", "60", confirmed=False))["asked"] is False
        asking = asyncio.create_task(asked(here, "set-realtime", "60"))
        request = await logger.answer()
        assert (request["CN"], request["CP"]) == ("1062", "RtdInterval=60")
        logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=1"))
        assert (await asking)["asked"] is True
        asking = asyncio.create_task(asked(here, "set-minutes", "10"))
        logger.send(answer(await logger.answer(), "9011", "QnRtn=3"))
        with pytest.raises(HeadgateError) as told:
            await asking
        assert (told.value.code, told.value.fields["number"]) == ("HG-3625", "3")
        asking = asyncio.create_task(asked(here, "set-timeouts", "5", "3"))
        request = await logger.answer()
        assert request["CP"] == "OverTime=5;ReCount=3"
        logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=5"))
        with pytest.raises(HeadgateError) as told:
            await asking
        assert (told.value.code, told.value.fields["number"]) == ("HG-3626", "5")


async def test_the_clock_is_set_and_real_time_data_are_stopped_by_a_notice(
    tmp_path: Path, port: int
) -> None:
    async with on_line(tmp_path, port) as (here, logger):
        asking = asyncio.create_task(asked(here, "set-clock"))
        request = await logger.answer()
        assert request["CN"] == "1012"
        datetime.strptime(request["CP"], "SystemTime=%Y%m%d%H%M%S")  # noqa: DTZ007
        logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=1"))
        await asking
        asking = asyncio.create_task(asked(here, "stop-realtime"))
        request = await logger.answer()
        assert (request["CN"], request["CP"]) == ("2012", "")
        logger.send(answer(request, "9013", ""))
        assert (await asking)["told"] == []


async def test_what_an_instrument_is_set_to_is_told_line_by_line(tmp_path: Path, port: int) -> None:
    async with on_line(tmp_path, port) as (here, logger):
        asking = asyncio.create_task(asked(here, "info", "w01018", "i13004"))
        request = await logger.answer()
        assert (request["CN"], request["CP"]) == ("3020", "PolId=w01018;InfoId=i13004")
        logger.send(
            answer(request, "9011", "QnRtn=1"),
            data(request, "DataTime=20260718143000;PolId=w01018;i13004-Info=168.0"),
            answer(request, "9012", "ExeRtn=1"),
        )
        told = [(t["at"], t["name"], t["value"]) for t in (await asking)["told"]]
        assert told == [
            ("20260718143000", "PolId", "w01018"), ("20260718143000", "i13004-Info", "168.0"),
        ]  # fmt: skip


async def test_what_has_no_place_in_a_packet_is_refused_before_anything_is_sent(
    tmp_path: Path, port: int
) -> None:
    wrong = [
        ("hours", "yesterday", "2026-07-18"),
        ("hours", "2026-07-18T09", "2026-07-18T08"),
        ("set-realtime", "29"),
        ("set-minutes", "7"),
        ("set-timeouts", "0", "3"),
        ("serial", "w01018;PW=1"),
        ("info", "w01018", "x&&"),
    ]
    async with on_line(tmp_path, port) as (here, logger):
        for errand, *arguments in wrong:
            with pytest.raises(HeadgateError) as told:
                await asked(here, errand, *arguments)
            assert told.value.code == "HG-3655", errand
        for point, value in (("sample_now", 0), ("every_hours", 25)):
            with pytest.raises(HeadgateError) as told:
                await written(here, point, value)
            assert told.value.code == "HG-3627", point
        logger.send(cod(2.0, qn="20260718143000002"))
        assert (await logger.answer())["CN"] == "9014"  # and nothing came before it


async def test_a_question_is_repeated_and_a_command_is_not(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(orders.Orders):
        def __init__(self, send: orders.Send) -> None:
            super().__init__(send, answer_s=0.1)

    monkeypatch.setattr(talk, "Orders", Hasty)
    async with on_line(tmp_path, port) as (here, logger):
        asking = asyncio.create_task(asked(here, "clock"))
        requests = [await logger.answer() for _ in range(3)]
        assert [r["QN"] for r in requests] == [requests[0]["QN"]] * 3
        with pytest.raises(HeadgateError) as told:
            await asking
        assert told.value.code == "HG-3628"
        writing = asyncio.create_task(written(here, "sample_now", 1))
        request = await logger.answer()
        assert (request["CN"], request["CP"]) == ("3012", "PolId=w01018")
        with pytest.raises(HeadgateError) as told:
            await writing
        assert told.value.code == "HG-3628"
        logger.send(cod(2.0, qn="20260718143000002"))
        assert (await logger.answer())["CN"] == "9014"


async def test_writing_a_point_is_a_control_command(tmp_path: Path, port: int) -> None:
    commands = [
        ("sample_now", 1, "3012", "PolId=w01018"),
        ("every_hours", 2, "3016", "PolId=w01018;CstartTime=000000;Ctime=2"),
        ("digestion", 168, "3021", "PolId=w01018;InfoId=i13004;i13004-Info=168"),
        ("digestion", 0.00001, "3021", "PolId=w01018;InfoId=i13004;i13004-Info=0.00001"),
        ("digestion", 1234567.25, "3021", "PolId=w01018;InfoId=i13004;i13004-Info=1234567.25"),
    ]
    async with on_line(tmp_path, port) as (here, logger):
        for point, value, cn, cp in commands:
            writing = asyncio.create_task(written(here, point, value))
            request = await logger.answer()
            assert (request["CN"], request["CP"]) == (cn, cp)
            logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=1"))
            said = await writing
            assert (said["written"], said["kept"]) == (True, True)
        writing = asyncio.create_task(written(here, "sample_now", 1))
        request = await logger.answer()
        logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=100"))
        with pytest.raises(
            HeadgateError
        ) as told:  # that there are no data says not that it is done
            await writing
        assert told.value.code == "HG-3626"


async def test_a_logger_that_hangs_up_ends_the_question(tmp_path: Path, port: int) -> None:
    async with on_line(tmp_path, port) as (here, logger):
        asking = asyncio.create_task(asked(here, "clock"))
        await logger.answer()
        logger.close()
        with pytest.raises(HeadgateError):
            await asking


async def test_a_notice_about_one_instrument_is_answered_for_it(tmp_path: Path, port: int) -> None:
    profile = own_profile(tmp_path, changed={"set_clock = false": "set_clock = true"})
    here = site(tmp_path, MN, port=port, profile=profile)
    env = system_env()
    env.clock = Trusted()
    async with here.running(env, [tmp_path / "profiles"]):
        logger = await Logger.to(port)
        logger.send(packet("1013", " PolId=w01018"))  # annex C.4, its blank too
        assert (await logger.answer())["CN"] == "9013"
        order = await logger.answer()
        assert order["CN"] == "1012"
        assert order["CP"].startswith("PolId=w01018;SystemTime=")
        logger.close()


def test_every_errand_is_a_request_of_the_standard_and_has_a_sentence() -> None:
    for name, ask in ASKS.items():
        for cn in ask.commands:
            assert COMMANDS[cn].down in (Kind.REQUEST, Kind.NOTICE), name
        assert say(ask.errand.about, "zh") != say(ask.errand.about, "en")
    assert "1072" not in [cn for ask in ASKS.values() for cn in ask.commands]


# ------------------------------------------------------------ a second centre


async def test_right_packets_go_on_to_a_second_centre_as_they_came_and_its_answers_end_there(
    tmp_path: Path, port: int
) -> None:
    heard: list[bytes] = []
    changed = asyncio.Event()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
            qn = line.partition(b"QN=")[2][:17].decode()
            # It answers, and asks for the clock to be set: neither may reach the logger.
            writer.write(packet("9014", "", qn=qn, st="91", flag=4))
            writer.write(packet("1012", "SystemTime=20000101000000", qn=qn, flag=5))
            changed.set()
        writer.close()

    server = await asyncio.start_server(second, "127.0.0.1", 0)
    to = server.sockets[0].getsockname()[1]
    relay = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{to}" }} }}'
    async with on_line(tmp_path, port, options=relay) as (here, logger):
        small = cod(2.0, qn="20260718143000002")
        small = small[:-6] + small[-6:].lower()
        logger.send(
            small, cod(9.0).replace(b"9.0", b"8.0"), cod(3.0, qn="20260718143000003", flag=4)
        )
        assert (await logger.answer())["QN"] == "20260718143000002"
        asking = asyncio.create_task(asked(here, "clock"))
        request = await logger.answer()
        assert request["CN"] == "1011"  # the second centre's 9014 and 1012 did not come here
        logger.send(answer(request, "9011", "QnRtn=1"), answer(request, "9012", "ExeRtn=1"))
        await asking
        async with asyncio.timeout(30):
            while len(heard) < 3:
                changed.clear()
                await changed.wait()
    server.close()
    await server.wait_closed()
    # As they came, to the letter; neither the wrong one nor the answers to our own question.
    assert heard == [cod(1.0), small, cod(3.0, qn="20260718143000003", flag=4)]


class Said:
    """One call, on which the logger says how a command went."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def spoken(self, device: Device) -> bool:
        return True

    async def ask(self, *said: Any, **more: Any) -> Reply:
        return self.reply


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        *((Reply(Accepted.READY, done), ProtocolError) for done in (2, 4, 6, 100)),
        *((Reply(Accepted.READY, done), DeviceRefused) for done in (3, 5)),
        (Reply(Accepted.REFUSED, None), DeviceRefused), (Reply(None, None), ChannelTimeout),
        (Reply(Accepted.READY, None), ChannelTimeout),
    ],
)  # fmt: skip
async def test_only_who_certainly_did_nothing_has_refused(reply: Any, error: Any) -> None:
    driver, line = Hj212Driver(), FakeChannel()
    point = DevicePoint(Point("sample", "f64", access=Access.WRITE), {"item": "3012/w01018"})
    reply = reply if reply.done is None else reply._replace(done=Done(reply.done))
    driver._talks[line] = Said(reply)  # type: ignore[assignment]
    with pytest.raises(HeadgateError) as told:
        await driver.write(line, make_device([point], address=MN), "sample", 1)
    assert type(told.value) is error
