"""`headgate sim hj212`: loggers that dial a gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.hj212_loggers.farm import LoggerFarm, LoggerPlan
from headgate_simulators.hj212_loggers.logger import Kind
from headgate_simulators.hj212_loggers.site import site_fragment
from headgate_simulators.written import storm_of


def hj212(
    count: Annotated[int, typer.Option(help="How many loggers.")] = 2,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    to: Annotated[str, typer.Option(help="ADDR:PORT that they dial.")] = "127.0.0.1:9212",
    truth: Annotated[
        Path | None, typer.Option(help="Keep the truth here (JSON lines; the file is made anew).")
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option(help="dust or outfall, in turn; may be repeated.")
    ] = None,
    real: Annotated[float, typer.Option(help="Seconds between real time data.")] = 30.0,
    minutes: Annotated[float, typer.Option(help="Seconds between means of minutes.")] = 600.0,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    storm: Annotated[
        list[str] | None,
        typer.Option(help="PEAK[:DURATION][@START]: mm/h, world seconds, seconds after the start."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="DEVICE:KIND[=VALUE]: wrong-check, split, glued, parts, clock-off, hangs-up, deaf, "
            "no-end, short-check, null-mn, silent."
        ),
    ] = None,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    control: Annotated[
        Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
    ] = None,
) -> None:
    """Loggers of HJ 212 that dial a gateway: dust and noise stations, water outfalls."""
    host, colon, port = to.rpartition(":")
    try:
        if not colon or not port.isdecimal():
            raise ValueError(f"to {to!r}: write ADDR:PORT")
        plan = LoggerPlan(
            count=count,
            seed=seed,
            host=host.strip("[]"),
            port=int(port),
            real_s=real,
            minutes_s=minutes,
            speed=speed,
            kinds=tuple(kind or Kind),
            storms=[storm_of(written) for written in storm or ()],
            faults=tuple(fault or ()),
        )
        asyncio.run(_run(plan, truth, print_site, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None


async def _run(
    plan: LoggerPlan, truth: Path | None, site: Path | None, control: Path | None
) -> None:
    from headgate_simulators.by_hand import until_signal
    from headgate_simulators.truth import NoTruth, TruthFile

    async with LoggerFarm(plan, TruthFile(truth) if truth else NoTruth()) as farm:
        fragment = site_fragment(farm.description, f"{plan.real_s:g}s")
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})
