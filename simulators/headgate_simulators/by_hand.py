"""A simulator as a program: says when it is ready, obeys its control socket, ends by a signal."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate_simulators.control import Command, ControlSocket


async def until_signal(
    ready: Mapping[str, Any], command: Command, control: Path | None, files: Mapping[Path, str]
) -> None:
    """Write the files, say on standard output that it is ready, and return on SIGTERM or SIGINT.

    Args:
        ready: the ready line.
        control: where to listen for commands; None: nowhere.
        files: texts by path, such as a site.toml fragment.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = ControlSocket(control, command) if control else None
    try:
        if listening:
            await listening.start()
        for path, text in files.items():
            await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        sys.stdout.write(json.dumps(ready, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        if listening:
            await listening.stop()
