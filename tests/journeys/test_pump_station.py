"""A pump station on OPC UA, all the way: server, gateway, broker, receiver, verdict."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator


class PumpRoad(Road):
    """The road with pump stations where the gauges were."""

    def __init__(self, folder: Path) -> None:
        command = ["pump-station", "--count", "2", "--bind", "127.0.0.1:0", "--cycle", "0.1"]
        command += ["--speed", "60", "--storm", "80:1200@1"]
        super().__init__(folder, field=[Simulator("pumps", command, folder)])

    async def tell(self, **command: Any) -> None:
        await self.field[0].tell(command)

    async def samples(self) -> int:
        """How many cycles the stations have told."""
        return len(self.truths[0].read_text().splitlines())

    def newest_told(self) -> dict[str, int]:
        """The number of the last cycle that each station has told."""
        lines = [json.loads(line) for line in self.truths[0].read_text().splitlines()[1:]]
        return {line["device"]: line["sample"] for line in lines if "sample" in line}

    def newest_stored(self) -> dict[str, int]:
        """The same of what the platform has."""
        query = (
            "SELECT p.device, max(r.value) FROM reading AS r JOIN points AS p ON p.id = r.point"
            " WHERE p.point = 'sample' AND r.quality < 2 GROUP BY p.device"
        )
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as db:
            return {device: int(number) for device, number in db.execute(query)}


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(120)
async def test_every_cycle_of_a_pump_station_reaches_the_platform(tmp_path: Path) -> None:
    async with PumpRoad(tmp_path) as road:
        async with asyncio.timeout(30):
            while await road.samples() < 20:
                await asyncio.sleep(0.1)
        await road.tell(fault="sensor-fault", device="ps-002", on=True)
        await road.broker.stop()
        before = await road.samples()
        async with asyncio.timeout(30):
            while await road.samples() < before + 20:
                await asyncio.sleep(0.1)
        await road.broker.start()
        # No more cycles: what the server holds for us is told before the session ends.
        await road.tell(hold=True)
        async with asyncio.timeout(60):
            while road.newest_stored() != road.newest_told():
                await asyncio.sleep(0.1)
        assert await road.finish(30)
        status, words = await road.verify("--format", "json")
    verdict = json.loads(words[words.index("{") :])
    assert status == 0, words
    assert verdict["counts"]["matched"] > 40
