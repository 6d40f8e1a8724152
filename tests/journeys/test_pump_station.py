"""A pump station on OPC UA, all the way: server, gateway, broker, receiver, verdict."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.demo.child import Child
from headgate.cli.demo.road import Road
from headgate_simulators.control import say


class PumpRoad(Road):
    """The road with pump stations where the gauges were."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, count=1)
        self.control = folder / "sim.sock"
        sim = ["sim", "pump-station", "--count", "2", "--bind", "127.0.0.1:0", "--cycle", "0.2"]
        sim += ["--speed", "60", "--storm", "80:1200@1", "--truth", str(self.truth)]
        sim += ["--print-site", str(folder / "gauges.toml"), "--control", str(self.control)]
        self.gauges = Child.headgate("gauges", sim, folder / "gauges.log")

    def tell(self, **command: Any) -> None:
        assert say(self.control, command) == {"ok": True}

    async def samples(self) -> int:
        """How many cycles the stations have told."""
        return len(self.truth.read_text().splitlines())


@pytest.mark.peer("mosquitto")
@pytest.mark.timeout(120)
async def test_every_cycle_of_a_pump_station_reaches_the_platform(tmp_path: Path) -> None:
    async with PumpRoad(tmp_path) as road:
        async with asyncio.timeout(30):
            while await road.samples() < 20:
                await asyncio.sleep(0.1)
        road.tell(fault="sensor-fault", device="ps-002", on=True)
        await road.broker.stop()
        before = await road.samples()
        async with asyncio.timeout(30):
            while await road.samples() < before + 20:
                await asyncio.sleep(0.1)
        await road.broker.start()
        # No more cycles: what the server holds for us is told before the session ends.
        road.tell(hold=True)
        await asyncio.sleep(2)
        assert await road.finish(30)
        status, words = await road.verify("--format", "json")
    verdict = json.loads(words[words.index("{") :])
    assert status == 0, words
    assert verdict["counts"]["matched"] > 40
