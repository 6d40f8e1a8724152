"""Pump stations by hand: ready line, site fragment, control socket, until a signal."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from headgate_simulators.control import ControlSocket
from headgate_simulators.pump_station.farm import PumpPlan, PumpStationFarm
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.writes import WriteLog


async def run(
    plan: PumpPlan,
    truth: Path | None,
    site: Path | None,
    interval: str,
    control: Path | None,
    writes: Path | None = None,
) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    kept = TruthFile(truth) if truth else NoTruth()
    async with PumpStationFarm(plan, kept, writes=WriteLog(writes)) as farm:
        listening = ControlSocket(control, farm.command) if control else None
        try:
            if listening:
                await listening.start()
            if site:
                await asyncio.to_thread(site.write_text, farm.site(interval), encoding="utf-8")
            ready = json.dumps({"ready": True, "devices": farm.description}, ensure_ascii=False)
            sys.stdout.write(ready + "\n")
            sys.stdout.flush()
            await stop.wait()
        finally:
            if listening:
                await listening.stop()
