"""The only door to the world: clock, randomness, files, sockets, threads.

Core code takes one `Env` and reaches nothing around it; a lint holds this line. That is what lets a
test run the whole gateway under a virtual clock, on a recorded disk, with the same seed twice.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import random
import resource
import socket
import sqlite3
import ssl
import stat
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)
D = TypeVar("D", bound=asyncio.DatagramProtocol)
ClockState = Literal["synced", "holdover", "unsynced"]


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


# ---------------------------------------------------------------- the real world


class _Timex(ctypes.Structure):
    # struct timex of adjtimex(2), up to the fields we read; the tail is padding of the kernel's size.
    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("tail", ctypes.c_byte * 256),
    ]  # fmt: skip


_STA_UNSYNC = 0x0040
#: struct ucred of unix(7): process, user, group.
_UCRED = struct.Struct("iII")


class SystemClock:
    """The kernel's clocks."""

    def __init__(self) -> None:
        try:
            text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            self._boot = uuid.UUID(text).bytes
        except (OSError, ValueError):
            self._boot = uuid.uuid4().bytes
        self._was_synced = False

    def boot_id(self) -> bytes:
        return self._boot

    def boottime_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def wall_state(self) -> tuple[ClockState, int | None]:
        timex = _Timex()
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
            return "unsynced", None
        if timex.status & _STA_UNSYNC:
            return ("holdover" if self._was_synced else "unsynced"), None
        self._was_synced = True
        return "synced", int(timex.maxerror)


class SystemRandom:
    """The kernel's randomness."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - jitter, not keys


class _SystemAppendFile:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640
        )

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: a pipe that nobody writes to would never come back."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # a folder is told by who reads it
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file", path)


#: Files of /proc that a process which is closed to all others cannot open any more: opened before.
_KEPT: dict[Path, int] = {}
_PR_SET_DUMPABLE = 4


def close_to_others() -> list[str]:
    """No memory of this process leaves it: no core dump, no debugger of its user, no readable environment.

    For a process that lives for itself, at its very start: prctl(2), PR_SET_DUMPABLE; core(5). Returns what
    the system refused, in words.
    """
    refused = []
    counters = Path("/proc/self/io")
    with suppress(OSError):
        _KEPT.setdefault(counters, os.open(counters, os.O_RDONLY | os.O_CLOEXEC))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        refused.append("prctl(PR_SET_DUMPABLE)")
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        refused.append("setrlimit(RLIMIT_CORE)")
    return refused


class SystemFiles:
    """The file system."""

    def append(self, path: Path) -> AppendFile:
        return _SystemAppendFile(path)

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if (kept := _KEPT.get(path)) is not None:
            return os.pread(kept, 4096 if size is None else size, offset)
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            if offset:
                file.seek(offset)
            if size is None:
                return file.readall() or b""
            # A read may give less than there is: what is missing then would pass for damage.
            parts: list[bytes] = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        new = path.with_name(f".{path.name}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, path)
        self.sync_folder(path.parent)

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def list(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        path.mkdir(mode=mode, parents=True, exist_ok=True)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free(self, folder: Path) -> int:
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize

    def capacity(self, folder: Path) -> int:
        stat = os.statvfs(folder)
        return stat.f_blocks * stat.f_frsize

    def lock(self, path: Path) -> int | None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            # A lock of an earlier start is as good on a disk that cannot be written.
            if error.errno != errno.EROFS or not path.exists():
                raise
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def unlock(self, descriptor: int) -> None:
        os.close(descriptor)

    def database(self, path: Path) -> sqlite3.Connection:
        if str(path) != ":memory:":
            # SQLite would let everybody read; what it makes beside the file has the file's rights.
            with suppress(OSError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


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


def system_env() -> Env:
    """The real world."""
    return Env(
        SystemClock(),
        SystemRandom(),
        SystemFiles(),
        SystemNet(),
        lambda name: ThreadPoolExecutor(1, thread_name_prefix=name),
    )
