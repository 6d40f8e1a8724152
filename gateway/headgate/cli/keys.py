"""`headgate keys`: the keys that records are sealed with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.terminal import both, tell

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=both("The keys that records are sealed with.", "数据记录所用的密钥。"),
)


@app.callback()
def root() -> None:
    """Make `rotate` a command of its own."""


@app.command(help=both("Seal with a new key from now on.", "立即更换数据密钥。"))
def rotate(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
) -> None:
    """Change the record key of the running gateway; done when its grant is on disk."""
    answer = next(call(socket_of(site), "rotate-key"))
    tell("HG-6114", key=answer["key"])
