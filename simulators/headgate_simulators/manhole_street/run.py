"""The street as a program of its own: until a signal ends it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from headgate_simulators.control import ControlSocket
from headgate_simulators.manhole_street.site import site_fragment
from headgate_simulators.manhole_street.street import ManholeStreet, StreetPlan
from headgate_simulators.truth import NoTruth, TruthFile


async def run(
    plan: StreetPlan, truth: Path | None, site: Path | None, interval: str, control: Path | None
) -> None:
    """Run a street; say on standard output, as one JSON line, when it is ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with ManholeStreet(plan, TruthFile(truth) if truth else NoTruth()) as street:
        listening = ControlSocket(control, street.command) if control else None
        try:
            if listening:
                await listening.start()
            if site:
                fragment = site_fragment(street.description, interval)
                await asyncio.to_thread(site.write_text, fragment, encoding="utf-8")
            ready = {"ready": True, "devices": street.description}
            print(json.dumps(ready, ensure_ascii=False), flush=True)  # noqa: T201 - who waits reads it
            await stop.wait()
        finally:
            if listening:
                await listening.stop()
