"""RFC 8998 for tests: a small PKI for links, and a terminator of our own (pyOpenSSL) before a broker.

The terminator can be told to do what it should not: another suite, another group, a certificate that
is expired, revoked, or somebody else's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from OpenSSL import SSL, crypto
from OpenSSL.SSL import _lib  # type: ignore[attr-defined]

from headgate.crypto.crl import Reason, RevocationList, Revoked
from headgate.crypto.issue import issue_certificate, issue_crl, subject_name
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.errors import CertificateRefused
from headgate.link import Terms

PROVIDER = default_provider()
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
HERE = Names(("localhost", "*.platform.example"), ("127.0.0.1", "::1"))


class Shown(NamedTuple):
    """A certificate and its key, as files and as objects."""

    certificate: Certificate
    key: Sm2PrivateKey
    crt: Path
    pem: Path


class LinkPki:
    """A root for links, in a folder, and what it issued."""

    def __init__(
        self,
        folder: Path,
        name: str = "links root",
        begin: datetime = NOW - DAY,
        end: datetime = NOW + 300 * DAY,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._count = 0
        self.root = self._make(name, Role.CA, None, begin, end, None)

    @property
    def ca_pem(self) -> str:
        return self.root.certificate.pem().decode()

    def issue(
        self,
        name: str,
        role: Role,
        *,
        names: Names | None = None,
        begin: datetime = NOW - DAY,
        end: datetime = NOW + 30 * DAY,
    ) -> Shown:
        return self._make(name, role, self.root, begin, end, names)

    def server(self, name: str = "broker", **how: datetime) -> Shown:
        return self.issue(name, Role.PLATFORM_LINK, names=HERE, **how)

    def gateway(self, name: str = "gate-7", **how: datetime) -> Shown:
        return self.issue(name, Role.GATEWAY_LINK, **how)

    def revoke(
        self, *shown: Shown, next_update: datetime = NOW + 7 * DAY, this: datetime = NOW - DAY
    ) -> Path:
        """A file with the root's list of these."""
        self._count += 1
        made: RevocationList = issue_crl(
            issuer=self.root.certificate,
            issuer_key=self.root.key,
            number=self._count,
            this_update=this,
            next_update=next_update,
            revoked={
                each.certificate.serial: Revoked(this, Reason.KEY_COMPROMISE) for each in shown
            },
        )
        path = self.folder / f"list-{self._count}.crl"
        path.write_bytes(made.pem())
        return path

    def _make(
        self,
        name: str,
        role: Role,
        issuer: Shown | None,
        begin: datetime,
        end: datetime,
        names: Names | None,
    ) -> Shown:
        key = PROVIDER.sm2_generate()
        terms = TERMS[role]
        certificate = issue_certificate(
            subject=subject_name(name, role),
            spki=key.public.spki,
            issuer=issuer.certificate if issuer else None,
            issuer_key=issuer.key if issuer else key,
            key_usage=terms.key_usage,
            purposes=terms.purposes,
            not_before=begin,
            not_after=end,
            names=names,
            provider=PROVIDER,
        )
        self._count += 1
        stem = f"{self._count}-{name.replace(' ', '-')}"
        crt, pem = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        crt.write_bytes(certificate.pem())
        pem.write_bytes(key.pem())
        pem.chmod(0o600)
        return Shown(certificate, key, crt, pem)


def sm_terms(pki: LinkPki, own: Shown, **more: object) -> Terms:
    """RFC 8998 for a gateway that trusts this root."""
    given = {
        "kind": "rfc8998",
        "ca_pem": pki.ca_pem,
        "certificate": own.crt,
        "key": own.pem,
        **more,
    }
    return Terms(**given)  # type: ignore[arg-type]


