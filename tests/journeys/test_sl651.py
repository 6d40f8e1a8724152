"""Stations of SL 651 through gateway, broker and receiver, every part a process of its own.

The stations' own log is the truth: what was confirmed to them stands at the platform once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit.hydro import StationRoad, read_log, until_status

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


async def test_whatever_is_confirmed_stands_at_the_platform_once(tmp_path: Path) -> None:
    async with StationRoad(
        tmp_path, "--pictures", "600", "--serial", "65530", "--speed", "300"
    ) as road:
        await road.until_confirmed(30)
        found = await road.verdict()
    assert found.clean, found
    assert found.reports >= 30
    log = read_log(road.truth)
    assert {serial for _, serial in log.told} >= {65535, 1}  # the numbers wrapped
    assert any("picture" in point for told in log.told.values() for point, _ in told)


async def test_killed_when_all_is_on_disk_and_nothing_confirmed_each_report_is_stored_once(
    tmp_path: Path,
) -> None:
    deaf = {"fault": "deaf", "device": "*"}
    async with StationRoad(tmp_path, "--answer", "0.4") as road:
        await road.until_confirmed(3)
        await road.command(**deaf, on=True)
        await until_status(road, lambda s: s["channels"][0]["tally"]["resends"] >= 3)
        for _ in range(3):  # a power that flickers: several starts before a station is heard
            await road.kill_and_start()
        await road.command(**deaf, on=False)
        found = await road.verdict()
    assert found.clean, found


def test_the_log_of_the_stations_is_json_all_the_way(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps({"t": 1, "device": "a", "confirmed": 3, "after_s": 1, "tries": 2}))
    assert read_log(path).confirmed == {("a", 3): 1}
