"""`mixed-bus` on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headgate_simulators.faults import Fault
from headgate_simulators.written import storm_of


def mixed_bus(
    line: Annotated[
        list[str] | None,
        typer.Option(help="rtu, ascii, rtu-tcp, ascii-tcp, udp or dtu; may be repeated."),
    ] = None,
    per_line: Annotated[int, typer.Option(help="Units 1, 2, ... on each line.")] = 4,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    host: Annotated[str, typer.Option(help="Where lines listen, and DTUs dial to.")] = "127.0.0.1",
    pty: Annotated[
        Path | None, typer.Option(help="Lines rtu and ascii are pseudo-terminals in this folder.")
    ] = None,
    dtu_port: Annotated[int, typer.Option(help="Where DTUs dial to; 0 picks a free port.")] = 0,
    model: Annotated[
        list[str] | None, typer.Option(help="Models, taken in turn; may be repeated.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Keep the truth here (JSON lines; made anew).")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="DEVICE:KIND[=VALUE][@FROM-TO]; may be repeated.")
    ] = None,
    storm: Annotated[
        list[str] | None, typer.Option(help="PEAK[:DURATION][@START]; may be repeated.")
    ] = None,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Poll interval there.")] = "1s",
    control: Annotated[
        Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
    ] = None,
) -> None:
    """Modbus units of several makers on shared lines: RTU, ASCII, serial servers, UDP, dial-in."""
    try:
        from headgate_simulators.mixed_bus.bus import BusPlan, LineKind
        from headgate_simulators.mixed_bus.instruments import MODELS
        from headgate_simulators.mixed_bus.run import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pymodbus":
            raise
        typer.echo("a mixed bus needs pymodbus: pip install 'headgate[sim]'", err=True)
        raise typer.Exit(2) from None
    known = {kind.value: kind for kind in LineKind}
    try:
        unknown = [written for written in line or () if written not in known]
        if unknown:
            raise ValueError(f"line {unknown[0]!r}: there are {', '.join(known)}")
        plan = BusPlan(
            lines=[known[written] for written in line or ["rtu-tcp"]],
            per_line=per_line,
            seed=seed,
            host=host,
            folder=pty,
            dtu_port=dtu_port,
            models=tuple(model or MODELS),
            speed=speed,
            storms=[storm_of(written) for written in storm or ()],
            faults=[Fault.parse(written) for written in fault or ()],
        )
        asyncio.run(run(plan, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
