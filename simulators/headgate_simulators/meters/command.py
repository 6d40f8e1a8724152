"""`meters` on the command line."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.by_hand import until_signal
from headgate_simulators.meters.site import site_fragment
from headgate_simulators.meters.stairs import KINDS, Stairs, StairsPlan
from headgate_simulators.truth import NoTruth, TruthFile


def meters(
    count: Annotated[int, typer.Option(help="How many meters.")] = 32,
    modbus: Annotated[int, typer.Option(help="Modbus units at 9600 8N1 beside them.")] = 1,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(KINDS)}; may be repeated, in turn.")
    ] = None,
    pty: Annotated[
        Path | None, typer.Option(help="The pair is a pseudo-terminal here, not a serial server.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where the serial server listens.")] = "127.0.0.1",
    echo: Annotated[bool, typer.Option("--echo", help="The adapter gives back what it sends.")] = (
        False
    ),
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Frames take no time on the wire.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    zone: Annotated[float, typer.Option(help="Of the meters' clocks, hours east.")] = 8.0,
    shift: Annotated[
        float, typer.Option(help="Seconds that all of it is ahead of this machine's clock.")
    ] = 0.0,
    truth: Annotated[
        Path | None, typer.Option(help="Keep the truth here (JSON lines; made anew).")
    ] = None,
    writes: Annotated[
        Path | None, typer.Option(help="Append every command that arrives to this file.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="DEVICE:KIND[=VALUE]; may be repeated.")
    ] = None,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Poll interval in that fragment.")] = "60s",
    secret: Annotated[
        str, typer.Option(help="Reference to the switched meters' password (02123456) in it.")
    ] = "",
    control: Annotated[
        Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
    ] = None,
) -> None:
    """Electricity, water, heat and gas meters on one slow pair: DL/T 645, CJ/T 188, and Modbus."""
    try:
        plan = StairsPlan(
            count, modbus, tuple(kind or KINDS), seed, speed, pty, host, echo, not at_once, zone,
            writes, tuple(fault or ()),
        )  # fmt: skip
        asyncio.run(_run(plan, shift, truth, print_site, interval, secret, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None


async def _run(
    plan: StairsPlan, shift: float, truth: Path | None, site: Path | None, interval: str,
    secret: str, control: Path | None,
) -> None:  # fmt: skip
    kept = TruthFile(truth) if truth else NoTruth()
    async with Stairs(plan, kept, lambda: time.time() + shift) as stairs:
        fragment = site_fragment(stairs.description, interval, secret)
        ready = {"ready": True, "devices": stairs.description}
        await until_signal(ready, stairs.command, control, {site: fragment} if site else {})
