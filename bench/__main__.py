"""`make bench`: measures the whole road and prints a table; `--json FILE` appends the figures.

    python -m bench                        the standard set
    python -m bench rate --interval 20     one load
    python -m bench sweep                  rising load until it is no longer held
    python -m bench outage | idle
    python -m bench backlog --hours 24     a backlog beside live data: latency then and after, drain rate
    python -m bench signed                 what a signature in each record costs, in pairs

A load is held when at least 97 % of the points due arrived in the window, none is lost, and none is bad.
Absolute figures belong to the machine; compare runs made side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.backlog import write_backlog
from bench.scene import Load, Scene
from bench.signing import measure

WARM_S = 3.0


async def rate(load: Load, seconds: float) -> dict[str, Any]:
    """One load, held or not: points per second, CPU per million points, delay, memory."""
    async with Scene(load) as scene:
        await scene.start_gateway()
        await asyncio.sleep(WARM_S)
        await scene.ask_platform("begin")
        cpu, _ = scene.usage()
        written = scene.written()
        await asyncio.sleep(seconds)
        cpu_after, rss = scene.usage()
        got = await scene.ask_platform("report")
        written = scene.written() - written
        await scene.stop("gateway")
        await asyncio.sleep(1.0)
        end = await scene.ask_platform("report")
        served = await scene.served()
    return {
        "what": "rate", **asdict(load), "wanted": load.wanted, "points_s": got["points"] / got["seconds"],
        "kept": got["points"] / got["seconds"] / load.wanted, "tx_s": got["blocks"] / got["seconds"],
        "cpu_percent": 100 * (cpu_after - cpu) / seconds,
        "cpu_s_per_Mpoint": (cpu_after - cpu) / (got["points"] / 1e6) if got["points"] else None,
        "p50_ms": got["p50_ms"], "p99_ms": got["p99_ms"], "max_ms": got["max_ms"], "rss_mb": rss,
        "first_value_s": got["first"] - scene.started if got["first"] else None,
        "bytes_per_point": got["bytes"] / got["points"] if got["points"] else None,
        "written_per_byte": written / got["bytes"] if got["bytes"] else None,
        "lost": sum(served["seq"]) - end["looks"], "holes": end["holes"], "doubled": end["doubled"],
        "bad": end["bad"], "gap_looks": end["gap_looks"],
    }  # fmt: skip


async def outage(load: Load, away_s: float, kill: bool = False) -> dict[str, Any]:
    """The broker away for a while, perhaps the gateway killed in it: what is lost, how fast it drains."""
    async with Scene(load) as scene:
        await scene.start_gateway()
        await asyncio.sleep(WARM_S)
        _, rss = scene.usage()
        await scene.stop("broker")
        await asyncio.sleep(away_s / 2)
        if kill:
            await scene.stop("gateway", 9)
            await scene.start_gateway()
        await asyncio.sleep(away_s / 2)
        _, rss_away = scene.usage()
        await scene.ask_platform("begin")
        await scene.start_broker()
        loop = asyncio.get_running_loop()
        back = loop.time()
        resumed = drained = None
        while loop.time() - back < 60 and drained is None:
            await asyncio.sleep(0.05)
            got = await scene.ask_platform("report")
            if got["points"] and resumed is None:
                resumed = loop.time() - back
            due = load.wanted * (away_s + loop.time() - back)
            if got["points"] >= 0.97 * due - (load.wanted if kill else 0):
                drained = loop.time() - back
        await asyncio.sleep(1.0)
        _, rss_after = scene.usage()
        await scene.stop("gateway")
        await asyncio.sleep(1.0)
        end = await scene.ask_platform("report")
        served = await scene.served()
    return {
        "what": "outage+kill" if kill else "outage", **asdict(load), "away_s": away_s,
        "resumed_s": resumed, "drained_s": drained, "rss_mb": [rss, rss_away, rss_after],
        "lost_looks": sum(served["seq"]) - end["looks"], "doubled": end["doubled"],
        "gap_looks": end["gap_looks"], "off_gaps": end["off_gaps"],
        "drained_points_s": got["points"] / (drained - resumed) if drained and resumed else None,
    }  # fmt: skip


async def backlog(load: Load, hours: float, rate: str | None) -> dict[str, Any]:
    """A backlog that was there at the start drains beside the live data, then the live data alone."""
    async with Scene(load) as scene:
        if rate is not None:
            scene.pace(rate)
        began = time.monotonic()
        points = await asyncio.to_thread(
            write_backlog, scene.folder / "site", devices=load.devices, registers=load.registers,
            interval_s=load.interval_ms / 1000, hours=hours,
        )  # fmt: skip
        made_s = time.monotonic() - began
        await scene.start_gateway()
        await scene.ask_platform("begin")
        loop = asyncio.get_running_loop()
        start = loop.time()
        cpu, _ = scene.usage()
        while (got := await scene.ask_platform("report"))["old_points"] < points:
            await asyncio.sleep(0.1)
            if loop.time() - start > 300:
                break
        drained = loop.time() - start
        cpu_drain, rss_drain = scene.usage()
        await asyncio.sleep(2.0)
        await scene.ask_platform("begin")
        await asyncio.sleep(max(10.0, min(drained, 20.0)))
        alone = await scene.ask_platform("report")
        await scene.stop("gateway")
        await asyncio.sleep(1.0)
        end = await scene.ask_platform("report")
    return {
        "what": "backlog", **asdict(load), "hours": hours, "made_s": made_s, "old_points": points,
        "drained_share": got["old_points"] / points, "drain_s": drained,
        "drain_points_s": got["old_points"] / drained,
        "times_live": got["old_points"] / drained / load.wanted,
        "live_p50_ms": [got["p50_ms"], alone["p50_ms"]], "live_p99_ms": [got["p99_ms"], alone["p99_ms"]],
        "live_kept": (got["points"] - got["old_points"]) / drained / load.wanted,
        "cpu_s": cpu_drain - cpu, "rss_mb": rss_drain, "doubled": end["doubled"], "holes": end["holes"],
    }  # fmt: skip


async def idle(load: Load, seconds: float) -> dict[str, Any]:
    """Everything configured, next to nothing due."""
    async with Scene(replace(load, interval_ms=3_600_000, tick_ms=1000)) as scene:
        await scene.start_gateway()
        await asyncio.sleep(WARM_S)
        cpu, _ = scene.usage()
        await asyncio.sleep(seconds)
        cpu_after, rss = scene.usage()
    cpu_percent = 100 * (cpu_after - cpu) / seconds
    return {"what": "idle", "devices": load.devices, "cpu_percent": cpu_percent, "rss_mb": rss}


def show(figures: dict[str, Any]) -> None:
    """One measurement on one line."""
    parts = [
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in figures.items()
    ]
    print("  ".join(parts), flush=True)


async def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    kinds = ["all", "rate", "sweep", "outage", "kill", "idle", "backlog", "signed"]
    parser.add_argument("what", nargs="?", default="all", choices=kinds)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--registers", type=int, default=100)
    parser.add_argument("--interval", type=int, default=100, help="milliseconds")
    parser.add_argument("--tick", type=int, default=50, help="milliseconds between commits")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--hours", type=float, default=24.0, help="length of a backlog")
    parser.add_argument("--history-rate", help="bytes a second for history, as in the site file")
    parser.add_argument("--no-uvloop", action="store_true")
    parser.add_argument("--no-pin", action="store_true", help="let the kernel place the processes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    load = Load(
        args.devices, args.registers, args.interval, args.tick, args.depth,
        not args.no_uvloop, not args.no_pin,
    )  # fmt: skip
    results: list[dict[str, Any]] = []

    async def note(work: Any) -> dict[str, Any]:
        figures: dict[str, Any] = await work
        show(figures)
        results.append(figures)
        return figures

    print(
        f"{platform.machine()}, Python {platform.python_version()}, {platform.release()}",
        flush=True,
    )
    if args.what in ("all", "idle"):
        await note(idle(load, args.seconds))
    if args.what == "rate":
        await note(rate(load, args.seconds))
    if args.what in ("all", "sweep"):
        for interval in (1000, 100, 25, 20, 10, 8, 6, 5):
            figures = await note(rate(replace(load, interval_ms=interval), args.seconds))
            if figures["kept"] < 0.97:
                break
    if args.what == "all":
        await note(rate(Load(1000, 10, 1000, args.tick), args.seconds))
        await note(rate(Load(1000, 10, 100, args.tick), args.seconds))
        await note(rate(replace(load, interval_ms=25, uvloop=False), args.seconds))
    seldom = replace(load, interval_ms=1000) if args.what == "all" else load
    if args.what in ("all", "outage"):
        await note(outage(seldom, 20.0))
    if args.what in ("all", "kill"):
        await note(outage(seldom, 20.0, kill=True))
    if args.what in ("all", "signed"):
        for figures in measure():
            show(figures)
            results.append(figures)
    if args.what == "backlog":
        await note(backlog(load, args.hours, args.history_rate))
    if args.json:
        with args.json.open("a") as file:
            file.writelines(json.dumps(figures) + "\n" for figures in results)


asyncio.run(main())
