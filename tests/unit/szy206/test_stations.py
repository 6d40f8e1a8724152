"""Simulated stations that do what stations do wrong: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import socket
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.dialled import site, stored
from kit.streams import vectors
from typer.testing import CliRunner

from headgate.env import ClockState, SystemClock, system_env
from headgate_simulators.cli import app
from headgate_simulators.dial_farm import DialPlan, site_fragment
from headgate_simulators.dialling import Centre
from headgate_simulators.pytest import WatersMaker
from headgate_simulators.szy206_stations import wire
from headgate_simulators.szy206_stations.farm import StationsFarm, StationsPlan
from headgate_simulators.szy206_stations.station import Habits
from headgate_simulators.truth import TruthList

VECTORS = {each["name"]: bytes.fromhex(each["hex"]) for each in vectors("szy206")}
PROFILE = "generic/water-resources-station"


class Trusted(SystemClock):
    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


# ---------------------------------------------------------------- against frames of others


def test_a_report_is_written_as_a_station_in_the_field_writes_it() -> None:
    words, at = bytes.fromhex("01106000"), datetime(2026, 7, 9, 8, 45)  # noqa: DTZ001
    label = bytearray(wire.tag(at, long=False))
    label[-1] = 10
    data = wire.flow(5.9, 106182) + words + label
    raw = wire.frame(wire.up(wire.FLOW, 3), wire.address("530381", 13), wire.REPORT, data)
    assert raw == VECTORS["real_flow_report_35"]


def test_a_login_and_levels_are_written_as_others_write_them() -> None:
    login = wire.frame(wire.up(0, 3), bytes.fromhex("0300131304"), wire.LINK, b"\xf0")
    assert login.hex() == "680868b0030013130402f04a16"
    values = wire.level(21.873) + wire.level(-3.082)
    assert values.hex() == "731802008230" + "00f0"


def test_a_centre_of_somebody_else_is_understood() -> None:
    buffer = bytearray(b"\x00\x01" + VECTORS["ack_downlink_0427"])
    (told,) = wire.heard(buffer)
    assert (told.afn, told.data[:1], told.tries) == (wire.REPORT, b"\0", 3)
    assert wire.clock_of(told.data[1:7]) == datetime(2026, 7, 18, 14, 30, 1)  # noqa: DTZ001


# ---------------------------------------------------------------- against a centre that is none of ours


@pytest.mark.timeout(60)
def test_unanswered_it_counts_down_and_then_hangs_up_and_dials_again(
    szy206_stations: WatersMaker,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as centre:
        centre.settimeout(30)
        szy206_stations(
            port=centre.getsockname()[1], every_s=60, behind_s=120, speed=0.001, answer_s=0.1
        )
        for _ in range(2):
            line, _ = centre.accept()
            line.settimeout(30)
            heard = bytearray()
            with line:
                while data := line.recv(4096):
                    heard += data
            assert heard[:3] == b"\x68\x08\x68"  # its login
            reports = bytes(heard[13:])
            size = reports[1] + 5
            said = [reports[at : at + size] for at in range(0, len(reports), size)]
            assert [each[3] >> 4 & 3 for each in said] == [3, 2, 1]
            assert len({each[4:-2] for each in said}) == 1


# ---------------------------------------------------------------- against the gateway


def told_by(truth: TruthList) -> Counter[tuple[str, Any, int]]:
    """What confirmed reports said, as often as they said it."""
    confirmed = {(x["device"], x["confirmed"]) for x in truth.lines if "confirmed" in x}
    return Counter(
        (point, value, round(at * 1e6))
        for line in truth.lines
        if "told" in line and (line["device"], line["serial"]) in confirmed
        for at, values in line["told"]
        for point, value in values.items()
    )


#: One station of each, in one gateway.
FAULTS = (
    (), ("hangs-up",), ("glue",), ("split=3",), ("wrong-check",), ("short-label",), ("divided",),
    ("clock=1000000",), ("hangs-up", "glue", "wrong-check", "split"), ("short-label", "divided", "glue"),
)  # fmt: skip


@pytest.mark.timeout(120)
async def test_every_report_is_stored_once_whatever_is_wrong(tmp_path: Path, port: int) -> None:
    plan = StationsPlan(
        DialPlan(
            count=len(FAULTS), speed=0.001, behind_s=1800.0,
            centre=Centre(port=port, answer_s=0.4, redial_s=0.05),
            faults=tuple(
                f"ws-{number:03d}:{fault}"
                for number, faults in enumerate(FAULTS, 1)
                for fault in faults
            ),
        ),
        Habits(every_s=600.0, behind_s=1800.0),
    )  # fmt: skip
    truth = TruthList()
    farm = StationsFarm(plan, truth)
    stations = {each["id"]: each["address"] for each in farm.description}
    here = site(tmp_path, "szy206", port, stations, PROFILE)
    env = system_env()
    env.clock = Trusted()
    async with here.running(env), farm, asyncio.timeout(90):
        while any(station.confirmed < 9 for station in farm.devices.values()):
            await asyncio.sleep(0.02)
    wanted = told_by(truth)
    assert sum(wanted.values()) == len(FAULTS) * (3 * (1 + 2 + 2) + 9 * 8)
    found = Counter(
        (point, value, at or 0)
        for point, value, at in stored(here)
        if point not in ("clock_off", "rest")
    )
    assert found == wanted, found - wanted or wanted - found
    clocks = [line["device"] for line in truth.lines if "clock_set" in line]
    assert clocks == ["ws-008"]  # only the clock that was off was set


# ---------------------------------------------------------------- the command


def test_the_command_says_what_it_cannot_do_and_writes_a_site_that_is_right(tmp_path: Path) -> None:
    run = CliRunner().invoke
    for wrong in (["--to", "5206"], ["--fault", "ws-001"], ["--fault", "*:float"]):
        told = run(app, ["szy206", *wrong])
        assert (told.exit_code, bool(told.output)) == (2, True)
    plan = StationsPlan(DialPlan(count=2, centre=Centre(port=5206)), Habits())
    farm = StationsFarm(plan, TruthList())
    fragment = site_fragment(farm.description, "waters", "szy206+listen://[::]:5206", "5min")
    (tmp_path / "site.toml").write_text(fragment)
    devices = tomllib.loads(fragment)["device"]
    assert [each["profile"] for each in devices] == [PROFILE] * 2
    assert {each["address"] for each in devices} == {x["address"] for x in farm.description}
