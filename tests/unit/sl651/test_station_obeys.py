"""A simulated pump station, in both codings, at a whole gateway: its own log of orders is the judge."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kit.dialled import stored
from kit.running import Site
from typer.testing import CliRunner, Result

from headgate.cli.client import call
from headgate.cli.stations import app
from headgate.errors import HeadgateError
from headgate_simulators.pytest import HydroMaker, RunningHydro
from headgate_simulators.truth import TruthList

DEVICE = "pg-001"


class Bench:
    """A gateway, one station of a simulator that dials it, and whoever stands at the box."""

    def __init__(self, folder: Path, port: int, make: HydroMaker, **habits: Any) -> None:
        self.socket = folder / "gateway.sock"
        self.truth = TruthList()
        self.stations: RunningHydro = make(
            truth=self.truth,
            port=port,
            kind="pump",
            every_s=3600,
            keep_alive_s=0.2,
            redial_s=0.1,
            **habits,
        )
        self.site = Site(folder, self.stations.site("1h"))

    async def on_line(self) -> None:
        while True:
            said = await asyncio.to_thread(lambda: list(call(self.socket, "stations")))
            if any(port["on_line"] for port in said):
                return

    async def do(self, name: str, **more: Any) -> Any:
        """One call of the local API."""
        return await asyncio.to_thread(lambda: next(call(self.socket, name, device=DEVICE, **more)))

    async def write(self, point: str, value: Any) -> Any:
        return await self.do("write", point=point, value=value, confirmed=True)

    async def ask(self, errand: str, *arguments: str) -> dict[str, Any]:
        said = await self.do("ask", errand=errand, arguments=list(arguments))
        return {each["name"]: each["value"] for each in said["told"]}

    @property
    def orders(self) -> list[tuple[str, str]]:
        """What reached the station, as its own log has it."""
        return [(x["ordered"], x["data"]) for x in self.truth.lines if "ordered" in x]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("coding", ["bcd", "ascii"])
async def test_it_does_what_it_is_told_and_answers_what_it_is_asked(
    tmp_path: Path, port: int, sl651_stations: HydroMaker, coding: str
) -> None:
    bench = Bench(tmp_path, port, sl651_stations, coding=coding)
    async with bench.site.running():
        await bench.on_line()
        assert (await bench.ask("state"))["10 水泵工作状态"] == "水泵停机"
        for point, value, back in (("pumps", 5, 5), ("gate", 120, 120), ("valve", "on", True),
                                   ("quota", "on", True)):  # fmt: skip
            done = await bench.write(point, value)
            assert (done["back"], done["kept"]) == (back, True)
        assert bench.orders == [
            ("4C", "0105"), ("4E", "01010120"), ("4D", "0101"), ("4F", "ff"),
        ]  # fmt: skip
        state = await bench.ask("state")
        assert state["10 水泵工作状态"] == "水泵工作"
        look = await bench.do("read")
        shown = {r["point"]: r["value"] for r in look["readings"] if r["quality"] == 0}
        assert (shown["pumps_running"], shown["gate_height"]) == (2, 1.2)
        assert shown["pumps_stopped"] is False
        assert (await bench.ask("events"))["ERC3 状态量变位"] == 4
        assert await bench.ask("version") == {"version": "SIM-SL651-V1.0"}
        said = await bench.ask("parameters", "04", "28")
        assert said == {
            "04 中心站1主信道类型及地址": "IPv4 127.0.0.1:5651", "28 水位基值1": 10,
        }  # fmt: skip
        assert (await bench.ask("pump-motor"))["70 交流A相电压"] == 230.1
        assert (await bench.ask("typed-in"))["text"] == "Q 1.234"
        assert (await bench.ask("picture"))["picture"] == 6000
        levels = await bench.do(
            "ask", errand="history", arguments=["2026-05-01T08", "2026-05-01T10", "1h", "39"]
        )
        assert [each["at"] for each in levels["told"]] == [
            "2026-05-01T08:00", "2026-05-01T09:00", "2026-05-01T10:00",
        ]  # fmt: skip
        clock = await bench.ask("clock")
        assert clock["clock"]
        # How far it is off is said, or why that is not known.
        said = await bench.do("ask", errand="clock", arguments=[])
        assert said["own_clock"] is any(each["name"] == "off" for each in said["told"])
    told = {p: v for p, v, _ in stored(bench.site)}
    assert (told["gate"], told["pump_3"], told["voltage_a"]) == (120, True, 230.1)


@pytest.mark.timeout(120)
async def test_an_answer_that_is_lost_with_the_line_leaves_it_unknown_and_done_once(
    tmp_path: Path, port: int, sl651_stations: HydroMaker
) -> None:
    bench = Bench(tmp_path, port, sl651_stations)
    async with bench.site.running():
        await bench.on_line()
        bench.stations.fault(DEVICE, "reset", on=True)
        with pytest.raises(HeadgateError) as unknown:
            await bench.write("gate", 80)
        assert unknown.value.code == "HG-3652"
        bench.stations.fault(DEVICE, "reset", on=False)
        await bench.on_line()
        look = await bench.do("read")
        shown = {r["point"]: r["value"] for r in look["readings"] if r["quality"] == 0}
        assert shown["gate_height"] == 0.8  # it had been done
        assert bench.orders == [("4E", "01010080")]


async def typed(*words: str) -> Result:
    """`headgate stations` as a person types it, without a terminal to be asked at."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


@pytest.mark.timeout(120)
async def test_a_person_sees_what_a_station_can_be_asked_and_what_it_says(
    tmp_path: Path, port: int, sl651_stations: HydroMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, port, sl651_stations)
    monkeypatch.setenv("HEADGATE_SOCKET", str(bench.socket))
    monkeypatch.setenv("HEADGATE_LANG", "en")
    async with bench.site.running():
        await bench.on_line()
        assert "0070000001" in (await typed()).output
        listed = (await typed("ask", "0070000001")).output
        assert "history from to step element" in listed
        assert "The version of its software (45)." in listed
        version = await typed("ask", DEVICE, "version")
        sent, heard, told = version.output.splitlines()[-3:]
        assert sent.startswith("  > 7e 7e 00 70")
        assert heard.startswith("  < ")
        assert told == "version  SIM-SL651-V1.0"
        clock = await typed("ask", DEVICE, "set-clock")
        assert clock.exit_code == 1
        assert "Nothing was sent" in clock.output  # nobody is there to say yes
        for words, code in ((["dance"], "HG-3654"), (["history", "2026-05-01T08"], "HG-3656")):
            wrong = (await typed("ask", DEVICE, *words)).exception
            assert isinstance(wrong, HeadgateError)
            assert wrong.code == code
    assert not any("clock_set" in line for line in bench.truth.lines)
