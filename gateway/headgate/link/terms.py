"""What a person wrote of a link, checked as far as it can be without a network."""

from __future__ import annotations

import ssl
from pathlib import Path
from socket import socket
from typing import Literal, Protocol

import msgspec

from headgate.crypto.x509 import Role
from headgate.env import Env, system_env
from headgate.errors import ConfigError, Problem
from headgate.link.refusal import Refused

Kind = Literal["tls", "rfc8998", "sidecar"]
Minimum = Literal["1.3", "1.2"]
#: Whose word on the platform's certificate counts: the named root's alone, or any of the system's too.
Trust = Literal["pinned", "system"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One link. Files are read anew for every connection, so what is renewed needs no restart.

    `ca_pem` holds the roots (or issuing CAs) that the peer is checked against; `crl` is a file with one
    revocation list from each CA of its chain. `server_name` is what its certificate must bear, when
    that is not the address dialled. `roles` are those that our own SM2 certificate may have; where no
    certificate is named, `gateway` says whose enrolled one is shown (`headgate.link.own`).
    `user` may run the sidecar, beside root and the account of this process: a name, or a number.
    """

    kind: Kind = "tls"
    ca_pem: str | None = None
    trust: Trust = "pinned"
    certificate: Path | None = None
    key: Path | None = None
    crl: Path | None = None
    server_name: str | None = None
    minimum: Minimum = "1.3"
    roles: tuple[Role, ...] = (Role.GATEWAY_LINK,)
    gateway: str | None = None
    user: str | None = None


class Facts(msgspec.Struct, frozen=True):
    """What two ends agreed on. `peer` is how the peer's certificate calls itself."""

    version: str
    cipher: str
    group: str = ""
    peer: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.version, self.cipher, self.group)))


class Line(Protocol):
    """A socket behind the handshake, as paho uses one. `refused` is why it ended, when a peer said so.

    One owner at a time: it may be handed from a thread to another, and is never used by two.
    """

    refused: Refused | None

    def do_handshake(self) -> None:
        """Raises Refused, or OSError when the line broke or took longer than the socket's timeout."""
        ...

    def facts(self) -> Facts:
        """After the handshake."""
        ...

    def recv(self, size: int, /) -> bytes:
        """As of a socket. Raises SSLWantReadError, SSLWantWriteError, OSError."""
        ...

    def send(self, data: bytes, /) -> int:
        """As of a socket; after SSLWantWriteError the same bytes must come again."""
        ...

    def pending(self) -> int:
        """Bytes that `recv` gives without the network."""
        ...

    def settimeout(self, seconds: float | None, /) -> None: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Context(Protocol):
    """Makes lines out of connected sockets. Stands where an `ssl.SSLContext` stands."""

    #: Read by paho, which then leaves the name to us.
    check_hostname: bool
    #: Whether what travels is encrypted by this process.
    encrypts: bool

    def wrap_socket(
        self,
        sock: socket,
        *,
        server_hostname: str | None = None,
        do_handshake_on_connect: bool = False,
    ) -> Line:
        """The line on a connected socket, which it owns from now on. No handshake yet."""
        ...


def open_context(terms: Terms, *, where: str, env: Env | None = None) -> Context:
    """The context for these terms; what is wrong with the files is found now.

    Args:
        terms: what was written.
        where: names the place in a complaint ("uplink city").
        env: clock, files and variables; the real ones when absent.

    Raises:
        ConfigError: with what is missing, unreadable or does not belong together.
    """
    env = env or system_env()
    try:
        if terms.kind == "sidecar":
            from headgate.link.sidecar import SidecarContext

            return SidecarContext(terms, env)
        if terms.ca_pem is None and terms.trust == "pinned":
            raise problem(where, "HG-5081")
        if (terms.certificate is None) is not (terms.key is None) and terms.certificate is None:
            raise problem(where, "HG-5031", reason="client_key without client_certificate")
        if terms.kind == "rfc8998":
            # Here, not above: pyOpenSSL is an extra, and costs 20 MB and 0.2 s.
            from headgate.link.sm import SmContext

            return SmContext(terms, env, where)
        from headgate.link.tls import TlsContext

        return TlsContext(terms, env)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        name = getattr(error, "filename", None)
        raise problem(where, "HG-5031", reason=f"{name}: {reason}" if name else reason) from None


def problem(where: str, code: str, **fields: str | int | float) -> ConfigError:
    """One mistake, as an error."""
    return ConfigError([Problem(where, code, fields)])
