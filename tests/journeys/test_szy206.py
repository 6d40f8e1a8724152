"""Water resources stations through gateway, broker and receiver, every part a process of its own.

The stations' own log is the truth: what was confirmed to them stands at the platform once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.hydro import HUSH, StationRoad, judge, until_status

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


class WatersRoad(StationRoad):
    """The road with water resources stations that dial its gateway."""

    def __init__(self, folder: Path, *more: str, count: int = 3) -> None:
        self.dialled = free_port()
        options = [
            "szy206", "--count", str(count), "--to", f"127.0.0.1:{self.dialled}", "--speed", "120",
            "--every", "60", "--answer", "2", "--redial", "0.3", *more,
        ]  # fmt: skip
        Road.__init__(self, folder, field=[Simulator("stations", options, folder, hush=[HUSH])])


async def test_whatever_is_confirmed_stands_at_the_platform_once(tmp_path: Path) -> None:
    async with WatersRoad(tmp_path, "--pictures", "600", "--fault", "ws-002:glue") as road:
        await road.until_confirmed(30)
        found = await road.verdict()
    assert found.clean, found
    assert found.reports >= 30


async def test_killed_when_all_is_on_disk_and_nothing_confirmed_each_report_is_stored_once(
    tmp_path: Path,
) -> None:
    deaf = {"fault": "deaf", "device": "*"}
    async with WatersRoad(tmp_path, "--answer", "0.4") as road:
        await road.until_confirmed(3)
        await road.command(**deaf, on=True)
        await until_status(road, lambda s: s["channels"][0]["tally"]["resends"] >= 3)
        for _ in range(3):  # a power that flickers: several starts before a station is heard
            await road.kill_and_start()
        await road.command(**deaf, on=False)
        found = await road.verdict()
    assert found.clean, found


async def test_a_second_station_with_the_number_is_told_and_nothing_of_the_others_is_lost(
    tmp_path: Path,
) -> None:
    async with WatersRoad(tmp_path, "--keep-alive", "0.5") as road:
        await road.until_confirmed(3)
        await road.command(fault="twin", device="ws-002", on=True)
        await until_status(road, lambda s: s["channels"][0]["tally"].get("two-sources"))
        await road.command(fault="twin", device="ws-002", on=False)
        for _ in range(3):
            await road.command(redial="*")  # everybody at once
        await road.until_confirmed(6)
        await road.all_confirmed()
        assert await road.finish(60), road.gateway.tail()
        for device in ("ws-001", "ws-003"):
            found = judge(road.truth, road.store, device)
            missing = [key for key in found.missing if key[0] == device]
            assert not (missing or found.doubled or found.changed), found
