"""RFC 8998 against servers that really offer what must be refused: pyOpenSSL as terminator, no mock."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.links import at
from kit.sm_links import (
    DAY,
    HERE,
    NOW,
    LinkPki,
    Shown,
    SmServer,
    answering,
    pump,
    sm_terms,
)
from OpenSSL import SSL

from headgate.crypto.x509 import Role
from headgate.errors import ConfigError, SecurityError
from headgate.link import Context, Facts, Line, Refused, Terms, open_context
from headgate.link.own import Pair, hold

P256 = b"P-256", b"ecdsa_secp256r1_sha256"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> LinkPki:
    return LinkPki(tmp_path_factory.mktemp("links"))


@pytest.fixture(scope="module")
def server(pki: LinkPki) -> Shown:
    return pki.server()


@pytest.fixture(scope="module")
def gateway(pki: LinkPki) -> Shown:
    return pki.gateway()


def echo(offered: SmServer) -> object:
    """A server that sends back what it gets, and says goodbye on b"bye"."""

    def serve(taken: socket.socket) -> None:
        end = offered.connection()
        try:
            while True:
                try:
                    data = end.recv(65536)
                except SSL.WantReadError:
                    pump(end, taken)
                    if not (more := taken.recv(65536)):
                        return
                    end.bio_write(more)
                    continue
                if data == b"bye":
                    end.shutdown()
                    pump(end, taken)
                    taken.shutdown(socket.SHUT_WR)
                    return
                end.sendall(data)
                pump(end, taken)
        except SSL.Error:
            pump(end, taken)

    return serve


def shake(context: Context, port: int, name: str = "127.0.0.1", timeout: float = 30) -> Line:
    sock = socket.create_connection(("127.0.0.1", port))
    try:
        line = context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise
    try:
        line.settimeout(timeout)
        line.do_handshake()
    except BaseException:
        line.close()
        raise
    return line


def meet(terms: Terms, offered: SmServer, name: str = "127.0.0.1") -> Facts:
    """A handshake, an echo, and a goodbye."""
    context = open_context(terms, where="test")
    with answering(echo(offered)) as port:  # type: ignore[arg-type]
        line = shake(context, port, name)
        try:
            assert line.send(b"level 3.482 m") == 13
            assert line.recv(100) == b"level 3.482 m"
            assert line.send(b"bye") == 3
            assert line.recv(100) == b""
            return line.facts()
        finally:
            line.close()


def refused(terms: Terms, offered: SmServer, name: str = "127.0.0.1") -> Refused:
    with pytest.raises(Refused) as caught:
        meet(terms, offered, name)
    assert not isinstance(caught.value, ConfigError)
    return caught.value


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "a.platform.example", "A.Platform.Example."]
)
def test_both_ends_prove_themselves_and_only_sm_is_agreed(
    pki: LinkPki, server: Shown, gateway: Shown, name: str
) -> None:
    facts = meet(sm_terms(pki, gateway), SmServer(pki.root.certificate, server), name)
    assert (facts.version, facts.cipher, facts.group) == ("TLSv1.3", "TLS_SM4_GCM_SM3", "curveSM2")
    assert facts.peer == "broker"


def test_a_server_that_prefers_others_still_comes_to_sm(
    pki: LinkPki, server: Shown, gateway: Shown
) -> None:
    offered = SmServer(
        pki.root.certificate,
        server,
        suites=b"TLS_AES_256_GCM_SHA384:TLS_SM4_GCM_SM3",
        groups=b"X25519:P-256:curveSM2",
        signatures=b"ecdsa_secp256r1_sha256:sm2sig_sm3",
    )
    assert meet(sm_terms(pki, gateway), offered).cipher == "TLS_SM4_GCM_SM3"


def test_the_library_without_its_private_calls_ends_in_the_same_place(
    pki: LinkPki, server: Shown, gateway: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the group is the second choice of both, found by a HelloRetryRequest, and judged afterwards."""
    offered = SmServer(pki.root.certificate, server)
    monkeypatch.setattr("headgate.link.sm._force", lambda _: None)
    assert meet(sm_terms(pki, gateway), offered).group == "curveSM2"


# ---------------------------------------------------------------- what is refused


def test_another_name_is_refused(pki: LinkPki, server: Shown, gateway: Shown) -> None:
    offered = SmServer(pki.root.certificate, server)
    for name in (
        "broker",
        "127.0.0.2",
        "platform.example",
        "a.b.platform.example",
        "x.example",
        "",
    ):
        assert refused(sm_terms(pki, gateway), offered, name).code == "HG-5061", name


