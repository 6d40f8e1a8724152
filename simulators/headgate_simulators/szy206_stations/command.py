"""`szy206` on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.by_hand import until_signal
from headgate_simulators.dial_farm import DialPlan, site_fragment
from headgate_simulators.dialling import Centre
from headgate_simulators.options import (
    Answer,
    Behind,
    Control,
    Faults,
    Heartbeat,
    Pictures,
    PrintSite,
    Redial,
    Seed,
    Speed,
    Storms,
    To,
    TruthAt,
    Udp,
)
from headgate_simulators.szy206_stations.farm import StationsFarm, StationsPlan
from headgate_simulators.szy206_stations.station import Habits
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.written import storm_of


def szy206(
    count: Annotated[int, typer.Option(help="How many stations.")] = 4,
    seed: Seed = 1,
    to: To = "127.0.0.1:5206",
    udp: Udp = False,
    every: Annotated[float, typer.Option(help="World seconds between reports.")] = 300.0,
    pictures: Pictures = 0.0,
    keep_alive: Annotated[float, typer.Option(help="Seconds between link tests.")] = 60.0,
    answer: Answer = 10.0,
    redial: Redial = 5.0,
    behind: Behind = 0.0,
    speed: Speed = 1.0,
    truth: TruthAt = None,
    fault: Faults = None,
    storm: Storms = None,
    print_site: PrintSite = None,
    interval: Heartbeat = "5min",
    control: Control = None,
) -> None:
    """Water resources stations (SZY 206, SL/T 427) that dial a centre: reports, resends, faults."""
    try:
        centre = Centre.parse(to, "udp" if udp else "tcp", answer, redial)
        dial = DialPlan(
            count, seed, speed, behind, centre,
            tuple(storm_of(written) for written in storm or ()), tuple(fault or ()),
        )  # fmt: skip
        habits = Habits(every, pictures, alive_s=keep_alive, behind_s=behind)
        url = f"szy206+listen{'+udp' if udp else ''}://{to}"
        plan = StationsPlan(dial, habits)
        asyncio.run(_run(plan, url, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None


async def _run(
    plan: StationsPlan, url: str, truth: Path | None, site: Path | None, interval: str,
    control: Path | None,
) -> None:  # fmt: skip
    async with StationsFarm(plan, TruthFile(truth) if truth else NoTruth()) as farm:
        fragment = site_fragment(farm.description, "waters", url, interval)
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})
