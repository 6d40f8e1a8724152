"""A front-end machine on its road: stations of SL 651 and loggers of HJ 212 dial one gateway.

Stations, loggers, broker, platform, a second centre and the gateway share this machine. The judges are the
stations' and the loggers' own accounts of what they said and what was confirmed to them, against what the
platform stored.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kit import second_centre
from kit.bureau import factors_of
from kit.hydro import StationRoad, judge, read_log

from headgate.cli.demo.broker import free_port
from headgate_simulators.hj212_loggers.farm import LoggerFarm, LoggerPlan
from headgate_simulators.hj212_loggers.logger import measured
from headgate_simulators.hj212_loggers.site import site_fragment
from headgate_simulators.truth import NoTruth

TICKS = os.sysconf("SC_CLK_TCK")
_ZONE = ZoneInfo("Asia/Shanghai")


class Usage:
    """CPU seconds of a process and its memory in MB, now."""

    def __init__(self, pid: int) -> None:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
        lines = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        self.rss_mb = round(int(lines["VmRSS"].split()[0]) / 1024, 1)
        self.peak_mb = round(int(lines["VmHWM"].split()[0]) / 1024, 1)
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        self.at = time.monotonic()

    def since(self, before: Usage) -> float:
        """Percent of one core between the two."""
        return round(100 * (self.cpu_s - before.cpu_s) / max(self.at - before.at, 0.001), 2)


def spread(late_s: Iterable[float]) -> dict[str, float | int | None]:
    """How long confirmations took, in milliseconds."""
    ordered = sorted(late_s)

    def at(share: float) -> float | None:
        if not ordered:
            return None
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {"count": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)}


class FrontEnd(StationRoad):
    """The road. `relay`: a second centre gets every frame, too.

    Args:
        stations, loggers: how many of each.
        backlog: packets that each logger has kept from before the start.
    """

    def __init__(
        self, folder: Path, *options: str, stations: int, loggers: int = 0, backlog: int = 0,
        relay: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(folder, *options, count=stations)
        self.relay = relay
        self._second: asyncio.subprocess.Process | None = None
        self.heard: dict[str, int] = {}
        self.farm: LoggerFarm | None = None
        if loggers:
            plan = LoggerPlan(count=loggers, port=free_port(), answer_s=30.0)
            self.farm = LoggerFarm(plan, NoTruth())
            for each in self.farm.loggers:
                values = measured(each.kind, each.world, each.place, each.world_time(), each.seed)
                for _ in range(backlog):
                    each.real_time(values)

    async def start_gateway(self) -> None:
        folder = self.folder / "site.d"
        sites = sorted(folder.glob("*.toml"))
        if self.farm is not None and not (folder / "loggers.toml").exists():
            (folder / "loggers.toml").write_text(site_fragment(self.farm.description))
            sites.append(folder / "loggers.toml")
        if self.relay and self._second is None:
            self._second = await asyncio.create_subprocess_exec(
                sys.executable, second_centre.__file__, stdout=asyncio.subprocess.PIPE
            )
            assert self._second.stdout is not None
            port = int(await self._second.stdout.readline())
            rule = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{port}" }} }}\n\n[[device]]'
            for site in sites:
                site.write_text(site.read_text().replace("\n[[device]]", rule, 1))
        await super().start_gateway()

    async def rest(self) -> None:
        if self.farm is not None:
            (self.folder / "site.d" / "loggers.toml").write_text("")
        await super().rest()

    async def __aexit__(self, *about: object) -> None:
        if self.farm is not None:
            await self.farm.stop()
        await super().__aexit__(*about)
        second, self._second = self._second, None
        if second is not None:
            second.send_signal(signal.SIGTERM)
            said, _ = await second.communicate()
            self.heard = json.loads(said)

    # ------------------------------------------------------------ what is measured

    def usage(self) -> Usage:
        """The gateway's, now."""
        assert self.gateway.pid is not None
        return Usage(self.gateway.pid)

    async def tally(self) -> dict[str, int]:
        """What both ports count, together."""
        status = await self.ask("status")
        total: Counter[str] = Counter()
        for line in status["channels"] if status else ():
            total.update(line["tally"])
        return dict(total)

    def station_acks(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """How long each confirmation of a station took, of those that came between two unix seconds."""
        found = []
        for line in self.truth.read_text(encoding="utf-8").splitlines():
            if '"confirmed"' in line:
                said = json.loads(line)
                if since <= said["t"] < until:
                    found.append(said["after_s"])
        return found

    def logger_acks(self) -> list[float]:
        """How long answers to loggers took since this was asked last."""
        found: list[float] = []
        for each in self.farm.loggers if self.farm is not None else ():
            found += each.late_s
            each.late_s.clear()
        return found

    @property
    def logger_packets_waiting(self) -> int:
        """What loggers still have to get answered."""
        loggers = self.farm.loggers if self.farm is not None else ()
        return sum(len(each.waiting) for each in loggers)

    @property
    def all_told(self) -> bool:
        """Whether every report that a station has kept is confirmed."""
        log = read_log(self.truth)
        return bool(log.told) and log.told.keys() <= log.confirmed.keys()

    def judged(self) -> dict[str, Any]:
        """What is wrong at the platform: nothing, where all numbers but the first ones are 0."""
        found = judge(self.truth, self.store, devices="st-")
        said = {
            "reports": found.reports, "missing": len(found.missing), "doubled": len(found.doubled),
            "changed": len(found.changed), "unconfirmed": found.unconfirmed,
        }  # fmt: skip
        return said | self._judged_loggers()

    def _judged_loggers(self) -> dict[str, Any]:
        if self.farm is None:
            return {}
        answered: Counter[tuple[str, str, float, float]] = Counter()
        told: Counter[tuple[str, str, float, float]] = Counter()
        for logger in self.farm.loggers:
            for qn, upload in logger.said.items():
                at = factors_of(upload.segment.partition("CP=&&")[2])["DataTime"]
                when = datetime.strptime(at, "%Y%m%d%H%M%S").replace(tzinfo=_ZONE).timestamp()
                for point, value in upload.values.items():
                    told[logger.id, point, value, when] += 1
                    answered[logger.id, point, value, when] += qn in logger.answered
        stored: Counter[tuple[str, str, float, float]] = Counter()
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as database:
            query = (
                "SELECT p.device, p.point, r.value, r.device_time_us FROM reading r"
                " JOIN points p ON p.id = r.point WHERE r.device_time_us IS NOT NULL"
                " AND p.device LIKE 'log-%' AND p.point NOT IN ('clock_off', 'rest')"
            )
            for device, point, value, at_us in database.execute(query):
                if value is not None:
                    stored[device, point, float(value), at_us / 1e6] += 1
        packets = sum(len(each.answered) for each in self.farm.loggers)
        return {
            "packets": packets, "packets_missing": (answered - stored).total(),
            "packets_doubled": (stored - told).total(),
        }  # fmt: skip

    async def quiet(self, within_s: float = 120.0) -> None:
        """Nobody observes anything new, and all that was kept is confirmed."""
        if self.farm is not None:
            async with asyncio.timeout(within_s):
                while self.logger_packets_waiting:
                    self.check()
                    await asyncio.sleep(0.2)
            await self.farm.stop()
        await self.all_confirmed(within_s)
