"""Lines without a wire: pseudo-terminals, raw TCP serial servers, datagrams, and a DTU that dials out."""

from __future__ import annotations

import asyncio
import os
import select
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

#: How often it is looked at whether somebody has opened the terminal.
_LOOK_S = 0.02
#: Somebody who has just come may not listen yet.
_SETTLE_S = 1.0
#: A DTU that was hung up on dials again so soon, at first and at most.
_REDIAL_S, _REDIAL_MOST_S = 0.2, 2.0
_BAUDS = {
    getattr(termios, f"B{rate}"): rate
    for rate in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}


class Port(Protocol):
    """One end of a serial line. `heard` is called with what the other end says."""

    heard: Callable[[bytes], None]

    @property
    def url(self) -> str:
        """What a site file calls it."""

    @property
    def taken(self) -> bool:
        """Whether somebody at the other end is listening by now."""

    async def plug(self) -> None:
        """Be there."""

    async def pull(self) -> None:
        """Be gone, as when the plug of the adapter is pulled."""

    def say(self, data: bytes) -> None:
        """Send; lost when nobody listens."""


class PtyPort:
    """A pseudo-terminal, found under `path` while it is plugged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: Callable[[bytes], None] = lambda data: None
        self._master = -1
        self._opened_at: float | None = None
        self._reading = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """`serial:///path`."""
        return f"serial://{self.path}?baud=115200"

    @property
    def taken(self) -> bool:
        """Whether a program has the terminal open, and had time to begin."""
        loop = asyncio.get_running_loop()
        return self._opened_at is not None and loop.time() >= self._opened_at + _SETTLE_S

    async def plug(self) -> None:
        """Make a terminal and put it at the path."""
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        self._watcher = asyncio.create_task(self._watch(), name=f"pty {self.path.name}")

    async def pull(self) -> None:
        """Take the terminal away; whoever has it open gets EIO."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
            self._forget()
            os.close(self._master)
            self._master = -1
            self.path.unlink(missing_ok=True)

    @property
    def baud(self) -> int | None:
        """What the program at the other end has set the port to; None: nobody has it open.

        A pseudo-terminal keeps no parity and no number of bits: the kernel puts them back to 8N.
        """
        if self._opened_at is None:
            return None
        try:
            speed = termios.tcgetattr(self._master)[5]
        except termios.error:
            return None
        return _BAUDS.get(speed, 0)

    def say(self, data: bytes) -> None:
        """Send; a full line loses bytes, as wires do."""
        if self._opened_at is not None:
            try:
                os.write(self._master, data)
            except OSError:
                self._forget()

    async def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._master, 0)
        loop = asyncio.get_running_loop()
        while True:
            closed = any(flags & select.POLLHUP for _, flags in poll.poll(0))
            if closed:
                self._forget()
            elif not self._reading:
                self._reading, self._opened_at = True, loop.time()
                loop.add_reader(self._master, self._ready)
            await asyncio.sleep(_LOOK_S)

    def _ready(self) -> None:
        try:
            self.heard(os.read(self._master, 4096))
        except OSError:  # EIO: the other end has closed it
            self._forget()

    def _forget(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._master)
        self._reading, self._opened_at = False, None


class TcpPort:
    """A serial server in raw mode. The newest caller has the line."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.host = host
        self.port = port
        self.heard: Callable[[bytes], None] = lambda data: None
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._came_at = 0.0

    @property
    def url(self) -> str:
        """`serial+tcp://host:port`."""
        return f"serial+tcp://{self.host}:{self.port}"

    @property
    def taken(self) -> bool:
        """Whether a caller is there, and had time to begin."""
        loop = asyncio.get_running_loop()
        return self._writer is not None and loop.time() >= self._came_at + _SETTLE_S

    async def plug(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._talk, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def pull(self) -> None:
        """Hang up and listen no more."""
        if self._server is not None:
            self._server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def say(self, data: bytes) -> None:
        """Send to the caller, if there is one."""
        if self._writer is not None:
            self._writer.write(data)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        self._writer, self._came_at = writer, asyncio.get_running_loop().time()
        try:
            while data := await reader.read(4096):
                self.heard(data)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller went, or our own end
        finally:
            self._talks.discard(talk)
            if self._writer is writer:
                self._writer = None
            writer.close()


class UdpPort:
    """A device that answers datagrams: to whoever spoke last."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.host = host
        self.port = port
        self.heard: Callable[[bytes], None] = lambda data: None
        self._transport: asyncio.DatagramTransport | None = None
        self._caller: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        """`udp://host:port`."""
        return f"udp://{self.host}:{self.port}"

    @property
    def taken(self) -> bool:
        """Whether anybody ever spoke."""
        return self._caller is not None

    async def plug(self) -> None:
        """Listen, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self.host, self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]

    async def pull(self) -> None:
        """Listen no more."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)  # the loop closes the socket in its next round
        self._caller = None

    def say(self, data: bytes) -> None:
        """Send to whoever spoke last."""
        if self._transport is not None and self._caller is not None:
            self._transport.sendto(data, self._caller)

    def take(self, data: bytes, caller: tuple[str, int]) -> None:
        """A datagram has come."""
        self._caller = caller
        self.heard(data)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, port: UdpPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._port.take(data, addr)


class DtuPort:
    """A DTU: it dials out, says who it is, and is a serial line from then on."""

    def __init__(self, host: str, port: int, registration: bytes, heartbeat: bytes = b"") -> None:
        self.host = host
        self.port = port
        self.registration = registration
        self.heartbeat = heartbeat
        self.heartbeat_s = 5.0
        self.heard: Callable[[bytes], None] = lambda data: None
        self._writer: asyncio.StreamWriter | None = None
        self._dialling: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """What the far side listens as: `dtu+listen://host:port`."""
        return f"dtu+listen://{self.host}:{self.port}"

    @property
    def taken(self) -> bool:
        """Whether somebody took its call."""
        return self._writer is not None

    async def plug(self) -> None:
        """Dial, again and again."""
        self._dialling = asyncio.create_task(self._dial(), name=f"dtu {self.registration!r}")

    async def pull(self) -> None:
        """Hang up and dial no more."""
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
            self._dialling = None

    def say(self, data: bytes) -> None:
        """Send, if the call was taken."""
        if self._writer is not None:
            self._writer.write(data)

    async def _dial(self) -> None:
        pause_s = _REDIAL_S
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                pause_s = _REDIAL_S
                try:
                    await self._talk(reader, writer)
                finally:
                    self._writer = None
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _REDIAL_MOST_S)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.registration)
        self._writer = writer
        while True:
            try:
                async with asyncio.timeout(self.heartbeat_s):
                    data = await reader.read(4096)
            except TimeoutError:
                writer.write(self.heartbeat)
                continue
            if not data:
                return
            self.heard(data)
