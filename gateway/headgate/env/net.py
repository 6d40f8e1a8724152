"""Sockets of this machine, as transports of the running loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate.env.doors import D, P


class SystemNet:
    """Sockets of the running loop."""

    async def connect(
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        loop = asyncio.get_running_loop()
        name = (server_name or host) if tls else None
        return await loop.create_connection(factory, host, port, ssl=tls, server_hostname=name)

    async def listen(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> asyncio.AbstractServer:
        return await asyncio.get_running_loop().create_server(
            factory, host, port, ssl=tls, reuse_address=True
        )

    async def connect_unix(
        self, factory: Callable[[], P], path: Path
    ) -> tuple[asyncio.Transport, P]:
        with reachable(path) as short:
            return await asyncio.get_running_loop().create_unix_connection(factory, short)

    async def listen_unix(
        self, factory: Callable[[], asyncio.BaseProtocol], path: Path, mode: int = 0o660
    ) -> asyncio.AbstractServer:
        with _umask(0o777 & ~mode), reachable(path) as short:
            return await asyncio.get_running_loop().create_unix_server(factory, short)

    async def connect_udp(
        self, factory: Callable[[], D], host: str, port: int
    ) -> tuple[asyncio.DatagramTransport, D]:
        return await asyncio.get_running_loop().create_datagram_endpoint(
            factory, remote_addr=(host, port)
        )

    async def listen_udp(
        self, factory: Callable[[], D], host: str, port: int
    ) -> tuple[asyncio.DatagramTransport, D]:
        return await asyncio.get_running_loop().create_datagram_endpoint(
            factory, local_addr=(host, port)
        )

    def datagram_unix(self, address: str, data: bytes) -> None:
        name = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(data, name)


#: sun_path of unix(7), without the zero at its end.
_SUN_PATH = 107


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for a unix socket that fits an address: a deep folder is reached by its descriptor."""
    if len(os.fsencode(path)) <= _SUN_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    # The socket must never exist with wider rights, not even before a chmod.
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)
