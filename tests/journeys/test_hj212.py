"""Loggers of HJ 212 on a gateway that is killed, attacked and busy: each reading is there once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from kit.bureau import Bureau, factors_of, framed, running_bureau
from kit.logger import MN, Logger, cod
from kit.logger import site as logger_site
from kit.running import PATIENCE_S, Site

from headgate.cli.client import call
from headgate.columns import readings
from headgate.config import load
from headgate.env import ClockState, SystemClock, system_env
from headgate.model import Block
from headgate.runtime.installed import look
from headgate.spool import State
from headgate_drivers.hj212 import talk
from headgate_plugins.hj212 import Hj212Uplink
from headgate_simulators.pytest import LoggersMaker, RunningLoggers


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def child(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway as a process of its own; killed with -9 at the end, unless it is over."""
    with (folder / "child.log").open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from headgate.cli import main; main()", "run", str(folder),
            stdout=asyncio.subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> None:
    """An orderly stop."""
    os.kill(process.pid, signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        await process.wait()


def stored(at: Site) -> Counter[tuple[str, str, float, int | None]]:
    """(device, point, value, device time) of every reading that a stopped gateway has."""
    installed = look(system_env())(load(system_env(), at.folder))
    load(system_env(), at.folder, installed.known())
    tables = {each.id: each.table for each in installed.resolved.values()}
    numbers = known_numbers(at)
    found: Counter[tuple[str, str, float, int | None]] = Counter()
    for block in at.stored():
        if isinstance(block, Block) and block.columns:
            name = numbers[block.device]
            for each in readings(block, tables[name]):
                if each.point not in ("clock_off", "rest") and each.value is not None:
                    found[name, each.point, float(each.value), each.device_time_us] += 1
    return found


def known_numbers(at: Site) -> dict[int, str]:
    """Devices by the number that the gateway gave them."""
    state = State(system_env(), at.state / "state.db")
    state.open()
    try:
        return {number: name for name, number in state.devices().items()}
    finally:
        state.close()


def due(loggers: RunningLoggers) -> Counter[tuple[str, str, float, int | None]]:
    """What the loggers were answered, by their own account."""
    found: Counter[tuple[str, str, float, int | None]] = Counter()
    zone = ZoneInfo("Asia/Shanghai")
    for logger in loggers.loggers:
        for qn in logger.answered:
            upload = logger.said[qn]
            at = factors_of(upload.segment.partition("CP=&&")[2])["DataTime"]
            when = datetime.strptime(at, "%Y%m%d%H%M%S").replace(tzinfo=zone)
            for point, value in upload.values.items():
                found[logger.id, point, value, round(when.timestamp() * 1e6)] += 1
    return found


async def until_answered(loggers: RunningLoggers, count: int) -> None:
    """Until every logger has had so many packets answered."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while any(len(each.answered) < count for each in loggers.loggers):
            await asyncio.sleep(0.05)


def site(folder: Path, loggers: RunningLoggers, more: str = "") -> Site:
    return Site(folder, loggers.site("1h"), more=more)


# ------------------------------------------------------------ power cuts


@pytest.mark.timeout(180)
async def test_killed_between_receipt_and_answer_the_platform_holds_it_once(
    tmp_path: Path, port: int, hj212_loggers: LoggersMaker
) -> None:
    loggers = hj212_loggers(
        count=4, port=port, real_s=0.05, minutes_s=1.5, answer_s=0.1,
        faults=["log-002:deaf", "log-003:parts"],
    )  # fmt: skip
    here = site(tmp_path, loggers)
    draw = random.Random(7)

    async def ten_more(process: asyncio.subprocess.Process) -> None:
        before = [len(each.answered) for each in loggers.loggers]
        async with asyncio.timeout(PATIENCE_S):
            while any(
                len(each.answered) < many + 10
                for each, many in zip(loggers.loggers, before, strict=True)
            ):
                assert process.returncode is None, (tmp_path / "child.log").read_text()[-2000:]
                await asyncio.sleep(0.01)

    for _ in range(3):
        async with child(tmp_path) as process:
            await ten_more(process)
            await asyncio.sleep(draw.uniform(0, 0.05))  # anywhere between two commits
    async with child(tmp_path) as process:
        await ten_more(process)  # what was stored and not answered comes first, and again
        for each in loggers.loggers:
            loggers.fault(each.id, "silent")
        await ended(process)
    expected, found = due(loggers), stored(here)
    assert sum(len(each.answered) for each in loggers.loggers) >= 160
    assert not expected - found, "answered, and not there"
    # What was stored and not answered in time stands in no account of the loggers; nothing is there twice.
    for each in loggers.loggers:
        each.answered |= set(each.said)
    assert not found - due(loggers), "stored more often than it was said"


# ------------------------------------------------------------ many, and wrong in every way


@pytest.mark.timeout(120)
async def test_twenty_loggers_wrong_in_every_way_lose_nothing_and_double_nothing(
    tmp_path: Path, port: int, hj212_loggers: LoggersMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = hj212_loggers(
        count=20, port=port, real_s=0.2, minutes_s=1.5, answer_s=0.5,
        faults=[
            "log-001:wrong-check", "log-002:split", "log-003:glued", "log-004:parts",
            "log-005:clock-off=-315360000", "log-006:hangs-up", "log-007:deaf", "log-008:null-mn",
            "log-009:parts", "log-009:deaf", "log-009:split", "log-010:no-end", "log-011:short-check",
        ],
    )  # fmt: skip
    monkeypatch.setattr(talk, "UNENDED_S", 0.05)  # of one that sends no CR LF
    here = site(tmp_path, loggers)
    well = [each for each in loggers.loggers if each.id != "log-008"]
    async with here.running():
        async with asyncio.timeout(PATIENCE_S):
            while any(len(each.answered) < 4 for each in well):
                await asyncio.sleep(0.05)
        loggers.command(reconnect=True)  # all at once
        async with asyncio.timeout(PATIENCE_S):
            while any(len(each.answered) < 9 for each in well):
                await asyncio.sleep(0.05)
        for each in loggers.loggers:
            loggers.fault(each.id, "silent")
        status = await here.status()
    tally = status["channels"][0]["tally"]
    assert tally["refused-stranger"] >= 1
    assert tally.get("bad-bad_checksum", 0) + tally["resends"] >= 1
    expected, found = due(loggers), stored(here)
    assert not expected - found
    for each in loggers.loggers:
        each.answered |= set(each.said)
    assert not found - due(loggers)
    assert not [key for key in found if key[0] == "log-008"]


@pytest.mark.timeout(120)
async def test_hostile_callers_stop_no_logger(
    tmp_path: Path, port: int, hj212_loggers: LoggersMaker
) -> None:
    loggers = hj212_loggers(count=3, port=port, real_s=0.2, answer_s=2.0)
    here = site(tmp_path, loggers)
    mn = loggers.loggers[0].mn
    forged = framed(
        f"QN=20260718143000001;ST=39;CN=2011;PW=x;MN={mn[:-1]}X;Flag=5;"
        "CP=&&DataTime=20260718143000;LA-Rtd=1.0,LA-Flag=N&&"
    )
    draw = random.Random(5)
    attacks = [
        b"##9999" + b"9" * 100_000,
        b"##0100" * 5_000,
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(draw.randrange(256) for _ in range(50_000)),
        forged * 50,
        framed(f"QN=20260718143000001;ST=39;CN=2011;PW=x;MN={mn[:-1]}X;Flag=5;CP=&&" + "a=1;" * 200 + "&&"),
        b"#",  # and then nothing: it holds a place, and no more
    ]  # fmt: skip
    async with here.running():
        await until_answered(loggers, 2)
        before = [len(each.answered) for each in loggers.loggers]
        writers = []
        for attack in attacks * 3:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(attack)
            writers.append(writer)
        async with asyncio.timeout(PATIENCE_S):
            while any(
                len(each.answered) < many + 5
                for each, many in zip(loggers.loggers, before, strict=True)
            ):
                await asyncio.sleep(0.05)
        status = await here.until(lambda s: s["channels"][0]["tally"].get("refused-stranger"))
        for each in loggers.loggers:
            loggers.fault(each.id, "silent")
        for writer in writers:
            writer.transport.abort()
    assert status["channels"][0]["tally"]["refused-stranger"] >= 3
    assert not due(loggers) - stored(here)


# ------------------------------------------------------------ asked


@pytest.mark.timeout(120)
async def test_what_a_gateway_did_not_hear_it_asks_for_and_what_it_has_it_holds_once(
    tmp_path: Path, port: int, hj212_loggers: LoggersMaker
) -> None:
    loggers = hj212_loggers(count=1, port=port, real_s=0.2, minutes_s=1.5, answer_s=2.0)
    (logger,) = loggers.loggers
    here = site(tmp_path, loggers)
    async with asyncio.timeout(PATIENCE_S):
        while not logger.kept:
            await asyncio.sleep(0.02)
    # The logger thinks that its minutes were answered: only a request brings them.
    missed = [each for each in logger.waiting if ";CN=2051;" in each.segment]
    for each in missed:
        logger.waiting.remove(each)
    async with here.running():
        await until_answered(loggers, 3)

        def ask() -> Any:
            said = {
                "device": "log-001",
                "errand": "minutes",
                "arguments": ["2020-01-01", "2100-01-01"],
            }
            return next(call(tmp_path / "gateway.sock", "ask", **said))

        for _ in range(2):
            told = {t["name"]: t["value"] for t in (await asyncio.to_thread(ask))["told"]}
            assert told["records"] >= len(missed)
        loggers.fault("log-001", "silent")
    assert missed
    found = stored(here)
    for each in missed:
        at = factors_of(each.segment.partition("CP=&&")[2])["DataTime"]
        when = datetime.strptime(at, "%Y%m%d%H%M%S").replace(tzinfo=ZoneInfo("Asia/Shanghai"))
        for point, value in each.values.items():
            assert found["log-001", point, value, round(when.timestamp() * 1e6)] == 1
    assert {many for (_, point, _, _), many in found.items() if point.endswith("_minutes")} == {1}


# ------------------------------------------------------------ upward


class Trusted(SystemClock):
    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


@pytest.mark.timeout(120)
async def test_what_a_logger_says_below_a_bureau_hears_above(
    tmp_path: Path, port: int, hj212_loggers: LoggersMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Readings of this machine come at once: nobody need wait for late ones.
    monkeypatch.setattr(Hj212Uplink, "late_s", 0.2)
    monkeypatch.setattr(Hj212Uplink, "look_s", 0.1)
    loggers = hj212_loggers(count=1, port=port, real_s=0.2, answer_s=2.0)
    env = system_env()
    env.clock = Trusted()
    async with running_bureau() as bureau:
        here = site(tmp_path, loggers, UPLINK.format(port=bureau.port))
        async with here.running(env):
            await bureau.until(lambda: len(bureau.of("2011")) >= 2)
            loggers.fault("log-001", "silent")
        _as_said(bureau, loggers)


UPLINK = """
[[uplink]]
id = "bureau"
type = "hj212"
url = "hj212://127.0.0.1:{port}"
mn = "4201GATE00000001"
realtime = "1s"
minutes = "1min"
unsynced = "hold"
reconnect_min = "100ms"
reconnect_max = "200ms"

[uplink.factors]
a34002 = {{ from = "log-001/pm10", digits = 1 }}
"""


@pytest.mark.timeout(120)
async def test_an_hour_and_its_history_are_whole_though_the_gateway_was_stopped_in_it(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("late_s", "long_s", "look_s"):
        monkeypatch.setattr(Hj212Uplink, wait, 0.1)
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    hour = (now - timedelta(hours=2)).replace(minute=0, second=0)
    env = system_env()
    env.clock = Trusted()
    async with running_bureau() as bureau:
        here = logger_site(tmp_path, MN, port=port)
        with (tmp_path / "site.toml").open("a") as file:
            file.write(OF_HOURS.format(port=bureau.port))
        (tmp_path / "pw").write_text("123456")
        (tmp_path / "pw").chmod(0o600)
        for tens in ((0, 1, 2), (3, 4, 5)):
            async with here.running(env):
                logger = await Logger.to(port)
                for ten in tens:
                    at = f"{hour + timedelta(minutes=10 * ten):%Y%m%d%H%M%S}"
                    logger.send(cod(10.0 * (ten + 1), at, qn=f"{at}00{ten}"))
                    assert (await logger.answer())["CN"] == "9014"
                logger.writer.close()
                average = {2: "20.0", 5: "35.0"}[tens[-1]]
                await bureau.until(lambda: _averages(bureau)[-1:] == [average])  # noqa: B023
                await bureau.until(lambda: len(bureau.of("2051")) == tens[-1] + 1)  # noqa: B023
                if tens[0]:
                    bureau.say(_asks(hour, hour + timedelta(minutes=59)))
                    await bureau.until(lambda: bureau.of("9012"))
    assert factors_of(bureau.of("2061")[-1]["CP"])["w01018-Flag"] == "N"
    told = [each["CP"] for each in bureau.of("2051")]
    assert len(told) == 12
    assert sorted(told[6:]) == sorted(told[:6]), "asked for, each comes as it was told"


def _averages(bureau: Bureau) -> list[str]:
    return [factors_of(each["CP"])["w01018-Avg"] for each in bureau.of("2061")]


def _asks(begin: datetime, end: datetime) -> str:
    return (
        "QN=20260718150000123;ST=32;CN=2051;PW=123456;MN=4201GATE00000001;Flag=5;"
        f"CP=&&BeginTime={begin:%Y%m%d%H%M%S};EndTime={end:%Y%m%d%H%M%S}&&"
    )


OF_HOURS = """
[[uplink]]
id = "bureau"
type = "hj212"
url = "hj212://127.0.0.1:{port}"
mn = "4201GATE00000001"
password = "file:pw"
st = "32"
realtime = "0s"
unsynced = "hold"
reconnect_min = "100ms"
reconnect_max = "200ms"

[uplink.factors]
w01018 = {{ from = "log-000101/cod", digits = 1 }}
"""


def _as_said(bureau: Bureau, loggers: RunningLoggers) -> None:
    said = {f"{each.values['pm10']:.1f}" for each in loggers.loggers[0].said.values()}
    for packet in bureau.of("2011"):
        told = factors_of(packet["CP"])
        assert told["a34002-Rtd"] in said
        assert told["a34002-Flag"] == "N"
