"""One pump station of SL 651 that a platform commands over the station's own call: road and judge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from kit.command_station import PATIENCE_S, CommandRoad

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.road import GATEWAY, Road
from headgate.cli.demo.simulator import Simulator
from headgate.crypto.provider import default_provider
from headgate_receiver.commands import Wish

STATION = "pg-001"
CONTROLS = """
[controls]
token = "60s"

[[control]]
device = "pg-001"
point = "gate"
min = 0
max = 150
on_lease_end = "hold"
interlock = ["{pg-001/level_inside} < 500"]

[[control]]
device = "pg-001"
point = "pumps"
min = 0
max = 3
on_lease_end = "off"
off_value = 0
feedback = "pumps_running"
feedback_within = "5s"
feedback_tolerance = 0

[[control]]
device = "pg-001"
point = "valve"
on_lease_end = "hold"
interlock = ["{pg-001/level_inside} > 9000"]
"""


class StationsRoad(CommandRoad):
    """The road with one pump station that dials its gateway."""

    def __init__(self, folder: Path) -> None:
        self.dialled = free_port()
        command = [
            "sl651", "--count", "1", "--kind", "pump", "--to", f"127.0.0.1:{self.dialled}", "--every", "3600",
            "--keep-alive", "0.2", "--redial", "0.2",
        ]  # fmt: skip
        Road.__init__(self, folder, field=[Simulator("stations", command, folder)])
        self.provider = default_provider()
        self._controls = CONTROLS

    def orders(self) -> list[tuple[str, str]]:
        """What reached the station: function and data."""
        lines = self.field[0].truth.read_text(encoding="utf-8").splitlines()
        return [(x["ordered"], x["data"]) for x in map(json.loads, lines) if "ordered" in x]

    async def ordered(self, *wanted: tuple[str, str]) -> None:
        """Return when the station's log, which it writes now and then, has just these."""
        async with asyncio.timeout(PATIENCE_S):
            while self.orders() != list(wanted):
                await asyncio.sleep(0.05)

    async def on_line(self) -> None:
        """Return when the station is on a call."""
        async with asyncio.timeout(PATIENCE_S):
            while not (port := await self.ask("stations")) or not port["on_line"]:
                await asyncio.sleep(0.05)


def wish(point: str, value: Any, unit: str = "1", lease_s: int = 600) -> Wish:
    """Something that the station is told."""
    return Wish(GATEWAY, STATION, point, value, unit, lease_s)
