"""32 meters on one pair at 2400 baud with echo behind a whole road, in real time. `make meters`.

    PYTHONPATH=tests python -m bench.meters live --seconds 300
    PYTHONPATH=tests python -m bench.meters midnight

`live`: electricity meters of both editions, water, heat and gas meters, and Modbus units at 9600 8N1 between
them, on one pseudo-terminal, looked at each minute. The judge is `headgate verify`, against what the meters
themselves wrote down. `midnight`: 32 three-phase meters, looked at every five minutes; gateway and meters
believe that midnight comes a minute after the start. What midnight froze must be there of all 32, once,
right, and as of midnight, within a quarter of an hour. Every byte takes its time on the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kit.stairs import MeterRoad, shift_to

from bench.process import usage
from headgate.cli.demo.road import Road
from headgate.cli.demo.simulator import Simulator
from headgate.errors import HeadgateError


async def measure(
    folder: Path, count: int, modbus: int, interval: str, seconds: float, faults: list[str]
) -> dict[str, Any]:
    """One run of so many seconds, and what was found."""
    command = [
        "meters",
        "--count",
        str(count),
        "--modbus",
        str(modbus),
        "--pty",
        str(folder / "pair"),
    ]
    command += ["--echo", "--interval", interval]
    for fault in faults:
        command += ["--fault", fault]
    async with Road(folder, field=[Simulator("meters", command, folder)]) as road:
        pid = road.gateway.pid
        assert pid is not None
        began, cpu = time.monotonic(), usage(pid)[0]
        while time.monotonic() - began < seconds:
            await asyncio.sleep(1.0)
            road.check()
        wall = time.monotonic() - began
        spent, rss = usage(pid)
        status = await road.ask("status")
        if not await road.finish(120):
            raise HeadgateError(f"not everything arrived: {road.gateway.tail()}")
        _, words = await road.verify("--format", "json", "--late", "20s")
    found = json.loads(words)
    counts = found["counts"]
    lines = [json.loads(line) for line in (folder / "meters.truth.jsonl").read_text().splitlines()]
    looks: dict[str, list[float]] = {}
    for line in lines:
        if "sample" in line:
            looks.setdefault(line["device"], []).append(line["t"])
    return {
        "what": "meters", "count": count, "modbus": modbus, "interval": interval,
        "seconds": round(wall), "devices_ok": sum(d["state"] == "ok" for d in status["devices"]),
        "looks": counts["truth"],
        "devices_told": len(looks), "good": found["good"],
        **{key: counts[key] for key in ("matched", "missing", "doubled", "changed", "unexpected",
                                        "due", "arrived", "bad", "in_gaps", "unaccounted")},
        "cpu_percent": round(100 * (spent - cpu) / wall, 2), "rss_mb": round(rss),
        "load": os.getloadavg()[0], "gaps": found["gaps"], "examples": found["examples"],
    }  # fmt: skip


#: After so long a night's values must be there.
NIGHT_S = 15 * 60.0
#: So long after midnight meters whose clocks are slow are waited for.
ROUND_AFTER_S = 300.0


async def midnight(folder: Path, count: int, modbus: int, interval: str) -> dict[str, Any]:
    """One night: from a minute before midnight until all frozen values are stored, or too late."""
    shift_s = shift_to(23, 59)
    options = [
        "--count",
        str(count),
        "--modbus",
        str(modbus),
        "--pty",
        str(folder / "pair"),
        "--echo",
    ]
    options += ["--kind", "electricity"]
    async with MeterRoad(folder, *options, shift_s=shift_s, interval=interval) as road:
        pid = road.gateway.pid
        assert pid is not None
        began, cpu = time.monotonic(), usage(pid)[0]
        midnight_s = time.time() + shift_s + 60 - (time.time() + shift_s) % 60
        wanted = {d["id"]: d for d in road.devices if d["model"].endswith("dlt645")}
        frozen: list[tuple[str, int, Any, int]] = []
        while len({row[0] for row in frozen}) < len(wanted):
            await asyncio.sleep(2.0)
            road.check()
            since = midnight_s * 1e6 - 1e6
            frozen = [row for row in road.points("frozen_import") if row[1] >= since]
            if time.time() + shift_s > midnight_s + ROUND_AFTER_S + NIGHT_S:
                break
        ended = time.time() + shift_s
        wall = time.monotonic() - began
        spent, rss = usage(pid)
        status = await road.ask("status")
        header = json.loads((folder / "meters.truth.jsonl").open().readline())
    past = header["started"] - 30 * 86_400.0
    wrong = [
        row for row in frozen
        if not math.isclose(row[2], _frozen(int(row[0][6:]), midnight_s - past), abs_tol=0.0051)
    ]  # fmt: skip
    return {
        "what": "midnight", "count": count, "modbus": modbus, "interval": interval,
        "seconds": round(wall), "frozen_of": len({row[0] for row in frozen}),
        "stored": len(frozen), "wrong": len(wrong),
        "stamps": sorted({round(row[1] / 1e6 - midnight_s, 3) for row in frozen})[:3],
        "minutes_from_midnight": round((ended - midnight_s) / 60, 1),
        "round_minutes": round((ended - midnight_s - ROUND_AFTER_S) / 60, 1),
        "devices_ok": sum(d["state"] == "ok" for d in status["devices"]),
        "cpu_percent": round(100 * (spent - cpu) / wall, 2), "rss_mb": round(rss),
        "good": len(frozen) == len(wanted) and not wrong,
    }  # fmt: skip


def _frozen(number: int, seconds: float) -> float:
    """What the meter of this number had counted then."""
    return round(1000.0 + 37 * number + 0.6 * seconds / 3600, 2)


def main() -> None:
    """Measure once, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("live", "midnight"))
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--modbus", type=int, default=2)
    parser.add_argument("--interval")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-meters-") as made:
        folder = Path(made)
        if asked.what == "live":
            interval = asked.interval or "60s"
            running = measure(
                folder, asked.count, asked.modbus, interval, asked.seconds, asked.fault
            )
        else:
            running = midnight(folder, asked.count, asked.modbus, asked.interval or "5min")
        found = asyncio.run(running)
    for name, value in found.items():
        print(f"{name:<22} {value}")
    if asked.json:
        with asked.json.open("a") as file:
            file.write(json.dumps(found) + "\n")
    sys.exit(not found["good"])


if __name__ == "__main__":
    main()