class SmServer:
    """What a terminator offers. `clients` are the roles that may come; None asks for no certificate."""

    def __init__(
        self,
        ca: Certificate,
        shown: Shown,
        *,
        clients: tuple[Role, ...] | None = (Role.GATEWAY_LINK, Role.PLATFORM_LINK),
        suites: bytes = b"TLS_SM4_GCM_SM3",
        groups: bytes = b"curveSM2",
        signatures: bytes = b"sm2sig_sm3",
    ) -> None:
        self._ca = ca
        self._clients = clients
        self._made = made = SSL.Context(SSL.TLS_SERVER_METHOD)
        made.set_min_proto_version(SSL.TLS1_3_VERSION)
        made.set_tls13_ciphersuites(suites)
        assert _lib.SSL_CTX_set1_curves_list(made._context, groups) == 1
        assert _lib.SSL_CTX_set1_sigalgs_list(made._context, signatures) == 1
        made.use_certificate_chain_file(str(shown.crt))
        made.use_privatekey_file(str(shown.pem))
        store = made.get_cert_store()
        assert store is not None
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, ca.der))
        if clients is not None:
            made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check)

    def _check(
        self, _: SSL.Connection, seen: crypto.X509, number: int, depth: int, good: int
    ) -> bool:
        if not good or depth:
            return bool(good)
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, seen)
        try:
            leaf = Certificate.load(der)
            verify_chain(leaf, (), (self._ca,), usage=Usage.SIGN, at=NOW, provider=PROVIDER)
        except CertificateRefused:
            return False
        return leaf.role in (self._clients or ())

    def connection(self) -> SSL.Connection:
        """The server's end, without a socket."""
        made = SSL.Connection(self._made, None)
        made.set_accept_state()
        return made


def pump(connection: SSL.Connection, sock: socket.socket) -> None:
    """What the library wants to say, onto the network."""
    while True:
        try:
            sock.sendall(connection.bio_read(65536))
        except SSL.WantReadError:
            return


class Terminator:
    """Takes TLS on a port of loopback and hands plain bytes to a broker, as nginx or stunnel would.

    `seen` is what each connection came to: "" for a handshake that was done, or the library's words.
    `spoil` gets every plain socket's bytes up before they go on (for tests that need a slow peer).
    """

    def __init__(self, server: SmServer, upstream: int) -> None:
        self._server, self._upstream = server, upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[str] = []
        self._stop_read, self._stop = socket.socketpair()
        self._threads = [threading.Thread(target=self._accept, name="terminator")]

    def __enter__(self) -> Terminator:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._stop_read.close()

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            taken, _ = self._listener.accept()
            thread = threading.Thread(target=self._serve, args=(taken,), name="terminated")
            self._threads.append(thread)
            thread.start()

    def _serve(self, taken: socket.socket) -> None:
        connection = self._server.connection()
        with taken:
            try:
                if not self._shake(connection, taken):
                    return
            except (SSL.Error, OSError) as error:
                with contextlib.suppress(OSError):
                    pump(connection, taken)
                self.seen.append(str(error) or type(error).__name__)
                return
            self.seen.append("")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._upstream)) as up,
            ):
                self._carry(connection, taken, up)

    def _shake(self, connection: SSL.Connection, taken: socket.socket) -> bool:
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                pump(connection, taken)
                ready, _, _ = select.select([taken, self._stop_read], [], [])
                if self._stop_read in ready:
                    return False
                if not (data := taken.recv(65536)):
                    raise ConnectionResetError("gone") from None
                connection.bio_write(data)
            else:
                pump(connection, taken)
                return True

    def _carry(self, connection: SSL.Connection, taken: socket.socket, up: socket.socket) -> None:
        while True:
            try:
                up.sendall(connection.recv(65536))
                continue
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return
            ready, _, _ = select.select([taken, up, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            if taken in ready:
                if not (data := taken.recv(65536)):
                    return
                connection.bio_write(data)
            if up in ready:
                if not (data := up.recv(65536)):
                    connection.shutdown()
                    pump(connection, taken)
                    return
                connection.sendall(data)
                pump(connection, taken)


@contextlib.contextmanager
def answering(handler: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of loopback whose one connection is handled by a function, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                taken, _ = listener.accept()
                with taken:
                    handler(taken)

        thread = threading.Thread(target=serve, name="answering")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError), socket.create_connection(listener.getsockname(), 1):
                pass
            thread.join()
