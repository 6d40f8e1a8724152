"""32 meters on one pair at 2400 baud with echo, looked at each minute by a whole road, in real time.

    python -m bench.meters --seconds 300

Electricity meters of both editions, water, heat and gas meters, and Modbus units at 9600 8N1 between them, on
one pseudo-terminal. Every byte takes its time on the wire. The judge is `headgate verify`, against what the
meters themselves wrote down.
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


def main() -> None:
    """Measure once, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--modbus", type=int, default=2)
    parser.add_argument("--interval", default="60s")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-meters-") as folder:
        found = asyncio.run(
            measure(
                Path(folder), asked.count, asked.modbus, asked.interval, asked.seconds, asked.fault
            )
        )
    for name, value in found.items():
        print(f"{name:<18} {value}")
    if asked.json:
        with asked.json.open("a") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
