"""`gb26875` on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.by_hand import until_signal
from headgate_simulators.dial_farm import DialPlan, site_fragment
from headgate_simulators.dialling import Centre
from headgate_simulators.gb26875_panels.farm import PanelsFarm, PanelsPlan
from headgate_simulators.gb26875_panels.panel import Habits
from headgate_simulators.options import (
    Answer,
    Control,
    Faults,
    Heartbeat,
    PrintSite,
    Redial,
    Seed,
    Serial,
    Speed,
    Storms,
    To,
    TruthAt,
    Udp,
)
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.written import storm_of


def gb26875(
    count: Annotated[int, typer.Option(help="How many transmitters.")] = 1,
    seed: Seed = 1,
    to: To = "127.0.0.1:5875",
    udp: Udp = False,
    every: Annotated[float, typer.Option(help="World seconds between measured values.")] = 300.0,
    fires: Annotated[
        float, typer.Option(help="World seconds between fires, in the mean; 0: when told to.")
    ] = 0.0,
    detectors: Annotated[int, typer.Option(help="Detectors of each building.")] = 60,
    keep_alive: Annotated[float, typer.Option(help="Seconds between keep-alives.")] = 30.0,
    window: Annotated[int, typer.Option(help="Events told before one is confirmed.")] = 1,
    answer: Answer = 10.0,
    redial: Redial = 5.0,
    serial: Serial = 0,
    speed: Speed = 1.0,
    truth: TruthAt = None,
    fault: Faults = None,
    storm: Storms = None,
    print_site: PrintSite = None,
    interval: Heartbeat = "10min",
    control: Control = None,
) -> None:
    """Fire alarm transmitters (GB/T 26875.3) that dial a centre: fires, values, resends, faults."""
    try:
        centre = Centre.parse(to, "udp" if udp else "tcp", answer, redial)
        dial = DialPlan(
            count, seed, speed, 0.0, centre,
            tuple(storm_of(written) for written in storm or ()), tuple(fault or ()),
        )  # fmt: skip
        habits = Habits(every, fires, detectors, keep_alive, window, serial)
        plan = PanelsPlan(dial, habits)
        url = f"gb26875+listen{'+udp' if udp else ''}://{to}"
        asyncio.run(_run(plan, url, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None


async def _run(
    plan: PanelsPlan, url: str, truth: Path | None, site: Path | None, interval: str,
    control: Path | None,
) -> None:  # fmt: skip
    async with PanelsFarm(plan, TruthFile(truth) if truth else NoTruth()) as farm:
        fragment = site_fragment(farm.description, "fire", url, interval)
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})
