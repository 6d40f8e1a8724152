"""The commands: `install`, `uninstall`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.install.layout import COMMAND, PREFIX, SITE, STATE, Layout
from headgate.cli.install.steps import Installation
from headgate.cli.install.wheels import base_python, run, version_in
from headgate.cli.terminal import FAILED, both, reader, tell
from headgate.errors import HeadgateError
from headgate.messages import say

app = typer.Typer(rich_markup_mode=None)
removal = typer.Typer(rich_markup_mode=None)

Prefix = Annotated[Path, typer.Option(help=both("Where versions lie.", "安装位置。"))]
Root = Annotated[
    Path, typer.Option(metavar="DIR", help=both("Stage an image below this.", "制作镜像的根目录。"))
]
DryRun = Annotated[bool, typer.Option("--dry-run", help=both("Only say it.", "只说明，不执行。"))]


@app.command(help=both("Install or upgrade, without a network.", "离线安装或升级。"))
def install(
    wheelhouse: Annotated[
        Path, typer.Option("--from", metavar="DIR", help=both("Folder of wheels.", "wheel 目录。"))
    ],
    prefix: Prefix = PREFIX,
    root: Root = Path("/"),
    extras: Annotated[
        str, typer.Option(help=both("Parts, comma between.", "附加部件，以逗号分隔。"))
    ] = "fast",
    python: Annotated[
        str | None, typer.Option(help=both("Interpreter.", "使用的 Python。"), show_default=False)
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """A new version is tried before it takes over; site and state stay as they are."""
    layout = _layout(prefix, root)
    version = version_in(wheelhouse.absolute())
    if dry_run:
        before = layout.in_use()
        tell(
            "HG-9266", version=version, before=before.name if before else "-", path=layout.versions
        )
        for path in (*layout.system_files(), layout.at(COMMAND), layout.at(SITE), layout.at(STATE)):
            typer.echo(f"  {path}")
        return
    _may(layout)
    Installation(layout, run, tell).install(wheelhouse.absolute(), extras, python or base_python())


@removal.command(help=both("Take Headgate off; site and state stay.", "卸载，保留站点与数据。"))
def uninstall(
    prefix: Prefix = PREFIX,
    root: Root = Path("/"),
    purge: Annotated[
        bool, typer.Option("--purge", help=both("Site and state, too.", "同时删除站点与数据。"))
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=both("Do not ask.", "不再询问。"))
    ] = False,
) -> None:
    """Readings that were not delivered are in the state folder: --purge asks first."""
    layout = _layout(prefix, root)
    _may(layout)
    if purge and not yes:
        question = say("HG-9267", reader(), site=layout.at(SITE), state=layout.at(STATE))
        if not sys.stdin.isatty() or not typer.confirm(question, err=True):
            tell("HG-9268")
            raise typer.Exit(FAILED)
    Installation(layout, run, tell).uninstall(purge=purge)


def _layout(prefix: Path, root: Path) -> Layout:
    if not prefix.is_absolute() or prefix == Path("/"):
        raise typer.BadParameter("/opt/headgate", param_hint="--prefix")
    return Layout(prefix, root.resolve())


def _may(layout: Layout) -> None:
    if not layout.staged and os.geteuid() != 0:
        raise HeadgateError("not root", code="HG-9250")