def test_a_common_name_does_not_stand_in_for_a_missing_name(pki: LinkPki, gateway: Shown) -> None:
    nameless = pki.issue("127.0.0.1", Role.PLATFORM_LINK)
    refusal = refused(sm_terms(pki, gateway), SmServer(pki.root.certificate, nameless))
    assert refusal.code == "HG-5061"
    assert "no name" in str(refusal)


def test_a_namesake_of_the_root_is_refused(pki: LinkPki, gateway: Shown, tmp_path: Path) -> None:
    stranger = LinkPki(tmp_path / "other")
    assert stranger.root.certificate.subject == pki.root.certificate.subject
    offered = SmServer(pki.root.certificate, stranger.server())
    assert refused(sm_terms(pki, gateway), offered).code == "HG-5060"


def test_another_root_is_refused(pki: LinkPki, gateway: Shown, tmp_path: Path) -> None:
    stranger = LinkPki(tmp_path / "other", "another root")
    offered = SmServer(pki.root.certificate, stranger.server())
    assert refused(sm_terms(pki, gateway), offered).code == "HG-5060"


def test_an_expired_server_is_refused(pki: LinkPki, gateway: Shown) -> None:
    old = pki.server("old", begin=NOW - 9 * DAY, end=NOW - DAY)
    assert refused(sm_terms(pki, gateway), SmServer(pki.root.certificate, old)).code == "HG-5062"


def test_a_revoked_server_is_refused_and_one_without_a_list_too(
    pki: LinkPki, server: Shown, gateway: Shown, tmp_path: Path
) -> None:
    offered = SmServer(pki.root.certificate, server)
    other = pki.server("other")
    assert meet(sm_terms(pki, gateway, crl=pki.revoke(other)), offered).peer == "broker"
    assert refused(sm_terms(pki, gateway, crl=pki.revoke(server)), offered).code == "HG-5066"
    late = pki.revoke(other, this=NOW - 9 * DAY, next_update=NOW - DAY)
    assert refused(sm_terms(pki, gateway, crl=late), offered).code == "HG-5067"
    late = pki.revoke(server, this=NOW - 9 * DAY, next_update=NOW - DAY)
    assert refused(sm_terms(pki, gateway, crl=late), offered).code == "HG-5066"
    foreign = LinkPki(tmp_path / "other", "another root")
    strange = foreign.revoke(foreign.server())
    assert refused(sm_terms(pki, gateway, crl=strange), offered).code == "HG-5067"


def test_a_list_renewed_while_running_counts_at_the_next_connection(
    pki: LinkPki, server: Shown, gateway: Shown, tmp_path: Path
) -> None:
    file = tmp_path / "lists.crl"
    file.write_bytes(pki.revoke(pki.server("other")).read_bytes())
    context = open_context(sm_terms(pki, gateway, crl=file), where="test")
    offered = SmServer(pki.root.certificate, server)
    with answering(echo(offered)) as port:  # type: ignore[arg-type]
        shake(context, port).close()
    file.write_bytes(pki.revoke(server).read_bytes())
    with answering(echo(offered)) as port, pytest.raises(Refused) as caught:  # type: ignore[arg-type]
        shake(context, port)
    assert caught.value.code == "HG-5066"
    file.write_bytes(b"-----BEGIN X509 CRL-----\nrubbish\n-----END X509 CRL-----\n")
    with answering(echo(offered)) as port, pytest.raises(Refused) as caught:  # type: ignore[arg-type]
        shake(context, port)
    assert caught.value.code == "HG-5067"


@pytest.mark.parametrize(
    "role",
    [role for role in Role if role not in (Role.PLATFORM_LINK, Role.CA)],
    ids=lambda r: r.name,
)
def test_a_server_of_any_other_role_is_refused(pki: LinkPki, gateway: Shown, role: Role) -> None:
    wrong = pki.issue("broker", role, names=HERE)
    refusal = refused(sm_terms(pki, gateway), SmServer(pki.root.certificate, wrong))
    # Which of the checks it meets first depends on what the role's certificates may do.
    assert refusal.code in ("HG-5060", "HG-5068", "HG-5069", "HG-5070", "HG-5072")


