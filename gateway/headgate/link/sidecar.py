"""Plain bytes to a program on this machine that speaks TLCP (GB/T 38636) onwards.

No maintained library speaks TLCP from Python. A sidecar built on Tongsuo, or a vendor's SM gateway on
the box, does; what goes to it in the clear must not leave the machine, and must reach nobody else on
it. So: a loopback address written as a number, or a unix socket whose owner is known.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import socket as sockets
import struct
from typing import Any, Final

from headgate.link.refusal import Refused
from headgate.link.terms import Facts, Terms

_UCRED: Final = struct.Struct("3i")
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


class SidecarContext:
    """No encryption of ours; refuses a peer that is not on this machine, or not whom it should be."""

    check_hostname = True
    encrypts = False

    def __init__(self, terms: Terms) -> None:
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
        return SidecarLine(sock, self._users)


class SidecarLine:
    """A plain socket whose other end was looked at."""

    def __init__(self, sock: sockets.socket, users: frozenset[int]) -> None:
        self._socket = sock
        self._users = users
        self.refused: Refused | None = None
        self.recv = sock.recv
        self.send = sock.send

    def do_handshake(self) -> None:
        sock = self._socket
        if sock.family == sockets.AF_UNIX:
            given = sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, _UCRED.size)
            _, user, _ = _UCRED.unpack(given)
            if user not in self._users:
                users = ", ".join(str(each) for each in sorted(self._users))
                self.refused = Refused(
                    "HG-5073", f"it runs as user {user}, not as one of {users}", user=user
                )
                raise self.refused
            return
        peer = sock.getpeername()[0]
        if not stays_here(peer):
            self.refused = Refused("HG-5082", f"{peer} is not on this machine", address=peer)
            raise self.refused
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)

    def facts(self) -> Facts:
        return Facts("sidecar", "-")

    def pending(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
