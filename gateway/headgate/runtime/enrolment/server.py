"""HTTPS for the enrolment service: one request a connection, everything bounded."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final, cast

from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.runtime.enrolment.protocol import MAX_ASK, ROOT, Refusal, encode
from headgate.runtime.enrolment.service import Reply, Service

log = logging.getLogger(__name__)

_MAX_HEAD: Final = 8 * 1024
_MOST_CONNECTIONS: Final = 64
_DEADLINE_S: Final = 20.0
_REASONS: Final = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    409: "Conflict", 413: "Content Too Large", 429: "Too Many Requests", 500: "Internal Server Error",
}  # fmt: skip


class EnrolmentServer:
    """Listens until closed."""

    def __init__(self, env: Env, service: Service, tls: ssl.SSLContext) -> None:
        self._env = env
        self._service = service
        self._tls = tls
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # The CA's register is one file: one request after the other.
        self._turn = asyncio.Lock()

    async def open(self, host: str, port: int) -> int:
        """Listen; the port. Raises OSError."""
        self._server = await self._env.net.listen(self._connection, host, port, tls=self._tls)
        assert isinstance(self._server, asyncio.Server)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def _connection(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=_MAX_HEAD)
        return asyncio.StreamReaderProtocol(reader, self._take)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="enrolment")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = cast(asyncio.Transport, writer.transport)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                peer = transport.get_extra_info("peername") or ("?",)
                reply = await self._reply(reader, str(peer[0]))
                reason = _REASONS.get(reply.status, "Error")
                head = (
                    f"HTTP/1.1 {reply.status} {reason}\r\nContent-Type: application/json\r\n"
                    f"Cache-Control: no-store\r\nConnection: close\r\n"
                    f"Content-Length: {len(reply.body)}\r\n\r\n"
                )
                writer.write(head.encode() + reply.body)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("enrolment connection ended", extra={"error": repr(error)})
        finally:
            transport.abort()

    async def _reply(self, reader: asyncio.StreamReader, peer: str) -> Reply:
        try:
            method, path, size = await self._head(reader)
        except (ValueError, asyncio.LimitOverrunError):
            return Reply(400, encode(Refusal("form")))
        if size > MAX_ASK:
            return Reply(413, encode(Refusal("size")))
        body = await reader.readexactly(size)
        if not path.startswith(ROOT):
            return Reply(404, encode(Refusal("path")))
        try:
            async with self._turn:
                return await self._service.answer(peer, method, path[len(ROOT) :], body)
        except HeadgateError as error:
            log.error("enrolment: %s", error, extra={"code": error.code})
            return Reply(500, encode(Refusal("failed")))

    async def _head(self, reader: asyncio.StreamReader) -> tuple[str, str, int]:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        fields = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)
        }
        if "transfer-encoding" in fields:
            raise ValueError("a body without a length")
        size = int(fields.get("content-length", "0"))
        if size < 0:
            raise ValueError("a negative length")
        return method, path, size
