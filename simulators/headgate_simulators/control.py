"""The control socket of a running simulator: one JSON object a line in, one answer a line out.

A Unix socket, because the file system then says who may. Answers are `{"ok": true}` or
`{"ok": false, "error": "..."}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Does what one command says, at once or awaited; a `ValueError` tells what was wrong with it.
Command = Callable[[Mapping[str, Any]], Awaitable[None] | None]


@contextmanager
def fitting(path: Path) -> Iterator[str]:
    """A name for a socket that an address has room for (unix(7): 107 bytes), however deep its folder lies."""
    if len(os.fsencode(path)) < 108:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def obey(line: bytes | str, command: Command) -> dict[str, Any]:
    """Do what one line says; whatever is wrong with it becomes the answer."""
    try:
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError("a command is one JSON object on one line")
        doing = command(said)
        if doing is not None:
            await doing
    except (ValueError, RecursionError) as wrong:
        return {"ok": False, "error": str(wrong)}
    return {"ok": True}


class ControlSocket:
    """Listens at `path` until stopped, and removes the file then."""

    def __init__(self, path: Path, command: Command) -> None:
        self.path = path
        self._command = command
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen. A socket file left by a dead simulator is replaced."""
        if self.path.is_socket():
            self.path.unlink()
        with fitting(self.path) as name:
            self._server = await asyncio.start_unix_server(self._talk, name)
        self.path.chmod(0o600)

    async def stop(self) -> None:
        """Hang up on everybody and remove the socket file."""
        if self._server is not None:
            self._server.close()
            for task in self._talking:
                task.cancel()
            await asyncio.gather(*self._talking, return_exceptions=True)
            await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await obey(line, self._command)).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError, asyncio.CancelledError):
            pass  # a line without end, a caller gone, or our own stop: hang up
        finally:
            self._talking.discard(task)
            writer.close()


def say(path: Path, command: Mapping[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
    """Send one command to the simulator that listens at `path`, and return its answer."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout_s)
        with fitting(path) as name:
            line.connect(name)
        line.sendall(json.dumps(command).encode() + b"\n")
        with line.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    return answer
