"""A wire-tap: a proxy on loopback that keeps every byte it carries, both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Self


class Recorder:
    """Carries connections to `upstream`, a port of loopback or a path, and keeps what went by in `heard`."""

    def __init__(self, upstream: int | str, *, listen: str | None = None) -> None:
        self._upstream, self._listen = upstream, listen
        self.heard = bytearray()
        self.connections = 0
        self.port = 0
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._listen is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._listen)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            await self._carry(near, back)
        except asyncio.CancelledError:
            # Ours, at the end: the streams' own callback would report it as an error.
            return
        finally:
            back.close()
            with contextlib.suppress(OSError):
                await back.wait_closed()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._upstream, str):
                far, out = await asyncio.open_unix_connection(self._upstream)
            else:
                far, out = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            return
        ways = [
            asyncio.create_task(self._copy(near, out)),
            asyncio.create_task(self._copy(far, back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            out.close()
            with contextlib.suppress(OSError):
                await out.wait_closed()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self.heard += data
                sink.write(data)
                await sink.drain()

    def found(self, words: Iterable[bytes | str]) -> list[bytes]:
        """Those of the words that went by, as they are or as UTF-16."""
        heard = bytes(self.heard)
        wanted = [word.encode() if isinstance(word, str) else word for word in words]
        return [word for word in wanted if word in heard]
