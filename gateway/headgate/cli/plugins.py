"""`headgate plugins`: what is installed, what each brings, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate.cli.terminal import FAILED, both, reader, site_path
from headgate.messages import render_problem

if TYPE_CHECKING:
    from headgate.runtime.plugins import Registry

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
    from headgate.runtime.plugins import PluginState

    registry = registry_of(development=development)
    registry.complete()  # the question is what becomes of each
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
    for problem in registry.distrust:
        typer.echo(render_problem(problem, reader()), err=True)
    if any(p.state is PluginState.FAILED for p in registry.plugins):
        raise typer.Exit(FAILED)


def registry_of(site: Path | None = None, *, development: bool = False) -> Registry:
    """What a site file, the one here, lets load; without one, as on a box that trusts nobody."""
    from headgate import config
    from headgate.env import system_env
    from headgate.errors import HeadgateError
    from headgate.runtime.installed import plugins_of
    from headgate.runtime.plugins import load

    env, path = system_env(), site_path(site)
    if development or not path.exists():
        return load(development=development)
    try:
        found = config.load(env, path)
    except HeadgateError:
        return load()
    return plugins_of(env, found)[0]
