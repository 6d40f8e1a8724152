"""The local API: a unix socket on which the shell, and later the console, talk to the living gateway.

One JSON object per line. A request is {"v": 1, "id": any, "do": name, ...}; each answer carries the id and
either `data` (with `more: true` while others follow) or `error` with a catalogue code and its fields. The
socket's file rights are the access rule: who may open it may do what a technician may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from headgate.audit import Entry
from headgate.env import Env
from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

VERSION = 1
_LONGEST_LINE = 64 * 1024
_MOST_CONNECTIONS = 32

#: What answers one request: arguments in, any number of answers out.
Handler = Callable[[Mapping[str, Any]], AsyncIterator[Any]]


class LocalApi:
    """Serves handlers by name until closed. One request at a time per connection."""

    def __init__(
        self,
        env: Env,
        path: Path,
        handlers: Mapping[str, Handler],
        tell: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self._env = env
        self._path = path
        self._handlers = handlers
        self._tell = tell
        self._connections: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Start listening; a socket left over from a killed gateway is replaced. Raises OSError."""
        self._env.files.make_folder(self._path.parent)
        self._env.files.remove(self._path)
        self._server = await self._env.net.listen_unix(lambda: _Connection(self), self._path)

    async def close(self) -> None:
        """Stop listening, end every connection."""
        if self._server is not None:
            self._server.close()
            self._env.files.remove(self._path)
        for connection in list(self._connections):
            await connection.end()
        if self._server is not None:
            await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._buffer = bytearray()
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses: nothing to assert by.
        self._transport = cast(asyncio.Transport, transport)
        uid = self._api._env.peer_uid(transport)
        self._peer = "local" if uid is None else f"uid:{uid}"
        if len(self._api._connections) >= _MOST_CONNECTIONS:
            transport.close()
            self._refused("a connection more than there may be", "")
            return
        self._api._connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="local-api")

    def _refused(self, what: str, code: str) -> None:
        self._api._tell(
            Entry(kind="local-refused", who=self._peer, what=what, result="refused", code=code)
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        if len(rest) > _LONGEST_LINE:
            self._refused("a request longer than there may be", "HG-9113")
            self._transport.close()
            return
        for line in lines:
            if line.strip():
                try:
                    self._lines.put_nowait(line)
                except asyncio.QueueFull:
                    self._transport.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._api._connections.discard(self)
        self._writable.set()
        if task := getattr(self, "_task", None):
            task.cancel()

    async def end(self) -> None:
        self._transport.close()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while True:
            await self._answer(await self._lines.get())

    async def _answer(self, line: bytes) -> None:
        number: Any = None
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            number = request.get("id")
            if request.get("v") != VERSION:
                raise HeadgateError("another version", code="HG-9111", have=VERSION)
            # Who asks is what the kernel says, whatever the request says.
            request["peer"] = self._peer
            handler = self._api._handlers.get(str(request.get("do")))
            if handler is None:
                raise HeadgateError("no such call", code="HG-9112", call=str(request.get("do")))
            async for data in handler(request):
                await self._send({"id": number, "data": data, "more": True})
            await self._send({"id": number, "more": False})
        except msgspec.MsgspecError as error:
            await self._fail(number, HeadgateError(str(error), code="HG-9113", reason=str(error)))
        except HeadgateError as error:
            await self._fail(number, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The caller gets a sentence; the log gets the traceback. The gateway goes on.
            log.exception("local API call failed")
            await self._fail(number, HeadgateError(repr(error), code="HG-9114", reason=repr(error)))

    async def _fail(self, number: Any, error: HeadgateError) -> None:
        fields = {key: str(value) for key, value in error.fields.items()}
        said = {"code": error.code, "fields": fields, "text": str(error)}
        await self._send({"id": number, "error": said, "more": False})

    async def _send(self, answer: dict[str, Any]) -> None:
        self._transport.write(msgspec.json.encode(answer, enc_hook=str) + b"\n")
        await self._writable.wait()
