"""`sl651` on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate_simulators.by_hand import until_signal
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
    Serial,
    Speed,
    Storms,
    To,
    TruthAt,
    Udp,
)
from headgate_simulators.sl651_stations.farm import StationsFarm, StationsPlan
from headgate_simulators.sl651_stations.faults import Wrong
from headgate_simulators.sl651_stations.site import CHANNELS, site_fragment
from headgate_simulators.sl651_stations.station import Habits
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.written import storm_of


def sl651(
    count: Annotated[int, typer.Option(help="How many stations.")] = 4,
    seed: Seed = 1,
    to: To = "127.0.0.1:5651",
    udp: Udp = False,
    mode: Annotated[Literal["m1", "m2"], typer.Option(help="m1: nobody confirms.")] = "m2",
    kind: Annotated[
        Literal["river", "pump"], typer.Option(help="pump: pumps and a gate that a centre moves.")
    ] = "river",
    coding: Annotated[
        Literal["bcd", "ascii"], typer.Option(help="How frames are written.")
    ] = "bcd",
    every: Annotated[
        float,
        typer.Option(help="World seconds between timed reports: whole minutes (60, 120 ...)."),
    ] = 300.0,
    hourly: Annotated[float, typer.Option(help="World seconds between hours; 0: none.")] = 3600.0,
    pictures: Pictures = 0.0,
    keep_alive: Annotated[float, typer.Option(help="Seconds between keep-alives.")] = 40.0,
    answer: Answer = 10.0,
    redial: Redial = 5.0,
    behind: Behind = 0.0,
    serial: Serial = 1,
    speed: Speed = 1.0,
    truth: TruthAt = None,
    fault: Faults = None,
    storm: Storms = None,
    print_site: PrintSite = None,
    interval: Heartbeat = "5min",
    control: Control = None,
) -> None:
    """Hydrological stations (SL 651) that dial a centre: reports, pictures, resends, faults."""
    try:
        host, _, port = to.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"to {to!r}: write ADDR:PORT, for example 127.0.0.1:5651")
        if not 1 <= serial <= 65535:
            raise ValueError(f"serial {serial}: 1 to 65535")
        habits = Habits(
            host=host.strip("[]"), port=int(port), transport="udp" if udp else "tcp", mode=mode,
            every_s=every, hourly_s=hourly, picture_s=pictures, keep_alive_s=keep_alive,
            answer_s=answer, redial_s=redial, behind_s=behind, serial=serial, kind=kind, coding=coding,
        )  # fmt: skip
        plan = StationsPlan(
            count, seed, speed, habits,
            tuple(storm_of(written) for written in storm or ()),
            tuple(Wrong.parse(written) for written in fault or ()),
        )  # fmt: skip
        url = f"sl651+listen{'+udp' if udp else ''}://{to}"
        asyncio.run(_run(plan, url, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None


async def _run(
    plan: StationsPlan, url: str, truth: Path | None, site: Path | None, interval: str,
    control: Path | None,
) -> None:  # fmt: skip
    async with StationsFarm(plan, TruthFile(truth) if truth else NoTruth()) as farm:
        fragment = site_fragment(farm.description, url, interval, CHANNELS[plan.habits.kind])
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})
