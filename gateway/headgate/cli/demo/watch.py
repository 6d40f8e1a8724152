"""What the page shows, gathered from the three places where it can be seen: device, gateway, store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from headgate.cli.demo.road import Road

#: What of a device is shown: the first of these that it has.
SHOWN = ("water_level", "rain_total", "level", "temperature", "methane", "wind_speed", "rssi")
#: The point that counts looks.
_COUNTER = "sample"


class Gauge(NamedTuple):
    """One row: the newest value in each place, None where there is none yet."""

    device: str
    name: str
    #: How it speaks.
    way: str = ""
    unit: str = ""
    at_device: float | None = None
    at_gateway: float | None = None
    stored: float | None = None
    #: From the look until the platform had it.
    delay_s: float | None = None


class Figures(NamedTuple):
    """Everything the page shows."""

    gauges: tuple[Gauge, ...]
    looks: int = 0
    stored: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    sealed: int = 0
    sealed_bytes: int = 0
    broker: bool = False
    linked: bool = False
    delay_s: float | None = None


class Watch:
    """Looks at all three places; keeps where it stopped reading the truth."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._truths = [_Tail(path) for path in road.truths]
        self._last = Figures(())
        self._rows = {
            each["id"]: Gauge(each["id"], each.get("name", each["id"]), way_of(each))
            for each in road.devices
        }

    async def look(self) -> Figures:
        """The figures of this moment."""
        status, latest = await self._road.ask("status"), await self._road.ask("latest")
        stored, delays = await asyncio.to_thread(self._from_files)
        for each in latest or ():
            self._note(each)
        rows = tuple(self._rows.values())
        # The truth reaches its file once a second: what is stored was answered before.
        figures = self._last = self._last._replace(
            gauges=rows,
            looks=max(sum(truth.looks for truth in self._truths), stored),
            stored=stored,
            broker=self._road.broker.child.running,
            delay_s=max(delays, default=None),
        )
        if status is None:
            return figures
        (uplink,) = status["uplinks"]
        self._last = figures._replace(
            waiting=uplink["outbox"]["records"],
            waiting_bytes=uplink["outbox"]["bytes"],
            sealed=status["writer"]["commits"],
            sealed_bytes=status["spool"]["payload"],
            linked=uplink["state"] == "online",
        )
        return self._last

    def _note(self, latest: dict[str, Any]) -> None:
        device = latest["device"]
        values = {each["point"]: each for each in latest["readings"]}
        shown = next((values[point] for point in SHOWN if point in values), None)
        if shown is not None and device in self._rows:
            self._rows[device] = self._rows[device]._replace(
                at_gateway=shown["value"], unit=shown["unit"]
            )

    def _from_files(self) -> tuple[int, list[float]]:
        for device, value in (item for truth in self._truths for item in truth.read().items()):
            if device in self._rows:
                self._rows[device] = self._rows[device]._replace(at_device=value)
        delays = []
        stored = 0
        rank = dict.fromkeys(self._rows, len(SHOWN))
        with suppress(sqlite3.Error):
            address = f"file:{quote(str(self._road.store))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as database:
                for device, point, unit, value, delay_s in database.execute(_NEWEST):
                    delays += [] if delay_s is None else [delay_s]
                    if device in self._rows and SHOWN.index(point) < rank[device]:
                        rank[device] = SHOWN.index(point)
                        self._rows[device] = self._rows[device]._replace(
                            stored=value, delay_s=delay_s, unit=unit
                        )
                ((stored,),) = database.execute(_COUNT)
        return stored, delays


# The tables are the receiver's, documented in docs/reference/store.md.
_NEWEST = f"""
SELECT p.device, p.point, p.unit, r.value, (c.received_us - f.wall_us - r.at_us + f.at_us) / 1e6
FROM (SELECT max(rowid) AS newest FROM reading WHERE point IN (
    SELECT id FROM points WHERE point IN {SHOWN}) GROUP BY point) AS n
JOIN reading AS r ON r.rowid = n.newest
JOIN points AS p ON p.id = r.point
JOIN records AS c ON c.id = r.record
LEFT JOIN clock_fixes AS f
    ON f.boot = r.boot AND f.chosen = 1 AND r.at_us BETWEEN f.from_us AND f.to_us
"""  # noqa: S608 - names of our own
_COUNT = """
SELECT count(*) FROM reading WHERE quality < 2 AND point IN (
    SELECT id FROM points WHERE point = 'sample')
"""


class _Tail:
    """The truth file, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.looks = 0
        self._newest: dict[str, float | None] = {}

    def read(self) -> dict[str, float | None]:
        """The newest value of each device."""
        with suppress(OSError), self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                self._take(json.loads(line))
        return self._newest

    def _take(self, line: dict[str, Any]) -> None:
        values = line.get("values")
        if line.get("told"):
            _, values = line["told"][-1]  # a report: its newest instant
        if values:
            self.looks += _COUNTER in values
            told = {**values, "rssi": line.get("rssi")}
            shown = next((point for point in SHOWN if point in told), None)
            if shown is not None or "told" not in line:
                self._newest[line["device"]] = None if shown is None else told[shown]


def way_of(device: dict[str, Any]) -> str:
    """How a device of a ready line speaks, in a word."""
    model = str(device["model"])
    if model == "generic/hydrological-station":
        return "SL 651"
    if model.endswith("-ble") or model == "generic/personnel-tag":
        return "BLE"
    url = str(device.get("url", ""))
    if url.startswith("opc.tcp"):
        return "OPC UA"
    return "serial" if url.startswith("serial") else "Modbus"
