"""`headgate spool check`: what waits on disk, and whether it is sound. Reads only; a gateway may run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from headgate.cli.terminal import FAILED, both, site_path, tell

app = typer.Typer()


@app.command(
    help=both("Read every record of the spool and say what is damaged.", "检查本地缓存的每条记录。")
)
def check(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """One line per segment and a sum; exit status 1 when a committed record cannot be read."""
    from headgate import config
    from headgate.env import system_env
    from headgate.spool.survey import survey

    env = system_env()
    folder = config.load(env, site_path(site)).state_folder / "spool"
    reports = list(survey(env, folder))
    if form == "json":
        typer.echo(json.dumps([msgspec.to_builtins(report) for report in reports], indent=2))
    else:
        for report in reports:
            lanes = " ".join(f"{lane} {count}" for lane, count in report.by_lane.items())
            typer.echo(
                f"{report.log}/{report.name}  {report.size:>10} B  {report.records:>6} records  "
                f"{report.readings:>9} readings  {lanes}"
            )
            if report.problem:
                tell("HG-4010", segment=report.name, reason=report.problem)
            elif report.broken or (report.damaged and not report.end_torn):
                tell("HG-4011", segment=report.name, broken=report.broken, damaged=report.damaged)
            elif report.damaged:
                tell("HG-4012", segment=report.name, damaged=report.damaged)
        tell(
            "HG-4013",
            segments=len(reports),
            records=sum(report.records for report in reports),
            readings=sum(report.readings for report in reports),
        )
    if not all(report.sound for report in reports):
        raise typer.Exit(FAILED)
