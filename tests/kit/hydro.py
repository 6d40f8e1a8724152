"""Stations of SL 651 on a whole road, and a judge: what the stations' own log says against what is stored."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator

HUSH = {"fault": "hush", "device": "*", "on": True}


class Log(NamedTuple):
    """What the stations wrote down: what they told, by report; what was confirmed to them."""

    told: dict[tuple[str, int], dict[tuple[str, float], Any]]
    confirmed: dict[tuple[str, int], float]
    tries: Counter[int]


def read_log(truth: Path) -> Log:
    """The truth file of `headgate sim sl651`. A twin's reports are its own."""
    log = Log({}, {}, Counter())
    for line in truth.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        if "told" in said:
            values = {
                (point, at): value for at, points in said["told"] for point, value in points.items()
            }
            log.told[said["device"], said["serial"]] = values
        elif "confirmed" in said:
            log.confirmed[said["device"], said["confirmed"]] = said["after_s"]
            log.tries[said["tries"]] += 1
    return log


class Verdict(NamedTuple):
    """What is wrong, as (device, point, unix second of the station's clock)."""

    reports: int
    readings: int
    missing: list[tuple[str, str, float]]
    doubled: list[tuple[str, str, float]]
    changed: list[tuple[str, str, float]]
    unconfirmed: int

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled or changed."""
        return not (self.missing or self.doubled or self.changed)


def judge(truth: Path, store: Path, devices: str = "") -> Verdict:
    """Every reading of every confirmed report is stored as often as it was told, and as it was told.

    Only of what devices whose name begins with `devices` told.

    A station may tell one point of one instant in several reports (the rain so far of an hour's end): each
    report is stored for itself. What was told and never confirmed may be there once, or not at all.
    """
    log = read_log(truth)
    least: Counter[tuple[str, str, float]] = Counter()
    most: Counter[tuple[str, str, float]] = Counter()
    values: dict[tuple[str, str, float], list[Any]] = {}
    for report, told in log.told.items():
        for (point, at), value in told.items():
            key = (report[0], point, at)
            most[key] += 1
            least[key] += report in log.confirmed
            values.setdefault(key, []).append(value)
    stored: Counter[tuple[str, str, float]] = Counter()
    changed = []
    for device, point, at, value in rows(store):
        if not device.startswith(devices):
            continue
        key = (device, point, at)
        stored[key] += 1
        if not any(_same(value, one) for one in values.get(key, ())):
            changed.append(key)
    missing = [key for key, count in least.items() if stored[key] < count]
    doubled = [key for key, count in stored.items() if key in most and count > most[key]]
    open_ = sum(report not in log.confirmed for report in log.told)
    return Verdict(len(log.told), sum(stored.values()), missing, doubled, changed, open_)


def rows(store: Path) -> Iterator[tuple[str, str, float, Any]]:
    """Device, point, unix second of its own clock, value: what stations told of themselves."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        query = (
            "SELECT p.device, p.point, r.device_time_us, r.value FROM reading r"
            " JOIN points p ON p.id = r.point WHERE r.device_time_us IS NOT NULL"
            " AND p.point NOT IN ('clock_off', 'rest')"
        )
        for device, point, at_us, value in database.execute(query):
            yield device, point, at_us / 1e6, value


def _same(stored: Any, told: Any) -> bool:
    if isinstance(stored, bytes):
        return bool(stored.hex() == told)
    if isinstance(stored, float | int) and isinstance(told, float | int):
        return math.isclose(stored, told, rel_tol=1e-9, abs_tol=1e-9)
    return bool(stored == told)


class StationRoad(Road):
    """The road with stations that dial its gateway."""

    def __init__(self, folder: Path, *more: str, count: int = 3) -> None:
        self.dialled = free_port()
        options = [
            "sl651", "--count", str(count), "--to", f"127.0.0.1:{self.dialled}", "--speed", "120",
            "--every", "60", "--hourly", "600", "--keep-alive", "1", "--answer", "2", "--redial", "0.3",
            *more,
        ]  # fmt: skip
        stations = Simulator("stations", options, folder, hush=[HUSH])
        super().__init__(folder, field=[stations])

    @property
    def truth(self) -> Path:
        """The stations' own log."""
        return self.field[0].truth

    async def command(self, **said: Any) -> None:
        """Tell the stations something."""
        await self.field[0].tell(said)

    async def until_confirmed(self, more: int, within_s: float = 60.0) -> None:
        """Until so many more reports are confirmed than now."""
        wanted = self.confirmed + more
        async with asyncio.timeout(within_s):
            while self.confirmed < wanted:
                self.check()
                await asyncio.sleep(0.1)

    @property
    def confirmed(self) -> int:
        """How many reports were confirmed so far."""
        with suppress(OSError, ValueError):
            return len(read_log(self.truth).confirmed)
        return 0

    async def all_confirmed(self, within_s: float = 60.0) -> None:
        """The stations observe nothing new, and have been confirmed all that they kept."""
        await self.command(**HUSH)
        async with asyncio.timeout(within_s):
            while True:
                await asyncio.sleep(0.6)
                log = read_log(self.truth)
                if log.told.keys() <= log.confirmed.keys() | self.unsaid(log):
                    return
                self.check()

    def unsaid(self, log: Log) -> set[tuple[str, int]]:
        """Reports of a twin: whoever is hung up on again and again need not be confirmed."""
        return {key for key in log.told if key[0].endswith("/twin")}

    async def kill_and_start(self) -> None:
        """As when the gateway's power goes and comes back."""
        await self.gateway.kill()
        await self.start_gateway()

    async def verdict(self, within_s: float = 60.0) -> Verdict:
        """Everything confirmed, everything at the platform, and judged."""
        await self.all_confirmed(within_s)
        assert await self.finish(within_s), self.gateway.tail()
        return judge(self.truth, self.store)


async def until_status(road: StationRoad, condition: Callable[[Any], object]) -> Any:
    """The first status of which something is true, once there is a line."""
    async with asyncio.timeout(60):
        while True:
            status = await road.ask("status")
            if status is not None and status["channels"] and condition(status):
                return status
            road.check()
            await asyncio.sleep(0.1)
