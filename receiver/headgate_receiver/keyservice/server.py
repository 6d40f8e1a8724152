"""A stand-in for a hardware module: it alone holds the platform's private keys, and answers over a socket.

    python -m headgate_receiver.keyservice.server --keys DIR --socket PATH [--delay S] [--fail-every N]

For trying out and for tests: the keys are PEM files, so it is no certified module (GM/T 0028). With its
faults it is slower and less reliable than a real one, which is what they are for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import cast

from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
from headgate.env import Env, system_env
from headgate.errors import EnvelopeError, HeadgateError, SecurityError
from headgate_receiver.keys import PlatformKeys, load_keys
from headgate_receiver.keyservice.wire import Frames, Request, Response, frame, read_request


class KeyService:
    """Serves the keys of a `PlatformKeys` on a unix socket (mode 0600) until closed.

    Args:
        delay_s: before each answer to `unwrap` and `sign`.
        fail_every: each so-manieth call is answered with `unavailable`; 0: none.
        hang_every: each so-manieth call is never answered; 0: none.
    """

    def __init__(
        self,
        env: Env,
        keys: PlatformKeys,
        path: Path,
        *,
        delay_s: float = 0.0,
        fail_every: int = 0,
        hang_every: int = 0,
    ) -> None:
        self._env = env
        self._keys = keys
        self._path = path
        self.delay_s = delay_s
        self.fail_every = fail_every
        self.hang_every = hang_every
        self._calls = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: set[_Line] = set()
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Start listening. Raises OSError."""
        self._server = await self._env.net.listen_unix(lambda: _Line(self), self._path, 0o600)

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._env.files.remove(self._path)

    def take(self, line: _Line, request: Request) -> None:
        """Answer a request beside all others."""
        task = asyncio.get_running_loop().create_task(self._serve(line, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, line: _Line, request: Request) -> None:
        if request.what != "describe":
            number = next(self._calls)
            if self.hang_every and number % self.hang_every == 0:
                return
            await asyncio.sleep(self.delay_s)
            if self.fail_every and number % self.fail_every == 0:
                line.answer(Response(request.id, (), "unavailable", "told to fail"))
                return
        try:
            line.answer(Response(request.id, await self._do(request)))
        except SecurityError as error:
            line.answer(Response(request.id, (), "seal", str(error)))
        except (HeadgateError, ValueError) as error:
            line.answer(Response(request.id, (), "form", str(error)))

    async def _do(self, request: Request) -> tuple[object, ...]:
        if request.what == "describe":
            return tuple(self._keys.recipients), tuple(self._keys.retired)
        if request.what == "unwrap":
            certificate, ciphertext = request.arguments
            return (await self._keys.unwrap(certificate, ciphertext),)
        (message,) = request.arguments
        return tuple(await self._keys.sign(message))


class _Line(asyncio.Protocol):
    def __init__(self, service: KeyService) -> None:
        self._service = service
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._service._lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._service._lines.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._service.take(self, read_request(body))
        except EnvelopeError:
            self.transport.abort()

    def answer(self, response: Response) -> None:
        if not self.transport.is_closing():
            self.transport.write(frame(response))


async def _run(options: argparse.Namespace) -> None:
    env = system_env()
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    keys, _ = load_keys(options.keys, provider, env.files)
    service = KeyService(
        env, keys, options.socket, delay_s=options.delay, fail_every=options.fail_every,
        hang_every=options.hang_every,
    )  # fmt: skip
    await service.open()
    stop = asyncio.Event()
    for wish in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wish, stop.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        await stop.wait()
    finally:
        await service.close()


def main() -> None:
    """The stand-in as a program."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--keys", type=Path, required=True, help="a folder as `certs dev` makes it")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--fail-every", type=int, default=0, help="each Nth call fails")
    parser.add_argument("--hang-every", type=int, default=0, help="each Nth call is not answered")
    os.umask(0o077)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_run(parser.parse_args()))
        except (HeadgateError, OSError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
