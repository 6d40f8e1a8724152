"""`headgate run`: the gateway, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.terminal import both, site_path

log = logging.getLogger(__name__)

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
    from headgate.app import Gateway
    from headgate.config import Site
    from headgate.env import close_to_others, system_env
    from headgate.logs import set_up

    env = system_env()
    path = site_path(site)
    os.umask(0o027)  # whatever a room makes, others on this machine cannot read it
    refused = close_to_others()

    def log_as(site: Site) -> None:
        set_up(site.log.level, site.log.format)
        if refused:
            log.warning("this system keeps no process closed to others", extra={"refused": refused})

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        reloading: set[asyncio.Task[object]] = set()
        gateway = Gateway(env, path, profiles or [], log_as)

        def reload() -> None:
            task: asyncio.Task[object] = loop.create_task(gateway.reload_quietly())
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        await gateway.run(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def plainly(words: Sequence[str]) -> tuple[Path | None, list[Path]] | None:
    """What `[SITE] [--profiles DIR]...` asks for; None when it is anything but that.

    The library that parses command lines brings another for types: 8 MB and a tenth of a second, in
    a process that runs for years on a small box. So the way a service unit calls us goes without it.
    """
    sites: list[Path] = []
    profiles: list[Path] = []
    rest = iter(words)
    for word in rest:
        folder = next(rest, None) if word == "--profiles" else None
        if folder is not None:
            profiles.append(Path(folder))
        elif word.startswith("-") or sites:
            return None
        else:
            sites.append(Path(word))
    return (sites[0] if sites else None), profiles


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed (`headgate[fast]`): the same code, about twice as fast."""
    if os.environ.get("HEADGATE_UVLOOP") == "off":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
