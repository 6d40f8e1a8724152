"""Wires in memory: TCP connections between a gateway and simulated devices, on a loop with virtual time.

Bytes take `delay()` seconds and arrive in order. A wire can be cut (both ends are told), and a host can
be dead (refuses) or deaf (takes the connection and the bytes, and never says a word).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

Make = Callable[[], asyncio.Protocol]


class Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, protocol: asyncio.Protocol, delay: Callable[[], float]) -> None:
        super().__init__({"peername": ("virtual", 0)})
        self._protocol = protocol
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._closed = False
        self.other: Wire

    def write(self, data: Any) -> None:
        if self._closed:
            return
        # In order: a later piece never overtakes an earlier one.
        self._free_at = max(self._free_at, self._loop.time() + self._delay())
        self._loop.call_at(self._free_at, self.other.deliver, bytes(data))

    def deliver(self, data: bytes) -> None:
        if not self._closed:
            self._protocol.data_received(data)

    def close(self) -> None:
        self._end(None)
        self._loop.call_later(self._delay(), self.other._end, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closed

    def cut(self) -> None:
        """Both ends learn that the connection is gone."""
        for end in (self, self.other):
            end._end(ConnectionResetError("connection reset"))

    def _end(self, error: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._protocol.connection_lost, error)


class Host:
    """Whoever listens at a port: makes a protocol for each caller. `delay` is that of its own wires."""

    def __init__(self, make: Make, delay: Callable[[], float]) -> None:
        self.make = make
        self.delay = delay
        self.dead = False
        self.deaf = False
        self.wires: list[Wire] = []

    def cut(self) -> None:
        """Every connection is gone at once."""
        wires, self.wires = self.wires, []
        for wire in wires:
            wire.cut()


class _Silence(asyncio.Protocol):
    pass


class _NoServer(asyncio.AbstractServer):
    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


class Network:
    """A `Net` for one gateway at a time. `hosts` by port; `unplugged` is a gateway that was killed."""

    def __init__(self, hosts: dict[int, Host]) -> None:
        self._hosts = hosts
        self._wires: list[Wire] = []
        self._unplugged = False

    async def connect(self, factory: Any, host: str, port: int, **_: Any) -> Any:
        there = self._hosts[port]
        await asyncio.sleep(there.delay())
        if there.dead or self._unplugged:
            raise ConnectionRefusedError(111, "connection refused")
        ours = factory()
        theirs = _Silence() if there.deaf else there.make()
        near, far = Wire(ours, there.delay), Wire(theirs, there.delay)
        near.other, far.other = far, near
        there.wires.append(far)
        self._wires.append(near)
        theirs.connection_made(far)
        ours.connection_made(near)
        return near, ours

    def unplug(self) -> None:
        """Nothing comes out of this gateway any more, and nothing goes in."""
        self._unplugged = True
        for wire in self._wires:
            wire.cut()

    async def listen(self, factory: Any, host: str, port: int, **_: Any) -> asyncio.AbstractServer:
        raise OSError("nothing listens here")

    async def listen_unix(self, factory: Any, path: Path, mode: int = 0) -> Any:
        return _NoServer()

    async def connect_unix(self, factory: Any, path: Path) -> Any:
        raise OSError("nothing listens here")

    async def connect_udp(self, factory: Any, host: str, port: int) -> Any:
        raise OSError("no datagrams here")

    def datagram_unix(self, address: str, data: bytes) -> None:
        """The service manager of this world does not care."""
