"""Stations of SL 651 and loggers of HJ 212 behind one gateway: load, flood, storm, many calls.

    PYTHONPATH=tests python -m bench.stations load --stations 500 --loggers 200 --seconds 420 [--relay]

load     an hour of catch-up of all at once, then their real rates
flood    2,000 strangers a minute come and go, and come not, in turns, beside stations that report
storm    all hang up at once; the gateway is killed, and the broker; until everybody is served again
calls    4,000 calls at once: keep-alives, and reports at their real rate

Everything is on this one machine, so absolute figures belong to it. The judges are the stations' and the
loggers' own accounts.
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

from kit.front_end import FrontEnd, spread

from bench.strangers import Strangers
from headgate.errors import HeadgateError

#: As stations and loggers are set in the field.
REAL = (
    "--speed", "1", "--every", "300", "--hourly", "3600", "--keep-alive", "40", "--answer", "10",
    "--redial", "5",
)  # fmt: skip
#: An hour of a logger that reports every 30 s.
HOUR_OF_PACKETS = 120


async def _arrived(road: FrontEnd, found: dict[str, Any]) -> dict[str, Any]:
    """Let everything arrive, and judge it."""
    found["tally"] = await road.tally()
    found["peak_mb"] = road.usage().peak_mb
    if road.relay:
        async with asyncio.timeout(300):
            while (await road.tally()).get("relay-waiting"):  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.5)
    if not await road.finish(600):
        raise HeadgateError(f"not everything arrived: {road.gateway.tail()}")
    return found


async def load(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """An hour of catch-up, then real time for so long."""
    road = FrontEnd(
        folder, *REAL, "--behind", "3600", stations=asked.stations, loggers=asked.loggers,
        backlog=HOUR_OF_PACKETS, relay=asked.relay,
    )  # fmt: skip
    async with road:
        start, began = road.usage(), time.time()
        if road.farm is not None:
            await road.farm.start()
        await asyncio.sleep(3)
        while road.logger_packets_waiting or not road.all_told:
            road.check()
            await asyncio.sleep(0.5)
            if time.time() - began > 600:
                raise HeadgateError("nobody caught up in ten minutes")
        caught, at = road.usage(), time.time()
        found: dict[str, Any] = {
            "catch_up_s": round(at - began, 1),
            "catch_up": {
                "stations": spread(road.station_acks(began, at)),
                "loggers": spread(road.logger_acks()),
                "cpu_s": round(caught.cpu_s - start.cpu_s, 1),
                "rss_mb": caught.rss_mb,
            },
        }
        while time.time() - at < asked.seconds:
            road.check()
            await asyncio.sleep(1)
        live = road.usage()
        found["live"] = {
            "seconds": round(time.time() - at),
            "stations": spread(road.station_acks(at)),
            "loggers": spread(road.logger_acks()),
            "cpu_percent": live.since(caught),
            "rss_mb": live.rss_mb,
        }
        await road.quiet()
        await _arrived(road, found)
    return found | road.judged() | {"second_centre": road.heard}


async def flood(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Stations that report often; beside them strangers and no strangers, in turns."""
    often = ("--speed", "30", "--every", "60", "--hourly", "0", "--keep-alive", "10")
    turns: dict[str, list[float]] = {"alone": [], "beside": []}
    cpu: dict[str, list[float]] = {"alone": [], "beside": []}
    connected = 0
    async with FrontEnd(folder, *often, "--answer", "10", stations=asked.stations) as road:
        await road.until_confirmed(asked.stations)
        until = time.time() + asked.seconds
        while time.time() < until:
            for name in ("alone", "beside"):
                before, at = road.usage(), time.time()
                if name == "alone":
                    await asyncio.sleep(10)
                else:
                    async with Strangers(road.dialled, asked.per_minute) as strangers:
                        await asyncio.sleep(10)
                        connected += strangers.connected
                cpu[name].append(road.usage().since(before))
                turns[name] += road.station_acks(at, time.time())
                road.check()
        found: dict[str, Any] = {name: spread(late) for name, late in turns.items()}
        found["strangers"] = connected
        found["cpu_percent"] = {name: round(sum(all_) / len(all_), 2) for name, all_ in cpu.items()}
        await road.quiet()
        await _arrived(road, found)
    return found | road.judged()


async def storm(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """All dial at once, three times: they hung up, the gateway was killed, the broker was."""
    every = (
        "--speed", "2", "--every", "60", "--hourly", "0", "--keep-alive", "20", "--redial", "1",
    )  # fmt: skip
    road = FrontEnd(
        folder, *every, "--answer", "5", stations=asked.stations, loggers=asked.loggers,
        relay=asked.relay,
    )  # fmt: skip
    found: dict[str, Any] = {}

    async def all_back(name: str, began: float) -> None:
        wanted = asked.stations + asked.loggers
        async with asyncio.timeout(180):
            while (await road.tally()).get("on-line", 0) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        found[f"{name}_back_s"] = round(time.time() - began, 1)

    async with road:
        if road.farm is not None:
            await road.farm.start()
        await all_back("start", time.time())
        await road.until_confirmed(asked.stations, 120)
        for name in ("hung_up", "killed", "broker"):
            road.logger_acks()
            began, before = time.time(), road.usage().cpu_s
            if name == "hung_up":
                await road.command(redial="*")
                if road.farm is not None:
                    road.farm.command({"reconnect": True})
                await asyncio.sleep(0.5)
            elif name == "killed":
                await road.kill_and_start()
                before = 0.0
            else:
                await road.broker.child.kill()
                await road.broker.start()
            await all_back(name, began)
            await road.until_confirmed(asked.stations, 120)
            found[name] = {
                "cpu_s": round(road.usage().cpu_s - before, 1),
                "stations": spread(road.station_acks(began)),
                "loggers": spread(road.logger_acks()),
            }
        await road.quiet()
        await _arrived(road, found)
    return found | road.judged() | {"second_centre": road.heard}


async def calls(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """As many calls as a port takes, all named: they keep alive and report."""
    async with FrontEnd(folder, *REAL, stations=asked.stations) as road:
        began = time.time()
        async with asyncio.timeout(300):
            while (await road.tally()).get("on-line", 0) < asked.stations:
                road.check()
                await asyncio.sleep(0.5)
        here, at = road.usage(), time.time()
        found: dict[str, Any] = {"all_on_line_s": round(at - began, 1), "rss_mb": here.rss_mb}
        while time.time() - at < asked.seconds:
            road.check()
            await asyncio.sleep(1)
        end = road.usage()
        found |= {
            "cpu_percent": end.since(here), "stations": spread(road.station_acks(at)),
            "descriptors": end.descriptors, "rss_end_mb": end.rss_mb,
        }  # fmt: skip
        await road.quiet(300)
        await _arrived(road, found)
    return found | road.judged()


SCENES = {"load": load, "flood": flood, "storm": storm, "calls": calls}


def main() -> None:
    """Measure once, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--stations", type=int, default=500)
    parser.add_argument("--loggers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=420.0)
    parser.add_argument("--per-minute", type=float, default=2000.0)
    parser.add_argument("--relay", action="store_true", help="a second centre gets every frame")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-stations-") as folder:
        found = asyncio.run(SCENES[asked.scene](Path(folder), asked))
    said = {"scene": asked.scene, "relay": asked.relay, **found, "load": os.getloadavg()[0]}
    print(json.dumps(said, indent=1))
    if asked.json:
        with asked.json.open("a") as file:
            file.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
