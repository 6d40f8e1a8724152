"""`szy206` on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.by_hand import until_signal
from headgate_simulators.dial_farm import DialPlan, site_fragment
from headgate_simulators.dialling import Centre
from headgate_simulators.szy206_stations.farm import StationsFarm, StationsPlan
from headgate_simulators.szy206_stations.station import Habits
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.written import storm_of


def szy206(
    count: Annotated[int, typer.Option(help="How many stations.")] = 4,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    to: Annotated[
        str, typer.Option(help="ADDR:PORT of the centre that they dial.")
    ] = "127.0.0.1:5206",
    udp: Annotated[bool, typer.Option("--udp", help="Datagrams instead of TCP.")] = False,
    every: Annotated[float, typer.Option(help="World seconds between reports.")] = 300.0,
    pictures: Annotated[float, typer.Option(help="World seconds between pictures; 0: none.")] = 0.0,
    keep_alive: Annotated[float, typer.Option(help="Seconds between link tests.")] = 60.0,
    answer: Annotated[float, typer.Option(help="Seconds to wait for a confirmation.")] = 10.0,
    redial: Annotated[float, typer.Option(help="Seconds until a lost line is dialled.")] = 5.0,
    behind: Annotated[
        float, typer.Option(help="World seconds of looks kept from before the start.")
    ] = 0.0,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    truth: Annotated[
        Path | None, typer.Option(help="Keep the truth here (JSON lines; made anew).")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="DEVICE:KIND[=VALUE]; may be repeated.")
    ] = None,
    storm: Annotated[
        list[str] | None, typer.Option(help="PEAK[:DURATION][@START]; may be repeated.")
    ] = None,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Heartbeat in that fragment.")] = "5min",
    control: Annotated[
        Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
    ] = None,
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
