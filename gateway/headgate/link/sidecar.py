"""Plain bytes to a program on this machine that speaks TLCP (GB/T 38636) onwards.

No maintained library speaks TLCP from Python. A sidecar built on Tongsuo, or a vendor's SM gateway on
the box, does; what goes to it in the clear must not leave the machine, and must reach nobody else on
it. So: a loopback address written as a number, or a unix socket, and whose end it is gets looked at.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import socket as sockets
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from headgate.env import Env
from headgate.link.refusal import Refused
from headgate.link.terms import Facts, Terms

_UCRED: Final = struct.Struct("3i")
_LISTEN: Final = "0A"
# Root can read everything on the box anyway.
_ALWAYS: frozenset[int] = frozenset({0})


def stays_here(host: str) -> bool:
    """Whether an address is loopback. A name is not: what it means is decided elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _number(user: str) -> int:
    """The number of an account. Raises ValueError when there is none of this name."""
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"sidecar_user: no account {user!r} on this machine") from None


def listeners(table: str, address: str, port: int) -> set[int]:
    """The accounts that listen at an address, by a table of /proc/net (proc_pid_net(5), tcp and tcp6).

    The connection's own row would not do: until it is accepted it belongs to nobody, which reads as root.
    """
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[3] != _LISTEN:
            continue
        local, _, number = fields[1].partition(":")
        try:
            bound, at = _address(local), int(number, 16)
            if at == port and (bound.is_unspecified or bound == _address_of(address)):
                found.add(int(fields[7]))
        except ValueError:
            continue
    return found


def _address(digits: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as /proc/net writes it: 32-bit words in the machine's order."""
    words = [bytes.fromhex(digits[i : i + 8]) for i in range(0, len(digits), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return _plain(ipaddress.ip_address(b"".join(words)))


def _address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return _plain(ipaddress.ip_address(text))


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A socket of both families shows an IPv4 address inside an IPv6 one."""
    return getattr(address, "ipv4_mapped", None) or address


class SidecarContext:
    """No encryption of ours; refuses a peer that is not on this machine, or not whom it should be."""

    check_hostname = True
    encrypts = False

    def __init__(self, terms: Terms, env: Env) -> None:
        self._files = env.files
        self._named = terms.user is not None
        named = () if terms.user is None else (_number(terms.user),)
        self._users = _ALWAYS | {os.geteuid(), *named}

    def wrap_socket(
        self,
        sock: sockets.socket,
        *,
        server_hostname: str | None = None,
        do_handshake_on_connect: bool = False,
    ) -> SidecarLine:
        """The line on a connected socket."""
        return SidecarLine(sock, self._users, self._listening)

    def _listening(self, address: str, port: int) -> frozenset[int] | None:
        """Who listens there, when the kernel tells; None when nobody must be known."""
        found = set()
        for table in ("tcp", "tcp6"):
            try:
                text = self._files.read(Path("/proc/net") / table).decode("ascii", "replace")
            except OSError:
                continue
            found |= listeners(text, address, port)
        # Another network namespace, or a system that does not tell: enough where no name was asked for.
        return frozenset(found) if found or self._named else None


class SidecarLine:
    """A plain socket whose other end was looked at."""

    def __init__(
        self,
        sock: sockets.socket,
        users: frozenset[int],
        listening: Callable[[str, int], frozenset[int] | None],
    ) -> None:
        self._socket = sock
        self._users = users
        self._listening = listening
        self.refused: Refused | None = None
        self.recv = sock.recv
        self.send = sock.send

    def do_handshake(self) -> None:
        sock = self._socket
        if sock.family == sockets.AF_UNIX:
            given = sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _UCRED.size)
            holders: frozenset[int] | None = frozenset(_UCRED.unpack(given)[1:2])
        else:
            address, port = sock.getpeername()[:2]
            if not stays_here(address):
                self._refuse("HG-5082", f"{address} is not on this machine", address=address)
            holders = self._listening(address, port)
            sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        if holders is not None and (not holders or holders - self._users):
            users = ", ".join(str(each) for each in sorted(self._users))
            found = ", ".join(str(each) for each in sorted(holders)) or "nobody we can name"
            self._refuse("HG-5073", f"it runs as user {found}, not as one of {users}")

    def _refuse(self, code: str, reason: str, **fields: str) -> NoReturn:
        self.refused = Refused(code, reason, certificate=False, **fields)
        raise self.refused

    def facts(self) -> Facts:
        return Facts("sidecar", "-")

    def pending(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
