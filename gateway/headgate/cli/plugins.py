"""`headgate plugins`: what is installed, what each brings, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.cli.terminal import FAILED, both, reader, site_path
from headgate.messages import render_problem

app = typer.Typer(rich_markup_mode=None)


@app.command(
    help=both("Every plugin, what it brings, and what became of it.", "列出插件及其状态。")
)
def plugins(
    development: Annotated[
        bool, typer.Option(help=both("Load other makers' plugins too.", "同时载入第三方插件。"))
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """List plugins; exit status 1 when one of them failed."""
    from headgate.runtime.plugins import PluginState, load

    site = _allowed()
    registry = load(development=development or site[0], blocked=site[1])
    if form == "json":
        typer.echo(
            json.dumps(
                [
                    {
                        "name": p.found.name,
                        "distribution": p.found.distribution,
                        "version": p.found.version,
                        "state": p.state.value,
                        "brings": list(p.brings),
                        "problems": [problem.code for problem in p.problems],
                    }
                    for p in registry.plugins
                ],
                indent=2,
            )
        )
    else:
        for p in registry.plugins:
            brings = ", ".join(p.brings) or "-"
            typer.echo(
                f"{p.found.name:<16} {p.state.value:<8} {p.found.distribution} {p.found.version}  {brings}"
            )
            for problem in p.problems:
                typer.echo("    " + render_problem(problem, reader()).replace("\n", "\n    "))
    if any(p.state is PluginState.FAILED for p in registry.plugins):
        raise typer.Exit(FAILED)


def _allowed() -> tuple[bool, tuple[str, ...]]:
    """What the site file here says of plugins; nothing when there is none."""
    from headgate import config
    from headgate.env import system_env
    from headgate.errors import HeadgateError

    path = site_path()
    if not Path(path).exists():
        return False, ()
    try:
        site = config.load(system_env(), path)
    except HeadgateError:
        return False, ()
    return site.plugins.development, site.plugins.blocked
