"""What the core may ask of the world, as protocols, and the one object that holds them."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import ssl
import stat
import struct
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal, Protocol, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)
D = TypeVar("D", bound=asyncio.DatagramProtocol)
ClockState = Literal["synced", "holdover", "unsynced"]
#: struct ucred of unix(7): process, user, group.
_UCRED = struct.Struct("iII")


class Clock(Protocol):
    """Three clocks, never mixed: boottime orders and measures, wall time is a label."""

    def boot_id(self) -> bytes:
        """16 bytes that name this boot of the machine."""
        ...

    def boottime_us(self) -> int:
        """CLOCK_BOOTTIME in microseconds: rises through suspend, never set by anybody."""
        ...

    def wall_us(self) -> int:
        """Unix time in microseconds, as the machine believes it."""
        ...

    def wall_state(self) -> tuple[ClockState, int | None]:
        """Whether the wall clock is disciplined, and its error bound in microseconds."""
        ...


class Random(Protocol):
    """Randomness for keys (`token`) and for jitter (`uniform`)."""

    def token(self, size: int) -> bytes:
        """`size` bytes fit for keys."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number for jitter; never for keys."""
        ...


class AppendFile(Protocol):
    """A file that only grows. One owner."""

    def write(self, data: bytes) -> None:
        """Append all of `data`. Raises OSError; what was written then is unknown."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the medium (fdatasync). Raises OSError, once: never retry."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class ReadFiles(Protocol):
    """Files and folders, to be read. Paths are absolute or relative to the working folder; calls block."""

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """Up to `size` bytes from `offset`; all by default. Raises OSError."""
        ...

    def size(self, path: Path) -> int | None:
        """Size in bytes, None when there is no such file."""
        ...

    def list(self, folder: Path) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder."""
        ...


class Files(ReadFiles, Protocol):
    """Files and folders, to be read and written."""

    def append(self, path: Path) -> AppendFile:
        """Create `path` (it must not exist) and open it for appending."""
        ...

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Write a whole file so that a power cut leaves the old one or the new one, never a mix."""
        ...

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        """Create a folder and its parents; nothing when it is there."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename within one file system. Durable after `sync_folder`."""
        ...

    def remove(self, path: Path) -> None:
        """Unlink; nothing when it is gone already."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Return when the folder's entries are on the medium."""
        ...

    def free(self, folder: Path) -> int:
        """Bytes an unprivileged process may still write there."""
        ...

    def capacity(self, folder: Path) -> int:
        """Bytes of the whole file system. Raises OSError."""
        ...

    def lock(self, path: Path) -> int | None:
        """Take an exclusive lock that dies with the process: a descriptor, or None when another holds it."""
        ...

    def unlock(self, descriptor: int) -> None:
        """Let go of a lock."""
        ...

    def database(self, path: Path) -> sqlite3.Connection:
        """An SQLite connection for any thread, one at a time; no implicit transactions."""
        ...


class Net(Protocol):
    """Sockets, as asyncio transports."""

    async def connect(
        self,
        factory: Callable[[], P],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> tuple[asyncio.Transport, P]:
        """Open one TCP (or TLS) connection. Raises OSError."""
        ...

    async def listen(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> asyncio.AbstractServer:
        """Listen on TCP. Raises OSError."""
        ...

    async def connect_unix(
        self, factory: Callable[[], P], path: Path
    ) -> tuple[asyncio.Transport, P]:
        """Connect to a unix socket. Raises OSError."""
        ...

    async def listen_unix(
        self, factory: Callable[[], asyncio.BaseProtocol], path: Path, mode: int = 0o660
    ) -> asyncio.AbstractServer:
        """Listen on a unix socket; a stale one is replaced. Raises OSError."""
        ...

    async def connect_udp(
        self, factory: Callable[[], D], host: str, port: int
    ) -> tuple[asyncio.DatagramTransport, D]:
        """A UDP socket that speaks with one peer only. Raises OSError."""
        ...

    async def listen_udp(
        self, factory: Callable[[], D], host: str, port: int
    ) -> tuple[asyncio.DatagramTransport, D]:
        """Receive datagrams at an address. Raises OSError."""
        ...

    def datagram_unix(self, address: str, data: bytes) -> None:
        """Send one datagram to a unix socket; nothing when nobody listens (`@` begins an abstract name)."""
        ...


class Env:
    """What the core may touch. `single` gives an executor with one named thread (inline under test)."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        files: Files,
        net: Net,
        single: Callable[[str], Executor],
    ) -> None:
        self.clock = clock
        self.random = random
        self.files = files
        self.net = net
        self.single = single

    def variable(self, name: str) -> str | None:
        """One environment variable."""
        return os.environ.get(name)

    def mode(self, path: Path) -> int | None:
        """Rights of a file or folder, as chmod(1) writes them; None when it is not there."""
        try:
            return stat.S_IMODE(path.stat().st_mode)
        except OSError:
            return None

    def peer_uid(self, transport: asyncio.BaseTransport) -> int | None:
        """Who is at the other end of a unix socket, as the kernel noted when it was connected: unix(7)."""
        peer = transport.get_extra_info("socket")
        if peer is None or peer.family != socket.AF_UNIX:
            return None
        try:
            said = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return None
        return int(_UCRED.unpack(said)[1])
