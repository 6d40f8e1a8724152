"""`headgate run`: the gateway, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.service import serve
from headgate.cli.terminal import both

app = typer.Typer(rich_markup_mode=None)


@app.command(
    help=both("Run the gateway until SIGTERM or Ctrl-C.", "运行网关，直到收到 SIGTERM 或 Ctrl-C。")
)
def run(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    profiles: Annotated[
        list[Path] | None,
        typer.Option("--profiles", help=both("Further profile folder.", "附加的 profile 目录。")),
    ] = None,
) -> None:
    """Run until a signal; what was read is committed before the process ends."""
    serve(site, profiles or [])
