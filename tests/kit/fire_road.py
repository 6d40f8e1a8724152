"""Fire alarm transmitters on a whole road, and a judge: their own log against what the platform holds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator

HUSH = {"fault": "hush", "device": "*", "on": True}


class Told(NamedTuple):
    """What transmitters wrote down: components' events, alarms in order, what was confirmed."""

    events: Counter[tuple[str, str]]
    alarms: list[tuple[str, bool]]
    serials: set[int]
    confirmed: set[int]


def read_log(truth: Path) -> Told:
    """The log as far as it is written."""
    told = Told(Counter(), [], set(), set())
    for line in truth.read_text("utf-8").splitlines():
        said = json.loads(line)
        if "confirmed" in said:
            told.confirmed.add(said["confirmed"])
        elif "told" in said:
            told.serials.add(said["serial"])
            alarms = [(code, on) for code, on in said.get("alarms", ())]
            told.alarms.extend(alarms)
            if said["function"] == "02":
                at = datetime.fromtimestamp(said["told"][0][0], UTC) + timedelta(hours=8)
                of = alarms[0][0].partition("/")[2]
                told.events[of, at.replace(tzinfo=None).isoformat()] += 1
    return told


def stored_events(store: Path) -> Counter[tuple[str, str]]:
    """Component and time of every state that the platform holds."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT r.value FROM reading r JOIN points p ON p.id = r.point WHERE p.point = 'event'"
        ).fetchall()
    said = [json.loads(value) for (value,) in rows]
    return Counter((each["of"], each["at"]) for each in said if each["type"] == 2)


def stored_alarms(store: Path) -> list[tuple[str, bool]]:
    """What the platform was told to raise and to clear of fires and faults, sorted by time.

    Not by arrival: a record that the broker did not take comes later (docs/reference/uplink.md).
    """
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT code, active FROM alarms a JOIN records r ON r.id = a.record"
            " WHERE code LIKE 'fire/%' OR code LIKE 'fault/%' ORDER BY at_us, r.n, a.rowid"
        ).fetchall()
    return [(code, bool(active)) for code, active in rows]


def changes(alarms: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Those that change something: what is cleared was raised before."""
    on: set[str] = set()
    found = []
    for code, active in alarms:
        if active != (code in on):
            found.append((code, active))
            on ^= {code}
    return found


class FireRoad(Road):
    """The road with transmitters that dial its gateway."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.dialled = free_port()
        options = [
            "gb26875", "--to", f"127.0.0.1:{self.dialled}", "--answer", "0.4", "--redial", "0.2",
            "--keep-alive", "1", *more,
        ]  # fmt: skip
        super().__init__(folder, field=[Simulator("fire", options, folder, hush=[HUSH])])

    @property
    def log(self) -> Told:
        """The transmitters' own log."""
        with suppress(OSError, ValueError):
            return read_log(self.field[0].truth)
        return Told(Counter(), [], set(), set())

    async def command(self, **said: Any) -> None:
        """Tell the transmitters something."""
        await self.field[0].tell(said)

    async def until(self, condition: Callable[[Told], bool], within_s: float = 90.0) -> Told:
        """The first log of which something is true."""
        async with asyncio.timeout(within_s):
            while not condition(log := self.log):
                self.check_but_broker()
                await asyncio.sleep(0.1)
        return log

    def check_but_broker(self) -> None:
        """Raise when a part has ended by itself; the broker may be away."""
        for child in self.children:
            if child is not self.broker.child:
                child.check()

    async def resends(self, wanted: int) -> None:
        """Until so many frames came again that were on disk already."""
        async with asyncio.timeout(90):
            while True:
                status = await self.ask("status")
                ports = [] if status is None else status["channels"]
                if ports and ports[0]["tally"].get("resends", 0) >= wanted:
                    return
                self.check_but_broker()
                await asyncio.sleep(0.05)

    async def kill_and_start(self) -> None:
        """As when the gateway's power goes and comes back."""
        await self.gateway.kill()
        await self.start_gateway()
