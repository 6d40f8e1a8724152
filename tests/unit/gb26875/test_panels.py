"""Simulated transmitters that do what transmitters do wrong: no alarm is lost, none is raised twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.dialled import stored
from kit.fire import at_noon, site
from kit.running import Site
from typer.testing import CliRunner

from headgate.cli.client import call
from headgate.model import Alarm
from headgate_simulators.cli import app
from headgate_simulators.dial_farm import DialPlan
from headgate_simulators.dialling import Centre
from headgate_simulators.gb26875_panels import wire
from headgate_simulators.gb26875_panels.building import Building, Incident
from headgate_simulators.gb26875_panels.farm import ADDRESS, PanelsFarm, PanelsPlan
from headgate_simulators.gb26875_panels.panel import Habits
from headgate_simulators.pytest import PanelsMaker
from headgate_simulators.truth import TruthList
from headgate_simulators.world import World

OTHERS = json.loads((Path(__file__).parent / "others.json").read_text())["frames"]
T12 = datetime(2012, 9, 26, 9, 58, 2)  # noqa: DTZ001
PARTS = 30


def other(what: str) -> bytes:
    """A frame that somebody else made."""
    return bytes.fromhex(next(each["hex"] for each in OTHERS if each["what"].startswith(what)))


# ---------------------------------------------------------------- against frames of others


def test_units_are_written_as_others_write_them() -> None:
    part = wire.Part(1, 1, 40, 0x0002000A)
    smoke = bytearray(wire.unit(2, wire.component_state(part, 2, "", T12)))
    wanted = other("smoke detector")[27:-3]
    smoke[11:42] = wanted[11:42]  # they pad with blanks and a zero
    assert bytes(smoke) == wanted
    at = datetime(2012, 9, 26, 9, 58, 32)  # noqa: DTZ001
    state = wire.unit(21, wire.transmitter_state(8, T12))
    assert wire.frame(1, 889, wire.SEND, state, at, 88888) == other("mains of the transmitter")
    done = wire.unit(24, wire.transmitter_operation(32, 1, T12))
    assert wire.frame(1, 889, wire.SEND, done, at, 88888) == other("somebody on duty")


def test_a_centre_of_somebody_else_is_understood() -> None:
    said = bytearray(b"@noise" + other("sets its clock") + other("the centre denies"))
    setting, denial = wire.heard(said), wire.heard(said)
    assert setting is not None
    assert denial is not None
    assert (setting.command, wire.time_of(setting.data[2:])) == (wire.CONTROL, T12)
    assert (denial.serial, denial.command, denial.source) == (1, wire.DENY, 88888)
    assert wire.heard(said) is None


def test_names_have_room_for_31_bytes_and_are_never_cut_in_a_character() -> None:
    assert wire.text("𠮷" * 9).rstrip(b"\0").decode("gb18030") == "𠮷" * 7  # four bytes each
    assert len(wire.text("3层烟感")) == 31


def test_a_building_burns_as_it_was_told_and_its_hydrants_press_less() -> None:
    world = World(1, 0.0)
    house = Building(world, world.places(1)[0], 1)
    pressure = house.sensors[0]
    before = house.value(pressure, 1000.0)
    house.ask_fire(Incident(1000.0, 1600.0, 3))
    assert len(house.burning(1000.0)) == 3
    assert house.value(pressure, 1000.0) < before - 100
    assert (house.burning(999.0), house.burning(1600.0)) == ([], [])
    assert house.next_change(1000.0) == 1600.0


# ---------------------------------------------------------------- against a centre that is none of ours


async def test_unanswered_it_says_all_four_times_and_then_hangs_up_and_dials_again() -> None:
    calls: asyncio.Queue[bytes] = asyncio.Queue()

    async def centre(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            calls.put_nowait(await reader.read())
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(centre, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plan = DialPlan(centre=Centre(port=port, answer_s=0.05, redial_s=0.05))
    async with server, PanelsFarm(PanelsPlan(plan), TruthList()):
        for _ in range(2):
            async with asyncio.timeout(30):
                heard = await calls.get()
            frames = [heard[at : at + 39] for at in range(0, len(heard), 39)]
            assert len(frames) == 4
            assert {(each[2:4], each[27:29]) for each in frames} == {(b"\0\0", b"\x15\1")}


# ---------------------------------------------------------------- against the gateway


def farm_of(port: int, faults: tuple[str, ...], truth: TruthList, **habits: Any) -> PanelsFarm:
    centre = Centre(port=port, answer_s=0.5 if faults else 5.0, redial_s=0.02)
    plan = DialPlan(centre=centre, faults=tuple(f"*:{each}" for each in faults))
    return PanelsFarm(PanelsPlan(plan, Habits(**{"every_s": 3600.0, **habits})), truth)


async def confirmed(farm: PanelsFarm, events: int) -> None:
    panel = farm.devices["fp-001"]
    async with asyncio.timeout(60):
        while panel.confirmed < events or panel.waiting:
            await asyncio.sleep(0.01)


def raised(here: Site) -> list[list[Any]]:
    """Alarms that were raised, and cleared after that, in order."""
    on: set[str] = set()
    found = []
    for each in here.stored():
        if isinstance(each, Alarm) and each.active != (each.code in on):
            found.append([each.code, each.active])
            on ^= {each.code}
    return found


def told_alarms(truth: TruthList) -> list[list[Any]]:
    return [alarm for line in truth.lines for alarm in line.get("alarms", ())]


FAULTS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    ((), {}),
    (("hangs-up",), {}),
    (("glue",), {"window": 50}),
    (("split=5",), {"window": 8}),
    (("wrong-check",), {"window": 4}),
    (("source-0",), {}),
    (("clock=-300000000",), {"serial": 65530}),
]


@pytest.mark.parametrize(("faults", "habits"), FAULTS, ids=lambda x: "+".join(x) or "none")
async def test_a_burst_of_fires_is_each_raised_once_in_order_whatever_goes_wrong(
    tmp_path: Path, port: int, faults: tuple[str, ...], habits: dict[str, Any]
) -> None:
    here, truth = site(tmp_path, port, ADDRESS + 1), TruthList()
    async with here.running(), farm_of(port, faults, truth, **habits) as farm:
        await confirmed(farm, 1)
        farm.command({"fire": "fp-001", "parts": PARTS})
        await confirmed(farm, 1 + PARTS + 1)
        farm.command({"reset": "*"})
        await confirmed(farm, 1 + PARTS + 1 + 2)
        panel = farm.devices["fp-001"]
    assert raised(here) == told_alarms(truth)
    assert len(told_alarms(truth)) == 2 * (PARTS + 1)
    wanted = Counter(
        (point, value, round(at * 1e6))
        for line in truth.lines
        for at, values in line.get("told", ())
        for point, value in values.items()
    )
    assert Counter(each for each in stored(here) if each[0] in ("fires", "watching")) == Counter(
        {key: count for key, count in wanted.items() if key[0] in ("fires", "watching")}
    )
    if "wrong-check" in faults:
        assert panel.denied >= PARTS


async def test_it_is_asked_and_answers_denies_and_somebody_on_duty_presses_the_key(
    tmp_path: Path, port: int
) -> None:
    here, truth = site(tmp_path, port, ADDRESS + 1), TruthList()
    request = here.folder / "gateway.sock"

    async def ask(errand: str, *words: str) -> list[Any]:
        said = {"device": "panel", "errand": errand, "arguments": list(words), "confirmed": True}
        got = await asyncio.to_thread(lambda: next(call(request, "ask", **said)))
        return [each["value"] for each in got["told"]]

    async with (
        here.running(at_noon()),
        farm_of(port, (), truth, guard_s=0.01, serial=7) as farm,
    ):
        await confirmed(farm, 1)
        panel = farm.devices["fp-001"]
        farm.command({"fire": "fp-001", "parts": 1})
        await confirmed(farm, 3)
        assert await ask("state", "1.1.00010001") == [
            "normal fire  点型光电感烟火灾探测器 1层01烟感 𠮷祥厅"
        ]
        assert await ask("state", "1.1") == ["normal fire  火灾报警系统"]
        assert await ask("state") == ["normal  用户信息传输装置"]
        (pressure,) = await ask("values", "11.1.00000001")
        hydrant = panel.building.sensors[0]
        assert abs(pressure - panel.building.value(hydrant, panel.world_now())) < 1
        assert await ask("version", "1.1") == ["2.1"]
        assert await ask("version") == ["3.2"]
        assert (await ask("configuration", "11.1.00000001")) == ["1号消火栓压力"]
        assert "系统 1.1" in (await ask("configuration", "1.1"))[0]
        assert "消防控制室" in (await ask("configuration"))[0]
        assert len(await ask("clock", "1.1")) == len(await ask("clock")) == 1
        assert await ask("guard", "10") == [True]
        await confirmed(farm, 4)
        assert await ask("operations") == ["guard_answer  operator 1"]
        farm.command({"reset": "*"})
        await confirmed(farm, 6)
        assert await ask("system-operations", "1.1", "2000-01-01T00:00") == ["reset  operator 1"]
        farm.command({"fault": "clock", "device": "*", "on": True, "value": 1e6})
        assert await ask("set-clock") == [True]
        assert panel.faults == {}
    assert [x["clock_set"][:10] for x in truth.lines if "clock_set" in x] == ["2026-07-19"]
    done = [json.loads(value) for point, value, _ in stored(here) if point == "operation"]
    assert [each["acts"] for each in done if each["of"] == "transmitter"][:1] == [["guard_answer"]]


def test_a_plan_that_makes_no_sense_is_refused_in_words() -> None:
    for wrong in ({"window": 0}, {"detectors": 0}, {"serial": 70000}, {"every_s": 0.1}):
        with pytest.raises(ValueError, match=":"):
            PanelsPlan(DialPlan(), Habits(**wrong))
    with pytest.raises(ValueError, match="there are: "):
        PanelsFarm(PanelsPlan(DialPlan(faults=("*:meow",))), TruthList())


@pytest.mark.timeout(60)
def test_transmitters_as_a_fixture_name_themselves_and_obey(gb26875_panels: PanelsMaker) -> None:
    panels = gb26875_panels(port=1, dial={"count": 2}, window=4)
    panels.command(fire="*", parts=3)
    assert [each["address"] for each in panels.devices] == [str(ADDRESS + 1), str(ADDRESS + 2)]
    assert 'profile = "generic/fire-panel"' in panels.site()
    until = [panel.building for panel in panels.panels.values()]
    assert all(len(house.burning(time.time())) == 3 for house in until)


def test_the_command_says_what_is_wrong_with_its_words(tmp_path: Path) -> None:
    runner = CliRunner()
    for words in (["--to", "nowhere"], ["--fault", "deaf"], ["--window", "0"]):
        said = runner.invoke(app, ["gb26875", *words])
        assert said.exit_code == 2
        assert "Traceback" not in said.output


@pytest.mark.timeout(60)
def test_by_hand_it_writes_a_site_keeps_the_truth_and_ends_by_a_signal(
    tmp_path: Path, port: int
) -> None:
    truth, fragment = tmp_path / "truth.jsonl", tmp_path / "fire.toml"
    words = ["gb26875", "--to", f"127.0.0.1:{port}", "--truth", str(truth)]
    process = subprocess.Popen(
        [sys.executable, "-m", "headgate_simulators", *words, "--print-site", str(fragment)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert ready["devices"][0]["id"] == "fp-001"
    assert process.returncode == 0
    assert tomllib.loads(fragment.read_text())["device"][0]["address"] == str(ADDRESS + 1)
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert lines[0]["headgate_truth"] == 1
    assert lines[1]["function"] == "15"