@pytest.mark.parametrize("suites", [b"TLS_AES_256_GCM_SHA384", b"TLS_SM4_CCM_SM3"])
def test_a_server_with_other_suites_is_refused(
    pki: LinkPki, server: Shown, gateway: Shown, suites: bytes
) -> None:
    offered = SmServer(pki.root.certificate, server, suites=suites)
    assert refused(sm_terms(pki, gateway), offered).code == "HG-5069"


def test_a_server_with_another_group_is_refused(
    pki: LinkPki, server: Shown, gateway: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = SmServer(pki.root.certificate, server, groups=b"P-256")
    assert refused(sm_terms(pki, gateway), offered).code == "HG-5069"
    # Where the library cannot be told, the handshake comes about on P-256, and is refused then.
    monkeypatch.setattr("headgate.link.sm._force", lambda _: None)
    refusal = refused(sm_terms(pki, gateway), offered)
    assert refusal.code == "HG-5070"
    assert "TLS_SM4_GCM_SM3" in str(refusal)


def test_an_ordinary_tls_server_is_refused(pki: LinkPki, gateway: Shown, tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(taken: socket.socket) -> None:
        with pytest.raises(ssl.SSLError), context.wrap_socket(taken, server_side=True) as secured:
            secured.recv(1)

    with answering(serve) as port, pytest.raises(Refused) as caught:
        shake(open_context(sm_terms(pki, gateway), where="test"), port)
    assert caught.value.code == "HG-5069"


def test_no_client_certificate_is_a_mistake_in_the_site_file(pki: LinkPki) -> None:
    with pytest.raises(ConfigError) as caught:
        open_context(Terms(kind="rfc8998", ca_pem=pki.ca_pem), where="uplink city")
    assert [each.code for each in caught.value.problems] == ["HG-5084"]


@pytest.mark.parametrize(
    "role", [Role.GATEWAY, Role.PLATFORM_LINK, Role.OPERATOR], ids=lambda r: r.name
)
def test_our_own_certificate_of_another_role_is_not_shown(pki: LinkPki, role: Role) -> None:
    wrong = pki.issue("gate-7", role, names=HERE)
    with pytest.raises(ConfigError) as caught:
        open_context(sm_terms(pki, wrong), where="uplink city")
    assert [each.code for each in caught.value.problems] == ["HG-5085"]


def test_a_key_of_another_certificate_is_found_before_any_connection(
    pki: LinkPki, gateway: Shown
) -> None:
    other = pki.gateway("gate-8")
    with pytest.raises(ConfigError) as caught:
        open_context(sm_terms(pki, gateway, key=other.pem), where="uplink city")
    assert [each.code for each in caught.value.problems] == ["HG-5086"]


def test_our_own_expired_certificate_is_said_before_anybody_sees_it(pki: LinkPki) -> None:
    old = pki.gateway("gate-9", begin=NOW - 9 * DAY, end=NOW - DAY)
    context = open_context(sm_terms(pki, old), where="test")
    with answering(lambda taken: None) as port, pytest.raises(Refused) as caught:
        shake(context, port)
    assert caught.value.code == "HG-5085"


@pytest.mark.parametrize("trouble", ["stranger", "role", "expired"])
def test_a_server_that_refuses_our_certificate_is_understood(
    pki: LinkPki, server: Shown, gateway: Shown, tmp_path: Path, trouble: str
) -> None:
    """In TLS 1.3 the refusal comes behind a handshake that went well on our side."""
    terms, env = sm_terms(pki, gateway), None
    ca, roles = pki.root.certificate, (Role.GATEWAY_LINK,)
    if trouble == "stranger":
        ca = LinkPki(tmp_path / "other", "another root").root.certificate
    elif trouble == "role":
        roles = (Role.PLATFORM_LINK,)
    else:
        # Our own clock is wrong, so we show it; the server knows better.
        terms = sm_terms(pki, pki.gateway("gate-9", begin=NOW - 9 * DAY, end=NOW - DAY))
        env = at(NOW - 2 * DAY, "unsynced")
    offered = SmServer(ca, server, clients=roles)
    context = open_context(terms, where="test", env=env)
    with answering(echo(offered)) as port:  # type: ignore[arg-type]
        line = shake(context, port)
        try:
            with pytest.raises((Refused, ConnectionResetError)):
                line.recv(1)
            if line.refused is not None:
                assert line.refused.code == "HG-5064", line.refused
        finally:
            line.close()


# ---------------------------------------------------------------- hostile and slow networks


def between(port: int, step: int) -> object:
    """A network that carries `step` bytes at a time, both ways."""

    def serve(taken: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as up:
            up.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def carry(source: socket.socket, sink: socket.socket) -> None:
                try:
                    while data := source.recv(step):
                        sink.sendall(data)
                    sink.shutdown(socket.SHUT_WR)
                except OSError:
                    return

            down = threading.Thread(target=carry, args=(up, taken))
            down.start()
            carry(taken, up)
            down.join()

    return serve


def test_a_byte_at_a_time_is_enough(pki: LinkPki, server: Shown, gateway: Shown) -> None:
    context = open_context(sm_terms(pki, gateway), where="test")
    with (
        answering(echo(SmServer(pki.root.certificate, server))) as behind,  # type: ignore[arg-type]
        answering(between(behind, 1)) as port,  # type: ignore[arg-type]
    ):
        line = shake(context, port)
        try:
            line.send(b"x" * 500)
            got = b""
            while len(got) < 500:
                got += line.recv(7)
            line.send(b"bye")
            assert line.recv(1) == b""
        finally:
            line.close()


def test_a_handshake_has_one_deadline_however_slowly_it_is_fed(
    pki: LinkPki, server: Shown, gateway: Shown
) -> None:
    stop = threading.Event()

    def drip(taken: socket.socket) -> None:
        # A TLS record that says it has 16 KiB, and never comes to its end.
        taken.sendall(b"\x16\x03\x03\x40\x00\x02")
        while not stop.wait(0.01):
            taken.sendall(b"\x00")

    context = open_context(sm_terms(pki, gateway), where="test")
    with answering(drip) as port:
        try:
            with pytest.raises((TimeoutError, Refused)):
                shake(context, port, timeout=0.3)
        finally:
            stop.set()


def test_a_reset_in_the_middle_of_the_handshake_is_named(pki: LinkPki, gateway: Shown) -> None:
    def reset(taken: socket.socket) -> None:
        taken.recv(100)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    context = open_context(sm_terms(pki, gateway), where="test")
    for handler in (reset, lambda taken: taken.recv(10000)):
        with answering(handler) as port, pytest.raises(Refused) as caught:
            shake(context, port)
        assert caught.value.code == "HG-5072"


def test_a_port_that_speaks_no_tls_is_named(pki: LinkPki, gateway: Shown) -> None:
    context = open_context(sm_terms(pki, gateway), where="test")
    greet = b"SSH-2.0-OpenSSH_9.2\r\n"
    with answering(lambda taken: taken.sendall(greet)) as port, pytest.raises(Refused) as caught:
        shake(context, port)
    assert caught.value.code == "HG-5071"


def test_nothing_is_said_to_a_peer_that_was_not_judged(pki: LinkPki, gateway: Shown) -> None:
    context = open_context(sm_terms(pki, gateway), where="test")
    a, b = socket.socketpair()
    with b:
        line = context.wrap_socket(a, server_hostname="127.0.0.1")
        for attempt in (lambda: line.send(b"secret"), lambda: line.recv(1)):
            with pytest.raises(Refused):
                attempt()
        line.close()
        b.settimeout(5)
        assert b.recv(100) == b""


class Wire:
    """A line whose far end is in this thread: the library's own server, over a socket pair."""

    def __init__(self, pki: LinkPki, server: Shown, gateway: Shown) -> None:
        self.near, self.far = socket.socketpair()
        self.end = SmServer(pki.root.certificate, server).connection()
        context = open_context(sm_terms(pki, gateway), where="test")
        self.line = context.wrap_socket(self.near, server_hostname="127.0.0.1")
        thread = threading.Thread(target=self.line.do_handshake)
        thread.start()
        while True:
            try:
                self.end.do_handshake()
                break
            except SSL.WantReadError:
                pump(self.end, self.far)
                self.end.bio_write(self.far.recv(65536))
        pump(self.end, self.far)
        thread.join()
        self.line.settimeout(0)

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.end.sendall(message)
        pump(self.end, self.far)

    def hear(self) -> bytes:
        """Everything that came, decrypted."""
        self.far.settimeout(0.0)
        got = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                self.end.bio_write(self.far.recv(65536))
            try:
                got += self.end.recv(65536)
            except SSL.WantReadError:
                return got

    def close(self) -> None:
        self.line.close()
        self.far.close()


@pytest.fixture
def wire(pki: LinkPki, server: Shown, gateway: Shown) -> object:
    made = Wire(pki, server, gateway)
    yield made
    made.close()


def test_what_has_come_never_waits_for_the_network(wire: Wire) -> None:
    """Bytes inside the library wake no event loop: `pending` must tell of every one."""
    wire.say(b"a" * 10, b"b" * 20_000, b"c")
    got = wire.line.recv(1)
    while wire.line.pending():
        got += wire.line.recv(4096)
    assert got == b"a" * 10 + b"b" * 20_000 + b"c"
    with pytest.raises(ssl.SSLWantReadError):
        wire.line.recv(1)


def test_a_network_that_is_full_takes_every_byte_once(wire: Wire) -> None:
    wire.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = bytes(range(256)) * 4000
    sent, got, waits = 0, b"", 0
    while sent < len(data):
        try:
            sent += wire.line.send(data[sent:])
        except ssl.SSLWantWriteError:
            waits += 1
            got += wire.hear()
    got += wire.hear()
    assert waits > 3
    assert got == data


def test_tickets_behind_the_handshake_are_no_data(wire: Wire) -> None:
    """They came already; new keys, the other message of that kind, are met in test_link_tongsuo."""
    with pytest.raises(ssl.SSLWantReadError):
        wire.line.recv(100)
    assert wire.line.pending() == 0
    wire.say(b"after the tickets")
    assert wire.line.recv(100) == b"after the tickets"


def test_a_half_closed_line_is_told_to_who_asks(wire: Wire) -> None:
    """A goodbye without the end of TCP: the kernel stays silent, so `pending` says there is something."""
    wire.say(b"last words")
    wire.end.shutdown()
    pump(wire.end, wire.far)
    assert wire.line.recv(100) == b"last words"
    assert wire.line.pending()
    assert wire.line.recv(100) == b""


def test_an_altered_byte_ends_the_line(wire: Wire) -> None:
    wire.end.send(b"level 3.482")
    record = bytearray(wire.end.bio_read(65536))
    record[-1] ^= 1
    wire.far.sendall(record)
    with pytest.raises(Refused):
        wire.line.recv(100)
    assert wire.line.refused is not None
    with pytest.raises(Refused):
        wire.line.recv(100)


def test_a_line_that_is_let_go_leaves_nothing(pki: LinkPki, server: Shown, gateway: Shown) -> None:
    import gc
    import weakref

    wires = [Wire(pki, server, gateway) for _ in range(3)]
    gone = [weakref.ref(each.line) for each in wires]
    for each in wires:
        each.close()
        each.line.close()
    del wires, each
    gc.collect()
    assert [each() for each in gone] == [None, None, None]


def spoiled(port: int, at: int) -> object:
    """A network that changes one bit of what the server says, `at` bytes into it."""

    def serve(taken: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as up:
            seen = 0

            def down() -> None:
                nonlocal seen
                with contextlib.suppress(OSError):
                    while data := bytearray(up.recv(65536)):
                        if seen <= at < seen + len(data):
                            data[at - seen] ^= 0x04
                        seen += len(data)
                        taken.sendall(data)
                    taken.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=down)
            thread.start()
            with contextlib.suppress(OSError):
                while data := taken.recv(65536):
                    up.sendall(data)
                up.shutdown(socket.SHUT_RDWR)
            thread.join()

    return serve


@pytest.mark.parametrize(
    "at", [0, *range(3, 12), 43, 44, 76, 80, 95, 130, 140, 160, 300, 700, 1000]
)
def test_a_byte_changed_anywhere_in_the_servers_hello_ends_the_handshake(
    pki: LinkPki, server: Shown, gateway: Shown, at: int
) -> None:
    """Random, session id, suite, extensions, ciphertext: a refusal, and nothing but one.

    Bytes 1 and 2 are the record's legacy version, which both ends must ignore (RFC 8446, section 5.1).
    """
    context = open_context(sm_terms(pki, gateway), where="test")
    with (
        answering(echo(SmServer(pki.root.certificate, server))) as behind,  # type: ignore[arg-type]
        answering(spoiled(behind, at)) as port,  # type: ignore[arg-type]
        # A record that says it is longer than it is keeps both ends waiting: that is the deadline's.
        pytest.raises((Refused, TimeoutError)),
    ):
        shake(context, port, timeout=2).close()


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=400), max_size=5), st.booleans())
def test_hostile_bytes_are_a_refusal_and_nothing_else(
    pki: LinkPki, gateway: Shown, parts: list[bytes], begins_well: bool
) -> None:
    context = open_context(sm_terms(pki, gateway), where="test")
    near, far = socket.socketpair()
    with far:
        line = context.wrap_socket(near, server_hostname="127.0.0.1")
        try:
            if begins_well:
                far.sendall(b"\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03" + bytes(32))
            for part in parts:
                far.sendall(part)
            far.shutdown(socket.SHUT_WR)
            line.settimeout(30)
            with pytest.raises(Refused):
                line.do_handshake()
        finally:
            line.close()


