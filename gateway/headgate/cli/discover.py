"""`headgate discover CHANNEL`: who is on a line, through the running gateway, between its own looks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.terminal import both, failed, tell
from headgate.errors import HeadgateError

app = typer.Typer(rich_markup_mode=None)
#: What a shell expects of a program that was interrupted.
INTERRUPTED = 130


@app.command(help=both("Find the devices on a line.", "搜索线路上的设备。"))
def discover(
    channel: Annotated[str, typer.Argument(help=both("Channel id.", "通道编号。"))],
    units: Annotated[
        str, typer.Option(help=both("Addresses: 1-32 or 1,5,17.", "从站号。"))
    ] = "1-32",
    bauds: Annotated[
        str | None,
        typer.Option(help=both("Baud rates: 9600,4800.", "波特率。"), show_default=False),
    ] = None,
    parities: Annotated[
        str | None, typer.Option(help=both("Parities: N,E,O.", "校验。"), show_default=False)
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            help=both("Longest wait for one answer, s.", "单次应答等待（秒）。"), min=0.01
        ),
    ] = 0.3,
    listen: Annotated[
        float,
        typer.Option(
            help=both(
                "How long serial sensors are listened to, s (0: not).",
                "监听串口传感器的时长（秒，0 为不监听）。",
            ),
            min=0,
        ),
    ] = 3.0,
    profile: Annotated[
        list[str] | None, typer.Option(help=both("Try these profiles only.", "仅尝试这些配置档。"))
    ] = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Ask every address; show who answers, who it says it is, and which profiles fit."""
    asked = {
        "channel": channel, "units": units, "bauds": bauds, "parities": parities,
        "timeout_s": timeout, "listen_s": listen, "profiles": profile or [],
    }  # fmt: skip
    last: dict[str, Any] = {"asked": 0, "total": 0, "found": 0}
    try:
        for said in call(socket_of(site), "discover", **asked):
            if "asked" in said:
                last = said
                _progress(f"{said['asked']}/{said['total']}  {said['line']} {said['unit']}")
            elif "unset" in said and form == "text":
                _progress("")
                failed(HeadgateError(said["unset"], code=said["code"], **said["fields"]))
            else:
                _progress("")
                typer.echo(json.dumps(said, ensure_ascii=False) if form == "json" else _found(said))
    except KeyboardInterrupt:
        _progress("")
        tell("HG-9153", **last)
        raise typer.Exit(INTERRUPTED) from None
    _progress("")
    if form == "text":
        tell("HG-9153", **last)


def _found(said: dict[str, Any]) -> str:
    identity = said["identity"]
    who = " ".join(str(identity[key]) for key in ("vendor", "model", "firmware") if identity[key])
    head = [
        f"unit {said['unit'] or '-'}",
        said["line"],
        said["device"] and f"= {said['device']}",
        who,
    ]
    lines = ["  ".join(part for part in head if part)]
    for one in said["profiles"]:
        values = ", ".join(one["sample"])
        lines.append(f"    {one['profile']}  {one['good']}/{one['points']}  {values}")
    return "\n".join(lines)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
