"""The street by hand: ready line, site fragment, control socket, until a signal."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from headgate_simulators.ble_street.site import site_fragment
from headgate_simulators.ble_street.street import BleStreet, StreetPlan
from headgate_simulators.control import ControlSocket
from headgate_simulators.truth import NoTruth, TruthFile


async def run(
    plan: StreetPlan, truth: Path | None, site: Path | None, interval: str, control: Path | None
) -> None:
    """Run until SIGTERM or SIGINT. The ready line names the bus that the gateway must be given."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with BleStreet(plan, TruthFile(truth) if truth else NoTruth()) as street:
        listening = ControlSocket(control, street.command) if control else None
        try:
            if listening:
                await listening.start()
            if site:
                text = site_fragment(street.description, interval)
                await asyncio.to_thread(site.write_text, text, encoding="utf-8")
            ready = {"ready": True, "bus": street.address, "devices": street.description}
            sys.stdout.write(json.dumps(ready, ensure_ascii=False) + "\n")
            sys.stdout.flush()
            await stop.wait()
        finally:
            if listening:
                await listening.stop()
