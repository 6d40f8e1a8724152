"""TLS by the standard library against servers that really offer what must be refused."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from kit.certificates import DAY, Authority
from kit.links import at
from kit.sm_links import answering
from peers.mosquitto import Mosquitto

from headgate.env import Env
from headgate.errors import ConfigError, UplinkUnavailable
from headgate.link import Facts, Refused, Terms, open_context
from headgate.mqtt import Settings, connect

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("platform root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


class Server:
    """What an ordinary TLS server offers."""

    def __init__(
        self,
        authority: Authority,
        folder: Path,
        *,
        hosts: tuple[str, ...] = ("127.0.0.1",),
        begin: int = -1,
        end: int = 30,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        clients: Authority | None = None,
    ) -> None:
        self.certificate = authority.issue(
            folder / "server", "urn:headgate:broker", hosts, begin=begin * DAY, end=end * DAY
        )
        chain = folder / "server.pem"
        chain.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.maximum_version = newest
        self.context.load_cert_chain(chain, folder / "server" / "key.pem")
        if clients is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=pem(clients.certificate))

    def serve(self, taken: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError, OSError):  # noqa: SIM117 - the wrap itself may fail
            with self.context.wrap_socket(taken, server_side=True) as secured:
                secured.sendall(secured.recv(100))


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def lists(authority: Authority, folder: Path, *revoked: x509.Certificate) -> Path:
    """A revocation list as PEM."""
    authority.revoke(revoked[0], folder / "list.der")
    found = x509.load_der_x509_crl((folder / "list.der").read_bytes())
    path = folder / f"{len(list(folder.iterdir()))}.pem"
    path.write_bytes(found.public_bytes(Encoding.PEM))
    return path


def meet(terms: Terms, server: Server, name: str = "127.0.0.1", env: Env | None = None) -> Facts:
    context = open_context(terms, where="test", env=env)
    with answering(server.serve) as port:
        line = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname=name
        )
        try:
            line.settimeout(30)
            line.do_handshake()
            line.send(b"level")
            assert line.recv(100) == b"level"
            return line.facts()
        finally:
            line.close()


def refused(terms: Terms, server: Server, name: str = "127.0.0.1", env: Env | None = None) -> str:
    with pytest.raises(Refused) as caught:
        meet(terms, server, name, env)
    return caught.value.code


def test_tls_1_3_is_agreed_and_the_named_root_alone_is_trusted(
    authority: Authority, folder: Path
) -> None:
    server = Server(authority, folder)
    assert meet(Terms(ca_pem=pem(authority.certificate)), server).version == "TLSv1.3"
    # Same name, another key.
    assert refused(Terms(ca_pem=pem(Authority("platform root").certificate)), server) == "HG-5060"
    assert refused(Terms(trust="system"), server) == "HG-5060"


def test_an_issuing_ca_below_an_unknown_root_may_be_pinned(folder: Path) -> None:
    issuing = Authority("district", above=Authority("city root"))
    server = Server(issuing, folder)
    assert meet(Terms(ca_pem=pem(issuing.certificate)), server).version == "TLSv1.3"


@pytest.mark.parametrize("hosts", [("127.0.0.2",), ("localhost",), ("127.0.0.1.example",)])
def test_another_name_is_refused(authority: Authority, folder: Path, hosts: tuple[str]) -> None:
    server = Server(authority, folder, hosts=hosts)
    assert refused(Terms(ca_pem=pem(authority.certificate)), server) == "HG-5061"


def test_a_name_of_the_site_file_counts_in_place_of_the_address(
    authority: Authority, folder: Path
) -> None:
    server = Server(authority, folder, hosts=("broker.example",))
    terms = Terms(ca_pem=pem(authority.certificate), server_name="broker.example")
    assert meet(terms, server).peer == "broker.example"
    # The common name of these certificates is "broker".
    named = Terms(ca_pem=pem(authority.certificate), server_name="broker")
    assert refused(named, server) == "HG-5061"


def test_an_old_server_is_let_in_by_a_visible_switch_only(
    authority: Authority, folder: Path
) -> None:
    server = Server(authority, folder, newest=ssl.TLSVersion.TLSv1_2)
    assert refused(Terms(ca_pem=pem(authority.certificate)), server) == "HG-5065"
    old = Terms(ca_pem=pem(authority.certificate), minimum="1.2")
    assert meet(old, server).version == "TLSv1.2"


def test_a_revoked_server_is_refused_and_one_without_a_list_too(
    authority: Authority, folder: Path
) -> None:
    server = Server(authority, folder)
    other = authority.issue(folder / "other", "urn:headgate:other")
    ca = pem(authority.certificate)
    assert meet(Terms(ca_pem=ca, crl=lists(authority, folder, other)), server).version == "TLSv1.3"
    gone = lists(authority, folder, server.certificate)
    assert refused(Terms(ca_pem=ca, crl=gone), server) == "HG-5066"
    foreign = Authority("another")
    strange = lists(foreign, folder, foreign.issue(folder / "x", "urn:headgate:x"))
    assert refused(Terms(ca_pem=ca, crl=strange), server) == "HG-5067"


# ---------------------------------------------------------------- the clock


def test_a_set_clock_judges_both_ends_of_a_certificates_life(
    authority: Authority, folder: Path
) -> None:
    terms = Terms(ca_pem=pem(authority.certificate))
    assert refused(terms, Server(authority, folder, begin=-9, end=-1), env=at(NOW)) == "HG-5062"
    assert refused(terms, Server(authority, folder, begin=2, end=9), env=at(NOW)) == "HG-5063"


@pytest.mark.parametrize("wall", [datetime(1970, 1, 1, tzinfo=UTC), NOW - 30 * DAY])
def test_a_box_whose_clock_is_behind_still_reaches_its_platform(
    authority: Authority, folder: Path, wall: datetime
) -> None:
    terms = Terms(ca_pem=pem(authority.certificate))
    env = at(wall, "unsynced")
    assert meet(terms, Server(authority, folder, begin=2, end=9), env=env).version == "TLSv1.3"


def test_a_box_without_the_time_refuses_what_has_certainly_expired(
    authority: Authority, folder: Path
) -> None:
    """1970 is not the time: this release was made later than that."""
    terms = Terms(ca_pem=pem(authority.certificate))
    long_ago = Server(authority, folder, begin=-900, end=-400)
    assert (
        refused(terms, long_ago, env=at(datetime(1970, 1, 1, tzinfo=UTC), "unsynced")) == "HG-5062"
    )
    # A clock that nobody sets, and that is plausible, still counts as the least that time can be.
    lately = Server(authority, folder, begin=-9, end=-1)
    assert refused(terms, lately, env=at(NOW, "unsynced")) == "HG-5062"


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda own: Terms(), "HG-5081"),
        (lambda own: Terms(ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), "HG-5031"),
        (lambda own: Terms(ca_pem="rubbish"), "HG-5031"),
        (lambda own: Terms(ca_pem=own, certificate=Path("/nowhere.pem"), key=Path("/no.key")), "HG-5031"),
        (lambda own: Terms(ca_pem=own, key=Path("/no.key")), "HG-5031"),
        (lambda own: Terms(ca_pem=own, crl=Path("/nowhere.crl")), "HG-5031"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_files_is_found_off_the_network(
    authority: Authority, change: Callable[[str], Terms], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_context(change(pem(authority.certificate)), where="uplink city")
    assert [(each.where, each.code) for each in caught.value.problems] == [("uplink city", code)]


def test_an_encrypted_key_is_a_mistake_and_not_a_question_on_the_terminal(
    authority: Authority, folder: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    mine = authority.issue(folder / "mine", "urn:headgate:gate-7")
    (folder / "mine.pem").write_text(pem(mine))
    key = serialization.load_pem_private_key((folder / "mine/key.pem").read_bytes(), None)
    (folder / "locked.key").write_bytes(
        key.private_bytes(
            Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    terms = Terms(
        ca_pem=pem(authority.certificate),
        certificate=folder / "mine.pem",
        key=folder / "locked.key",
    )
    with pytest.raises(ConfigError) as caught:
        open_context(terms, where="uplink city")
    assert "encrypted" in str(caught.value.problems[0].fields["reason"])


# ---------------------------------------------------------------- a real broker


@pytest.fixture
def own(authority: Authority, folder: Path) -> Terms:
    mine = authority.issue(folder / "gate", "urn:headgate:gate-7")
    (folder / "gate.pem").write_text(pem(mine))
    return Terms(
        ca_pem=pem(authority.certificate),
        certificate=folder / "gate.pem",
        key=folder / "gate" / "key.pem",
    )


@pytest.mark.peer("mosquitto")
async def test_a_broker_that_does_not_know_our_certificate_is_understood(
    tmp_path: Path, own: Terms
) -> None:
    async with Mosquitto(tmp_path, tls=True, client_certificates=True) as broker:
        here = Settings(host="127.0.0.1", port=broker.port, tls=True, timeout_s=600)
        terms = msgspec.structs.replace(own, ca_pem=broker.ca_pem)
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(here, tls=open_context(terms, where="test")):
                pass
        assert caught.value.code in ("HG-5064", "HG-5074")  # the alert, or a reset that overtook it


async def test_tls_that_is_wanted_and_not_there_opens_no_connection() -> None:
    """Neither plain nor with whomever the machine trusts."""
    with pytest.raises(ConfigError):
        async with connect(Settings(host="127.0.0.1", port=1, tls=True)):
            pass
