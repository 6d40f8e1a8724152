"""`headgate write DEVICE POINT VALUE`: set one point, after a look at what that means."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.on_wire import shown
from headgate.cli.terminal import FAILED, both, reader, tell
from headgate.messages import say

app = typer.Typer(rich_markup_mode=None)


@app.command(help=both("Set one point of a device.", "设置设备的一个测点。"))
def write(
    device: Annotated[str, typer.Argument(help=both("Device id.", "设备编号。"))],
    point: Annotated[str, typer.Argument(help=both("Point name.", "测点名。"))],
    value: Annotated[
        str,
        typer.Argument(
            help=both("Value in the point's unit; -- before a negative one.", "工程值。")
        ),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=both("Do not ask.", "不再询问。"))
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Say what would be sent, ask, send it once, and show what reads back."""
    socket = socket_of(site)
    asked = {"device": device, "point": point, "value": value}
    said = next(call(socket, "write", **asked))
    if not yes:
        # Without a terminal nobody can say yes: then nothing is written.
        question = say("HG-9150", reader(), **said)
        if not sys.stdin.isatty() or not typer.confirm(question, err=True):
            tell("HG-9152")
            raise typer.Exit(FAILED)
    done = next(call(socket, "write", **asked, confirmed=True))
    if form == "json":
        typer.echo(json.dumps(done, ensure_ascii=False))
    else:
        for way, hexed in done["frames"]:
            typer.echo(f"  {'>' if way == 'sent' else '<'} {shown(hexed)}")
        if done["kept"]:
            tell("HG-6575" if "lease" in done else "HG-9151", **done)
        else:
            tell(done.get("code") or "HG-9146", **{**done, **done.get("fields", {})})
    if not done["kept"]:
        raise typer.Exit(FAILED)