# ---------------------------------------------------------------- what enrolment brought


def test_the_enrolled_pair_is_shown_from_memory_and_asked_for_each_time(
    pki: LinkPki, server: Shown, gateway: Shown
) -> None:
    """Its key lies sealed on disk: no file of it can be named, and a renewed one counts at once."""
    terms = Terms(kind="rfc8998", ca_pem=pki.ca_pem, gateway="gate-7")
    context = open_context(terms, where="test")
    offered = SmServer(pki.root.certificate, server)

    def try_once() -> str:
        with answering(echo(offered)) as port:  # type: ignore[arg-type]
            try:
                shake(context, port).close()
            except Refused as refusal:
                return refusal.code
        return "shaken"

    assert try_once() == "HG-5087"
    shown = [Pair(gateway.certificate.pem(), gateway.key.pem())]
    hold("gate-7", lambda: shown[-1])
    try:
        assert try_once() == "shaken"
        assert "PRIVATE" not in repr(shown)
        wrong = pki.issue("gate-7", Role.GATEWAY)
        shown.append(Pair(wrong.certificate.pem(), wrong.key.pem()))
        assert try_once() == "HG-5085"
        old = pki.gateway("gate-7", begin=NOW - 9 * DAY, end=NOW - DAY)
        shown.append(Pair(old.certificate.pem(), old.key.pem()))
        assert try_once() == "HG-5085"
        # A key of somebody else's.
        shown.append(Pair(gateway.certificate.pem(), wrong.key.pem()))
        assert try_once() == "HG-5085"
        renewed = pki.gateway("gate-7")
        shown.append(Pair(renewed.certificate.pem(), renewed.key.pem()))
        assert try_once() == "shaken"
    finally:
        hold("gate-7", None)
    assert try_once() == "HG-5087"


