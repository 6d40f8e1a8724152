"""`headgate reload`: the running gateway takes over what changed in its site file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.terminal import both, tell

app = typer.Typer(rich_markup_mode=None)


@app.command(help=both("Take over a changed site file.", "让运行中的网关采用修改后的站点文件。"))
def reload(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
) -> None:
    """Say what was added, removed and changed. A file with mistakes changes nothing."""
    changes = next(call(socket_of(site), "reload"))
    said = False
    for kind in ("channels", "devices", "uplinks"):
        for what, names in changes[kind].items():
            if names:
                tell("HG-9130", kind=kind, what=what, names=", ".join(names))
                said = True
    if changes.get("controls"):
        tell("HG-6576")
        said = True
    if changes["restart"]:
        tell("HG-9131", tables=", ".join(changes["restart"]))
    elif not said:
        tell("HG-9132")
