"""Meters on one pair at the end of a whole road, at any time of the day: all of it processes of its own.

Gateway and meters believe the same shifted clock, and trust it: midnight comes when a test wants it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from kit.command_station import PATIENCE_S as PATIENCE_S
from kit.command_station import CommandRoad

from headgate.cli.client import call
from headgate.cli.demo.child import Child
from headgate.cli.demo.simulator import Simulator
from headgate_simulators.writes import read_writes

ZONE = timezone(timedelta(hours=8))
#: The gateway, its clock shifted and trusted.
SHIFTED = """
import time
from headgate import env
env.SystemClock.wall_us = lambda self: int((time.time() + {shift!r}) * 1e6)
env.SystemClock.wall_state = lambda self: ("synced", 1000)
from headgate.cli import main
sys.argv[0] = "headgate"
main()
"""
#: What the switched meters of the simulator want, where the gateway is told to look for it.
SECRET_IN, SECRET = "HEADGATE_TEST_METERS", "02123456"


def shift_to(hour: int, minute: int, second: float = 0.0) -> float:
    """Seconds from this machine's clock to the next such time of the meters' day."""
    now = datetime.now(ZONE)
    wanted = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    wanted += timedelta(seconds=second)
    return (wanted - now).total_seconds() % 86_400


class MeterRoad(CommandRoad):
    """The road with meters where the pump station was.

    Args:
        shift_s: how far ahead gateway and meters are of this machine's clock.
        more: options of `headgate sim meters`.
        params: of single meters, as their entry in the site file has them.
    """

    def __init__(
        self, folder: Path, *more: str, controls: str = "", shift_s: float = 0.0,
        interval: str = "2s", params: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(folder, controls)
        self.shift_s, self._params = shift_s, params or {}
        self._at_once = "--at-once" in more
        self.secret_file = folder / "meter.secret"
        self.secret_file.write_text(SECRET)
        self.secret_file.chmod(0o600)
        command = ["meters", "--writes", str(self.writes_file), "--interval", interval]
        command += ["--shift", str(shift_s), "--secret", f"file:{self.secret_file}"]
        self.field = [Simulator("meters", [*command, *more], folder)]
        arguments = ["run", str(folder / "site.toml")]
        self.gateway = Child(
            "gateway", SHIFTED.format(shift=shift_s), arguments, folder / "gateway.log"
        )

    async def start_gateway(self) -> None:
        """With the params of single meters."""
        site = self.folder / "site.d" / "meters.toml"
        text = site.read_text()
        if self._at_once:
            text = text.replace('timeout = "1500ms"', 'timeout = "400ms"')
        for device, params in self._params.items():
            text = text.replace(f'id = "{device}"\n', f'id = "{device}"\nparams = {{ {params} }}\n')
        site.write_text(text)
        self._params = {}
        await super().start_gateway()

    @property
    def socket(self) -> Path:
        """Of the gateway's local API."""
        return self.folder / "gateway.sock"

    def with_the_secret(self) -> set[Path]:
        """Files of the whole road in which the meters' password stands."""
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return {file for file in files if SECRET.encode() in file.read_bytes()}

    def seen(self) -> set[str]:
        """Devices that the platform has something good of."""
        return {
            device
            for (device,) in self.rows("SELECT DISTINCT device FROM readings WHERE quality = 0")
        }

    async def until_drained(self) -> None:
        """All that was said is stored at the platform."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.drained():
                self.check()
                await asyncio.sleep(0.05)

    async def rest(self) -> None:
        """Look at nothing any more."""
        self._site = {file: file.read_text() for file in (self.folder / "site.d").glob("*.toml")}
        for file in self._site:
            file.write_text("")
        await asyncio.to_thread(list, call(self.socket, "reload"))

    async def back(self, interval: str) -> None:
        """Look at everything again, each so often."""
        for file, text in self._site.items():
            file.write_text(re.sub('interval = "[^"]*"', f'interval = "{interval}"', text))
        await asyncio.to_thread(list, call(self.socket, "reload"))

    def moves(self) -> list[tuple[str, str, Any, str]]:
        """What reached switches and valves: meter, what, value, outcome."""
        return [
            (line["device"], line["name"], line["value"], line["outcome"])
            for line in read_writes(self.writes_file) if line["name"] in ("switch", "valve")
        ]  # fmt: skip

    def clocks(self) -> list[tuple[str, str, str]]:
        """What reached clocks: meter, what, outcome."""
        return [
            (line["device"], line["name"], line["outcome"])
            for line in read_writes(self.writes_file) if line["name"] == "clock"
        ]  # fmt: skip

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Out of the platform's store; nothing where it is not made yet."""
        try:
            with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as database:
                return list(database.execute(query, values))
        except sqlite3.OperationalError:
            return []

    def points(self, point: str) -> list[tuple[str, int, Any, int]]:
        """Device, unix microseconds, value and arrival of every good value of a point, oldest first."""
        return self.rows(
            "SELECT device, wall_us, value, received_us FROM readings WHERE point = ? AND quality = 0"
            " AND wall_us IS NOT NULL ORDER BY wall_us", point,
        )  # fmt: skip

    async def until(self, condition: Any, within_s: float = PATIENCE_S) -> None:
        """Return when something is so."""
        async with asyncio.timeout(within_s):
            while not condition():
                self.check()
                await asyncio.sleep(0.1)
