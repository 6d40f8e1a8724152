"""A gateway as a process: set up, run until a signal, taken down."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from headgate.cli.places import site_path

log = logging.getLogger(__name__)


def serve(site: Path | None, profiles: Sequence[Path]) -> None:
    """Run until SIGTERM or Ctrl-C; what was read is committed before the process ends."""
    gc.disable()  # until it runs: see `_settle`
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
        gateway = Gateway(env, path, profiles, log_as)

        def reload() -> None:
            task: asyncio.Task[object] = loop.create_task(gateway.reload_quietly())
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        settling = loop.create_task(_settle(gateway.ready))
        await gateway.run(stop)
        settling.cancel()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


async def _settle(ready: asyncio.Event) -> None:
    """Collect garbage from now on, and leave out what the start has made: it stays to the end.

    Looking through modules and site again and again while they grow is a fourteenth of a start, and going
    through all of it later would hold up looks.
    """
    await ready.wait()
    gc.freeze()
    gc.enable()


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
