"""`PlatformKeys` in another process. No private key is ever in this one.

Calls are on their way side by side; a service that is away or hangs up makes each of them fail with
`KeysUnavailable`, and the next call connects again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, cast

from headgate.env import Env
from headgate.errors import EnvelopeError, SealBroken
from headgate_receiver.keys import KeysUnavailable
from headgate_receiver.keyservice.wire import (
    Description,
    Frames,
    Request,
    Response,
    What,
    frame,
    read_description,
    read_response,
)

log = logging.getLogger(__name__)

#: A service that holds the connection and does not answer is given up after this.
ANSWER_S: Final = 20.0


class RemoteKeys:
    """Keys behind a unix socket. `await RemoteKeys.open(...)` before use; `close` after.

    What certificates it opens for is learnt on every connection, so the service is restarted to change
    keys, and the receiver is not.
    """

    def __init__(self, env: Env, path: Path, *, answer_s: float = ANSWER_S) -> None:
        self._env = env
        self._path = path
        self._answer_s = answer_s
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()
        self._known = Description(())
        self._number = 0

    @classmethod
    async def open(cls, env: Env, path: Path, *, answer_s: float = ANSWER_S) -> RemoteKeys:
        """Connect for the first time.

        Raises:
            KeysUnavailable: nobody there. Without knowing what it can open, a receiver is of no use.
        """
        keys = cls(env, path, answer_s=answer_s)
        await keys._connected()
        return keys

    @property
    def recipients(self) -> Sequence[bytes]:
        """SM3 of the encryption certificates, as the service said last."""
        return self._known.recipients

    @property
    def retired(self) -> Collection[bytes]:
        """Those that are for old grants only."""
        return self._known.retired

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        """SM2 decryption.

        Raises:
            SealBroken: the ciphertext is not for that key.
            KeysUnavailable: no answer now.
        """
        answer = await self._call("unwrap", certificate, ciphertext)
        if len(answer) != 1:
            raise KeysUnavailable("one secret was to come", reason="not one secret")
        return answer[0]

    async def sign(self, message: bytes) -> Sequence[bytes]:
        """SM2 signatures by the receipt keys. Raises KeysUnavailable."""
        return await self._call("sign", message)

    async def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            await self._line.closed.wait()
            self._line = None

    # ------------------------------------------------------------ calls

    async def _call(self, what: What, *arguments: bytes) -> list[bytes]:
        line = await self._connected()
        response = await self._ask(line, what, *arguments)
        if response.fault == "seal":
            raise SealBroken(response.reason or "the ciphertext does not open")
        if response.fault:
            raise _unavailable(response.reason or response.fault)
        answer = response.answer
        if not isinstance(answer, list) or not all(isinstance(each, bytes) for each in answer):
            raise _unavailable("an answer that is none")
        return cast(list[bytes], answer)

    async def _ask(self, line: _Line, what: What, *arguments: bytes) -> Response:
        self._number += 1
        try:
            async with asyncio.timeout(self._answer_s):
                return await line.ask(Request(self._number, what, arguments))
        except TimeoutError:
            raise _unavailable(f"no answer within {self._answer_s:g} s") from None

    async def _connected(self) -> _Line:
        async with self._connecting:
            line = self._line
            if line is not None and not line.closed.is_set():
                return line
            try:
                _, line = await self._env.net.connect_unix(_Line, self._path)
            except OSError as error:
                raise _unavailable(f"{self._path}: {error.strerror or error}") from None
            try:
                response = await self._ask(line, "describe")
                self._known = read_description(response.answer)
            except (EnvelopeError, KeysUnavailable) as error:
                line.close()
                raise _unavailable(str(error)) from None
            self._line = line
            log.info("platform keys", extra={"certificates": len(self._known.recipients)})
            return line


class _Line(asyncio.Protocol):
    """One connection: requests by id, answers in any order."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._open: dict[int, asyncio.Future[Response]] = {}
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                response = read_response(body)
                waiter = self._open.get(response.id)
                if waiter is not None and not waiter.done():
                    waiter.set_result(response)
        except EnvelopeError as error:
            log.error("not a service of keys: %s", error)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        for waiter in self._open.values():
            if not waiter.done():
                waiter.set_exception(_unavailable("the service hung up"))

    async def ask(self, request: Request) -> Response:
        """The answer to one request. Raises KeysUnavailable when the line is lost."""
        if self.closed.is_set():
            raise _unavailable("the service hung up")
        waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._open[request.id] = waiter
        self._transport.write(frame(request))
        try:
            return await waiter
        finally:
            del self._open[request.id]

    def close(self) -> None:
        self._transport.close()


def _unavailable(reason: Any) -> KeysUnavailable:
    return KeysUnavailable(f"the platform's keys do not answer: {reason}", reason=str(reason))
