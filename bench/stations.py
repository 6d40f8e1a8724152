"""Stations of SL 651 at their real rates behind one gateway, after an hour in which none reached it.

    PYTHONPATH=tests python -m bench.stations --count 500 --seconds 420

Each station keeps an hour of reports (a timed one every five minutes, the hour's slots) and reports them as
fast as they are confirmed, one after the other; from there on it reports at the pace of real time, all of
them within a minute of the same slot. Everything is on this one machine: stations, broker, platform and
gateway share its processors, so absolute figures belong to it. The judge is the stations' own log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from kit.hydro import StationRoad, judge, read_log

from headgate.errors import HeadgateError

TICKS = os.sysconf("SC_CLK_TCK")


def _usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far and the largest resident set in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, int(peak.split()[1]) / 1024


def _share(values: list[float], part: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3) if ordered else None


async def measure(folder: Path, count: int, seconds: float) -> dict[str, Any]:
    """One run: an hour of catch-up, then real time for so long."""
    options = [
        "--speed", "1", "--every", "300", "--hourly", "3600", "--keep-alive", "40", "--answer", "10",
        "--redial", "5", "--behind", "3600",
    ]  # fmt: skip
    async with StationRoad(folder, *options, count=count) as road:
        pid = road.gateway.pid
        assert pid is not None
        began = time.monotonic()
        cpu_at_start, _ = _usage(pid)
        caught_up: float | None = None
        cpu_caught_up = 0.0
        while (past := time.monotonic() - began) < seconds:
            await asyncio.sleep(1.0)
            road.check()
            if caught_up is None and past > 5:
                log = read_log(road.truth)
                if log.told and log.told.keys() <= log.confirmed.keys():
                    caught_up, cpu_caught_up = past, _usage(pid)[0]
        cpu, rss = _usage(pid)
        status = await road.ask("status")
        tally = status["channels"][0]["tally"]
        wall = time.monotonic() - began
        await road.all_confirmed(120)
        if not await road.finish(300):
            raise HeadgateError(f"not everything arrived: {road.gateway.tail()}")
        found, log = judge(road.truth, road.store), read_log(road.truth)
    # The log has both in order; what was kept before the start is the first of each station.
    after = list(log.confirmed.values())
    return {
        "what": "stations", "count": count, "seconds": round(wall), "reports": found.reports,
        "readings": found.readings, "missing": len(found.missing), "doubled": len(found.doubled),
        "changed": len(found.changed), "unconfirmed": found.unconfirmed,
        "ack_p50_s": _share(after, 0.5), "ack_p99_s": _share(after, 0.99),
        "ack_max_s": round(max(after), 3) if after else None,
        "sent_once": log.tries[1], "sent_again": sum(log.tries.values()) - log.tries[1],
        "caught_up_s": None if caught_up is None else round(caught_up, 1),
        "cpu_catch_up_s": round(cpu_caught_up - cpu_at_start, 1),
        "cpu_live_percent": None if caught_up is None
        else round(100 * (cpu - cpu_caught_up) / (wall - caught_up), 2),
        "rss_mb": round(rss), "tally": tally, "load": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    """Measure once, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=420.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-stations-") as folder:
        found = asyncio.run(measure(Path(folder), asked.count, asked.seconds))
    for name, value in found.items():
        print(f"{name:<18} {value}")
    if asked.json:
        with asked.json.open("a") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
