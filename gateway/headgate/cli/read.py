"""`headgate read DEVICE`: one look now, through the running gateway, between its own looks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli import on_wire
from headgate.cli.client import call, socket_of
from headgate.cli.states import reason
from headgate.cli.terminal import both, reader
from headgate.messages import fix, say
from headgate.model import Quality, Status

app = typer.Typer(rich_markup_mode=None)


@app.command(help=both("Read one device now.", "立即读取一台设备。"))
def read(
    device: Annotated[str, typer.Argument(help=both("Device id.", "设备编号。"))],
    watch: Annotated[
        bool, typer.Option("--watch", help=both("Every second.", "每秒一次。"))
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Show request, answer in hex, raw, value, quality, and the likely cause when it is not good."""
    socket = socket_of(site)
    while True:
        data = next(call(socket, "read", device=device))
        typer.echo(json.dumps(data) if form == "json" else page(data))
        if not watch:
            break
        time.sleep(1)


def page(data: dict[str, Any]) -> str:
    """One look as text."""
    arrows = {"sent": ">", "received": "<"}
    lines = [f"{data['device']}  {data['profile']}  {data['took_ms']:.1f} ms"]
    lines += [f"  {arrows[way]} {on_wire.shown(hexed)}" for way, hexed in data["frames"]]
    width = max((len(r["point"]) for r in data["readings"]), default=0)
    causes: list[int] = []
    for r in data["readings"]:
        shown = "-" if r["value"] is None else r["value"]
        if isinstance(shown, float):
            shown = f"{shown:.6g}"
        quality = Quality(r["quality"])
        unit = "" if r["unit"] == "1" else r["unit"]
        why = f" {cause_name(r['status'])}" if r["status"] else ""
        lines.append(
            f"  {r['point']:<{width}}  {shown} {unit}  raw {r['raw']}  {quality.name.lower()}{why}"
        )
        if r["status"] and r["status"] not in causes:
            causes.append(r["status"])
    if data["error"]:
        code = data.get("code") or ""
        lines.append(f"  {reason(data['error'])}" + (f" [{code}]" if code else ""))
        # The causes below tell the same of readings that there are.
        if not causes and (advice := fix(code, reader())):
            lines.append(f"    {advice}")
    lines += [f"  {cause(status)}" for status in causes]
    return "\n".join(lines)


def cause_name(status: int) -> str:
    """The status word in words: reason, and the protocol's own code."""
    reason, detail = status >> 8, status & 0xFF
    name = (
        Status(reason).name.lower().replace("_", "-")
        if reason in Status._value2member_map_
        else str(reason)
    )
    return f"{name}({detail})" if detail else name


def cause(status: int) -> str:
    """What probably lies behind a status, and what to try."""
    reason, detail = status >> 8, status & 0xFF
    return say(f"HG-32{reason:02}", reader(), detail=detail)
