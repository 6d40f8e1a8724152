"""`manhole-street` on the command line. Also `python -m headgate_simulators.manhole_street`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.faults import Fault
from headgate_simulators.manhole_street.run import run
from headgate_simulators.manhole_street.street import StreetPlan


def manhole_street(
    covers: Annotated[int, typer.Option(help="How many covers behind the concentrator.")] = 8,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    heartbeat: Annotated[float, typer.Option(help="Seconds between words of a cover.")] = 5.0,
    host: Annotated[str, typer.Option(help="Lines are raw TCP here, on free ports.")] = "127.0.0.1",
    pty: Annotated[
        Path | None, typer.Option(help="Lines are pseudo-terminals in this folder instead.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Keep the truth here (JSON lines; made anew).")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="DEVICE:KIND[=VALUE][@FROM-TO]; may be repeated.")
    ] = None,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Interval and heartbeat there.")] = "10s",
    control: Annotated[
        Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
    ] = None,
) -> None:
    """Covers behind a concentrator, a level probe, a gas head and a weather stick on serial lines."""
    try:
        plan = StreetPlan(
            covers=covers,
            seed=seed,
            heartbeat_s=heartbeat,
            host=host,
            folder=pty,
            speed=speed,
            faults=[Fault.parse(written) for written in fault or ()],
        )
        asyncio.run(run(plan, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