def test_a_key_that_a_module_keeps_is_a_refusal_and_no_crash(pki: LinkPki, server: Shown) -> None:
    def kept() -> Pair:
        raise SecurityError("the module gives no key out")

    context = open_context(Terms(kind="rfc8998", ca_pem=pki.ca_pem, gateway="g"), where="test")
    hold("g", kept)
    try:
        with answering(lambda taken: None) as port, pytest.raises(Refused) as caught:
            shake(context, port)
    finally:
        hold("g", None)
    assert caught.value.code == "HG-5085"


# ---------------------------------------------------------------- certificates that openssl makes

ID = ("-sigopt", "distid:1234567812345678")
GOOD = "keyUsage=critical,digitalSignature\nsubjectAltName=IP:127.0.0.1\n"
LINK_OU = "/OU=headgate-platform-link/CN=broker"


class OpenSSL:
    """A root and a server made by the command, with one thing wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("genpkey", "-algorithm", "SM2", "-out", "ca.key")

    def run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def root(self, *, constraints: str = "", days: str = "300") -> None:
        (self.folder / "ca.cnf").write_text(
            "[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n"
            "[dn]\nOU=headgate-ca\nCN=foreign root\n[v3]\nbasicConstraints=critical,CA:TRUE\n"
            f"keyUsage=critical,keyCertSign,cRLSign\n{constraints}\n"
        )
        self.run("req", "-x509", "-sm3", *ID, "-key", "ca.key", "-config", "ca.cnf", "-days", days, "-out", "ca.crt")  # fmt: skip # noqa: E501

    def server(
        self, extensions: str = GOOD, *, empty_id: bool = False, subject: str = LINK_OU, key: str = "SM2"
    ) -> Shown:  # fmt: skip
        kind = ("SM2",) if key == "SM2" else ("EC", "-pkeyopt", f"ec_paramgen_curve:{key}")
        self.run("genpkey", "-algorithm", *kind, "-out", "s.key")
        digest = ID if key == "SM2" else ()
        self.run("req", "-new", "-sm3" if key == "SM2" else "-sha256", *digest, "-key", "s.key", "-subj", subject, "-out", "s.csr")  # fmt: skip # noqa: E501
        (self.folder / "s.ext").write_text(extensions)
        proof = ("-vfyopt", "distid:1234567812345678") if key == "SM2" else ()
        sign = () if empty_id else ID
        self.run(
            "x509", "-req", "-sm3", *sign, *proof, "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-extfile", "s.ext", "-days", "30", "-CAcreateserial", "-out", "s.crt",
        )  # fmt: skip
        return Shown(None, None, self.folder / "s.crt", self.folder / "s.key")  # type: ignore[arg-type]


def foreign(made: OpenSSL, pki: LinkPki, gateway: Shown, shown: Shown, **how: bytes) -> str:
    """What comes of meeting this server: "met", or the code of the refusal."""
    offered = SmServer(pki.root.certificate, shown, clients=None, **how)  # type: ignore[arg-type]
    terms = sm_terms(pki, gateway, ca_pem=(made.folder / "ca.crt").read_text())
    try:
        meet(terms, offered)
    except Refused as refusal:
        return refusal.code
    except ConfigError as error:
        return error.problems[0].code
    return "met"


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("trap", "codes"),
    [
        ("none", ["met"]),
        ("empty-id", ["HG-5060"]),
        ("usage", ["HG-5060", "HG-5068"]),
        ("no-usage", ["HG-5060", "HG-5068"]),
        ("client-only", ["HG-5060", "HG-5068"]),
        ("constraints", ["HG-5031"]),  # a root that says so is not taken at all
        ("critical", ["HG-5060", "HG-5068"]),
        ("no-role", ["HG-5068"]),
        ("two-roles", ["HG-5068"]),
        ("ca-as-server", ["HG-5060", "HG-5068"]),
        ("no-name", ["HG-5061"]),
        ("nul-name", ["HG-5060", "HG-5061"]),
    ],
)
def test_certificates_that_openssl_makes_with_a_trap_are_refused(
    tmp_path: Path, pki: LinkPki, gateway: Shown, trap: str, codes: list[str]
) -> None:
    made = OpenSSL(tmp_path)
    made.root(
        constraints="nameConstraints=permitted;DNS:elsewhere.example"
        if trap == "constraints"
        else ""
    )
    san = "subjectAltName=IP:127.0.0.1\n"
    extensions = {
        "usage": "keyUsage=critical,keyEncipherment\n" + san,
        "no-usage": san,
        "client-only": GOOD + "extendedKeyUsage=clientAuth\n",
        "critical": GOOD + "1.2.3.4.5=critical,ASN1:NULL\n",
        "ca-as-server": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,digitalSignature\n"
        + san,
        "no-name": "keyUsage=critical,digitalSignature\n",
        "nul-name": "keyUsage=critical,digitalSignature\nsubjectAltName=DNS:127.0.0.1\n",
    }.get(trap, GOOD)
    subject = {
        "no-role": "/CN=127.0.0.1",
        "two-roles": "/OU=headgate-platform-link/OU=headgate-gateway/CN=broker",
    }.get(trap, LINK_OU)
    shown = made.server(extensions, empty_id=trap == "empty-id", subject=subject)
    assert foreign(made, pki, gateway, shown) in codes


@pytest.mark.peer("openssl")
def test_a_p256_certificate_below_the_same_root_is_refused(
    tmp_path: Path, pki: LinkPki, gateway: Shown
) -> None:
    """A server that shows a NIST key under an SM2 root, and really offers it."""
    made = OpenSSL(tmp_path)
    made.root()
    shown = made.server(key="P-256")
    how = {"signatures": b"ecdsa_secp256r1_sha256", "groups": b"curveSM2:P-256"}
    assert foreign(made, pki, gateway, shown, **how) in ("HG-5069", "HG-5070")


def test_an_expired_root_proves_nothing(tmp_path: Path, pki: LinkPki, gateway: Shown) -> None:
    old = LinkPki(tmp_path / "old", "old root", begin=NOW - 9 * DAY, end=NOW - DAY)
    offered = SmServer(old.root.certificate, old.server(), clients=None)
    terms = sm_terms(pki, gateway, ca_pem=old.ca_pem)
    assert refused(terms, offered).code == "HG-5062"
