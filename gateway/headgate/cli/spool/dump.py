"""`headgate spool dump`: a line for each record, sealed ones by what stands beside the seal."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from headgate.cli.terminal import both, site_path, tell

app = typer.Typer()


@app.command(help=both("Show the records of the spool.", "列出本地缓存中的记录。"))
def dump(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help=both("Only of this device (id or number).", "仅此设备（编号或序号）。")),
    ] = None,
    lane: Annotated[
        Literal["alarm", "live"] | None,
        typer.Option(help=both("Only of this lane.", "仅此通道类别。")),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=both("From this time on, ISO 8601.", "起始时间。")),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help=both("Before this time.", "截止时间。"))
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=both("At most so many.", "最多条数。"))
    ] = None,
    unseal: Annotated[
        bool,
        typer.Option(
            "--open",
            help=both(
                "Show what is inside, where this box keeps a local wrap.",
                "显示内容（需本机保留封装）。",
            ),
        ),
    ] = False,
    form: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help=both("Output form; json: a line each.", "输出格式。")),
    ] = "text",
) -> None:
    """Read only; a gateway may run meanwhile. Times are UTC."""
    from headgate.cli.spool.selected import Filter, Selected, instant
    from headgate.env import system_env
    from headgate.model import Lane

    wanted = Filter(
        tuple(device or ()),
        None if lane is None else Lane[lane.upper()],
        instant(since),
        instant(until),
    )
    selected = Selected(system_env(), site_path(site), wanted)
    try:
        selected.learn_times()
        count = readings = 0
        for record in itertools.islice(selected.records(), limit):
            said = describe(selected, record, unseal=unseal)
            count, readings = count + 1, readings + (said["readings"] or 0)
            typer.echo(json.dumps(said, ensure_ascii=False) if form == "json" else line(said))
        if form == "text":
            tell("HG-4053", records=count, readings=readings)
    finally:
        selected.close()


def describe(selected: Any, record: Any, *, unseal: bool) -> dict[str, Any]:
    """One record as JSON has it."""
    from headgate.cli.spool.selected import iso

    index = record.index
    said: dict[str, Any] = {
        "log": record.log, "segment": record.segment, "offset": record.offset,
        "lane": record.lane.name.lower(), "epoch": record.epoch.hex(), "n": record.n,
        "key": record.key_id.hex(), "serial": record.serial,
        "bytes": None if record.data is None else len(record.data), "sound": record.data is not None,
        "first": iso(selected.wall_us(record)), "last": iso(selected.wall_us(record, last=True)),
        "boot": None if index is None else index.boot.hex(),
        "first_us": None if index is None else index.first_us,
        "last_us": None if index is None else index.last_us,
        "readings": None if index is None else index.readings,
        "devices": {
            selected.names.get(number, str(number)): count
            for number, count in (() if index is None else index.devices)
        },
        "losses_told": 0 if index is None else sum(a.end - a.first for a in index.accounts),
    }  # fmt: skip
    if unseal:
        opened = selected.unsealed.open(record)
        said["items"] = None if opened is None else [_item(selected, item) for item in opened[0]]
    return said


def _item(selected: Any, item: Any) -> dict[str, Any]:
    from headgate.model import Block

    said: dict[str, Any] = {"item": type(item).__name__.lower()}
    if isinstance(item, Block):
        said["device"] = selected.names.get(item.device, str(item.device))
        said["readings"] = [
            {"point": r.point, "value": _plain(r.value), "unit": r.unit, "quality": r.quality.name.lower()}
            for r in selected.unsealed.readings([item])
        ]  # fmt: skip
        return said
    for name in item.__struct_fields__:
        said[name] = _plain(msgspec.to_builtins(getattr(item, name)))
    return said


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def line(said: dict[str, Any]) -> str:
    """One record for people."""
    devices = " ".join(f"{name}:{count}" for name, count in said["devices"].items())
    when = said["first"] or f"{(said['first_us'] or 0) / 1e6:.3f} s"
    sound = "" if said["sound"] else "  !! " + said["segment"]
    text = (
        f"{said['lane']:<6} {said['epoch']}/{said['n']:<8} {when}  {said['bytes'] or 0:>7} B  "
        f"{said['readings'] or 0:>6}  {devices}{sound}"
    )
    for item in said.get("items") or ():
        values = item.pop("readings", None)
        text += "\n    " + " ".join(f"{key}={value}" for key, value in item.items())
        for value in values or ():
            text += f"\n        {value['point']} = {value['value']} {value['unit']} ({value['quality']})"
    return text
