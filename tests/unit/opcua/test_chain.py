"""Whom a trusted CA vouches for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from kit.certificates import DAY, Authority

from headgate_drivers.opcua.chain import Authorities, Verdict, parts

HOST = "10.0.3.40"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority("City Water CA")


@pytest.fixture(scope="module")
def between(root: Authority) -> Authority:
    return Authority("Pumping Plant CA", root)


def judge(
    ca: Authority, chain: list[x509.Certificate], host: str = HOST, **more: list[object]
) -> Verdict:
    authorities = Authorities(
        [ca.certificate, *more.get("trusted", [])], more.get("issuers", []), more.get("lists", [])
    )
    return authorities.judge(chain, host, NOW)


def test_a_server_of_a_trusted_ca_is_accepted_at_its_host(root: Authority, tmp_path: Path) -> None:
    server = root.issue(tmp_path, "urn:plc", [HOST, "plc.city.example"])
    assert judge(root, [server]) == "accepted"
    assert judge(root, [server], "PLC.city.example") == "accepted"
    assert judge(root, [server], "10.0.3.41") == "host"
    assert judge(Authority("City Water CA"), [server]) == "unknown"  # the same name, another key


def test_a_ca_between_may_be_sent_along_or_lie_here(
    root: Authority, between: Authority, tmp_path: Path
) -> None:
    server = between.issue(tmp_path, "urn:plc", [HOST])
    assert judge(root, [server]) == "unknown"
    assert judge(root, [server, between.certificate]) == "accepted"
    assert judge(root, [server], issuers=[between.certificate]) == "accepted"


def test_what_is_no_ca_issues_nothing(root: Authority, tmp_path: Path) -> None:
    """A server's own key must not make other servers trusted."""
    server = root.issue(tmp_path, "urn:plc", [HOST])
    false = Authority("plc")
    false.key = x509_key(tmp_path / "key.pem")
    false.certificate = server
    forged = false.issue(tmp_path / "forged", "urn:other", [HOST])
    assert judge(root, [forged, server], trusted=[server]) == "unknown"


def x509_key(path: Path):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(path.read_bytes(), None)


def test_dates_count_for_what_a_ca_vouches_for_and_not_for_what_was_accepted_by_hand(
    root: Authority, tmp_path: Path
) -> None:
    old = root.issue(tmp_path, "urn:plc", [HOST], begin=-20 * DAY, end=-DAY)
    early = root.issue(tmp_path, "urn:plc", [HOST], begin=DAY, end=20 * DAY)
    assert judge(root, [old]) == "dates"
    assert judge(root, [early]) == "dates"
    assert judge(root, [old], trusted=[old]) == "accepted"
    assert Authorities([root.certificate], [], []).judge([old], HOST, None) == "accepted"


def test_what_was_revoked_is_not_accepted_even_by_hand(
    root: Authority, between: Authority, tmp_path: Path
) -> None:
    server = between.issue(tmp_path, "urn:plc", [HOST])
    between.revoke(server, tmp_path / "a.crl")
    ours = x509.load_der_x509_crl((tmp_path / "a.crl").read_bytes())
    chain = [server, between.certificate]
    assert judge(root, chain, lists=[ours]) == "revoked"
    assert judge(root, chain, lists=[ours], trusted=[server]) == "revoked"
    forged = Authority("Pumping Plant CA")
    forged.revoke(server, tmp_path / "b.crl")
    theirs = x509.load_der_x509_crl((tmp_path / "b.crl").read_bytes())
    assert judge(root, chain, lists=[theirs]) == "accepted"
    root.revoke(between.certificate, tmp_path / "c.crl")
    above = x509.load_der_x509_crl((tmp_path / "c.crl").read_bytes())
    assert judge(root, chain, lists=[above]) == "revoked"


def test_a_chain_is_cut_into_its_certificates(root: Authority, between: Authority) -> None:
    assert parts(between.der + root.der) == [between.der, root.der]
    assert parts(b"") == [b""]
