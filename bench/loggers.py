"""200 loggers of HJ 212 on one gateway at their real rates, then an hour of catch-up all at once.

    python -m bench.loggers --count 200 --seconds 60 --backlog 120 [--json FILE]

Each logger sends real time data every 30 s and waits for its answer (9014), which the gateway gives once the
data are on disk. The catch-up is `--backlog` packets in each logger (120: an hour of real time data), sent as
fast as answers come. Says how long answers took, what CPU and memory it cost, and compares the count of
what the gateway holds with what was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from headgate.cli.client import call
from headgate_simulators.hj212_loggers.farm import LoggerFarm, LoggerPlan
from headgate_simulators.hj212_loggers.logger import measured
from headgate_simulators.hj212_loggers.site import site_fragment
from headgate_simulators.truth import NoTruth

_TICKS = os.sysconf("SC_CLK_TCK")
_SITE = """schema = 1
[gateway]
id = "bench"
[api]
socket = "gateway.sock"
[metrics]
listen = "off"
[state]
folder = "state"
"""


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024


def _spread(late_s: list[float]) -> dict[str, float]:
    ordered = sorted(late_s) or [0.0]

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {"answers": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)}


async def measure(count: int, seconds: float, backlog: int) -> dict[str, object]:
    """The figures of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        farm = LoggerFarm(LoggerPlan(count=count, port=port, answer_s=30.0), NoTruth())
        (folder / "site.toml").write_text(_SITE + site_fragment(farm.description))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from headgate.cli import main; main()", "run", name,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return await _phases(farm, process.pid, folder, seconds, backlog)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _phases(
    farm: LoggerFarm, pid: int, folder: Path, seconds: float, backlog: int
) -> dict[str, object]:
    loggers = farm.loggers
    async with farm:
        while any(not each.dialled for each in loggers):  # noqa: ASYNC110 - they are polled on purpose
            await asyncio.sleep(0.1)
        cpu, began = _cpu_s(pid), time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        live = _spread([late for each in loggers for late in each.late_s])
        live |= {
            "cpu_share": round((_cpu_s(pid) - cpu) / took, 4),
            "rss_mb": round(_rss_mb(pid), 1),
        }
        for each in loggers:
            each.late_s.clear()
        for each in loggers:
            values = measured(each.kind, each.world, each.place, each.world_time(), each.seed)
            for _ in range(backlog):
                each.real_time(values)
            await asyncio.sleep(0)
        cpu, began = _cpu_s(pid), time.monotonic()
        while any(each.waiting for each in loggers):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        took = time.monotonic() - began
        late = [late for each in loggers for late in each.late_s]
        catch_up = _spread(late) | {
            "seconds": round(took, 1), "packets_s": round(len(late) / took),
            "cpu_share": round((_cpu_s(pid) - cpu) / took, 3), "rss_mb": round(_rss_mb(pid), 1),
        }  # fmt: skip
        answered = sum(len(each.answered) for each in loggers)
    status = await asyncio.to_thread(lambda: next(call(folder / "gateway.sock", "status")))
    looks = sum(device["looks"] for device in status["devices"])
    return {
        "loggers": len(loggers), "live": live, "catch_up": catch_up, "answered": answered,
        "stored_blocks": looks, "tally": status["channels"][0]["tally"],
    }  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.loggers", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--backlog", type=int, default=120)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = json.dumps(asyncio.run(measure(given.count, given.seconds, given.backlog)), indent=1)
    if given.json:
        given.json.write_text(found + "\n")
    sys.stdout.write(found + "\n")


if __name__ == "__main__":
    main()
