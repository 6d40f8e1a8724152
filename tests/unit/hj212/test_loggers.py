"""The simulated loggers by themselves: written from the standard, and honest about it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from kit.bureau import Bureau, factors_of, running_bureau
from typer.testing import CliRunner

from headgate_simulators.cli import app
from headgate_simulators.hj212_loggers.farm import LoggerFarm, LoggerPlan
from headgate_simulators.hj212_loggers.packets import check, packet, taken
from headgate_simulators.hj212_loggers.site import site_fragment
from headgate_simulators.truth import TruthList

_CHINA = ZoneInfo("Asia/Shanghai")
#: HJ 212-2017 annex A.
SAMPLE = (
    "QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
    "CP=&&RtdInterval=30&&"
)


def test_the_check_is_that_of_the_standards_own_sample() -> None:
    assert check(SAMPLE.encode()) == 0x1C80
    assert packet(SAMPLE) == f"##0101{SAMPLE}1C80\r\n".encode()
    assert packet(SAMPLE, wrong=True) != packet(SAMPLE)


def test_answers_are_taken_apart_as_they_come() -> None:
    buffer = bytearray()
    found = []
    for byte in packet(SAMPLE) * 2:
        buffer.append(byte)
        if (each := taken(buffer)) is not None:
            found.append(each)
    assert [each["CN"] for each in found] == ["1062", "1062"]
    with pytest.raises(ValueError, match="no packet"):
        taken(bytearray(b"HTTP/1.1"))
    with pytest.raises(ValueError, match="check"):
        taken(bytearray(packet(SAMPLE, wrong=True)))


async def _until(farm: LoggerFarm, answered: int) -> None:
    async with asyncio.timeout(30):
        while any(len(each.answered) < answered for each in farm.loggers):
            await asyncio.sleep(0.01)


def _plan(bureau: Bureau, **wanted: object) -> LoggerPlan:
    return LoggerPlan(port=bureau.port, **{"real_s": 0.05, "answer_s": 0.2, **wanted})  # type: ignore[arg-type]


async def test_what_is_not_answered_comes_three_times_and_then_again_on_a_new_call() -> None:
    async with running_bureau() as bureau:
        bureau.answers = lambda said: bureau.calls > 2
        async with LoggerFarm(_plan(bureau, count=1, answer_s=0.05), TruthList()) as farm:
            await _until(farm, 3)
            (logger,) = farm.loggers
            assert logger.dialled == 3
            assert max(each.sent for each in logger.said.values()) == 7
    first = bureau.heard[0]["QN"]
    assert [each["QN"] for each in bureau.heard[:7]] == [first] * 7


async def test_the_truth_is_what_went_over_the_wire() -> None:
    truth = TruthList()
    async with running_bureau() as bureau:
        async with LoggerFarm(_plan(bureau, count=2), truth) as farm:
            await _until(farm, 3)
        told = [float(factors_of(each["CP"]).get("a34002-Rtd", "nan")) for each in bureau.heard]
    lines = [line for line in truth.lines if line.get("device") == "log-001"]
    said = {line["serial"]: line["told"][0] for line in lines if "told" in line}
    values = [values["pm10"] for _, values in said.values() if "pm10" in values]
    assert len(values) >= 3
    assert set(values) <= set(told)
    assert {each["QN"] for each in bureau.heard} >= said.keys()
    # What was answered is confirmed, each packet once: `headgate verify` holds the store to it.
    confirmed = [line["confirmed"] for line in lines if "confirmed" in line]
    assert len(confirmed) == len(set(confirmed)) >= 3
    assert set(confirmed) <= said.keys()
    for heard in bureau.heard:
        if heard["QN"] in said:
            written = factors_of(heard["CP"])["DataTime"]
            at = datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=_CHINA)
            assert said[heard["QN"]][0] == at.timestamp()


async def test_parts_share_their_data_time_and_have_a_qn_each() -> None:
    async with running_bureau() as bureau:
        plan = _plan(bureau, count=1, faults=["*:parts"])
        async with LoggerFarm(plan, TruthList()) as farm:
            await _until(farm, 2)
        first, second = bureau.heard[:2]
    assert (first["PNUM"], first["PNO"], second["PNO"], first["Flag"]) == ("2", "1", "2", "7")
    assert first["QN"] != second["QN"]
    assert factors_of(first["CP"])["DataTime"] == factors_of(second["CP"])["DataTime"]


def test_what_it_prints_is_a_site_that_fits_it(tmp_path: Path) -> None:
    from headgate.config import load
    from headgate.env import system_env
    from headgate.runtime.installed import look

    plan = LoggerPlan(count=4, port=9212)
    text = site_fragment(LoggerFarm(plan, TruthList()).description)
    (tmp_path / "site.toml").write_text(f'schema = 1\n[gateway]\nid = "hg-test"\n{text}')
    site = load(system_env(), tmp_path)
    installed = look(system_env())(site)
    assert load(system_env(), tmp_path, installed.known()).devices.keys() == {
        f"log-{k:03d}" for k in range(1, 5)
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nowhere"], "ADDR:PORT"),
        (["--count", "0"], "1 to 5000"),
        (["--fault", "log-001:odd"], "not known"),
        (["--fault", "log-009:deaf"], "not in this farm"),
        (["--fault", "what"], "DEVICE:KIND"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["hj212", *arguments])
    assert result.exit_code == 2
    assert words in result.output
