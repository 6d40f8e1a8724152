"""Revocation lists and the CA in a folder against the `openssl` command, both ways."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.openssl import CA_EXTENSIONS, ID, LEAF_EXTENSIONS, P256, Authority, OpenSSL

from headgate.crypto.authority import CertificateAuthority, Settings, found_root, unlock
from headgate.crypto.crl import Reason, RevocationList, check_signature
from headgate.crypto.issue import make_request, subject_name
from headgate.crypto.provider import default_provider
from headgate.crypto.revocation import Freshness
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.env import system_env
from headgate.errors import CertificateRefused

pytestmark = pytest.mark.peer("openssl")

PROVIDER = default_provider()
FULL = "authorityKeyIdentifier=keyid:always\n"
SAID = CA_EXTENSIONS + "subjectKeyIdentifier=hash\n"
NOW = datetime.now(UTC)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    return OpenSSL(tmp_path)


@pytest.fixture
def authority(openssl: OpenSSL) -> Authority:
    return Authority(openssl)


# --- openssl's, judged by us -------------------------------------------------------------------


def test_a_list_made_by_openssl_revokes_with_us(authority: Authority) -> None:
    root = authority.load("root", None, SAID)
    lost = authority.load("gw-1", "root", LEAF_EXTENSIONS, serial="0x" + "5a" * 16)
    kept = authority.load("gw-2", "root", LEAF_EXTENSIONS, serial="9")
    gone = authority.load("gw-3", "root", LEAF_EXTENSIONS, serial="10")
    path = authority.crl("root", ("gw-1", "keyCompromise"), ("gw-3", ""), extensions=FULL)
    crl = RevocationList.load(path.read_bytes())
    check_signature(crl, root, PROVIDER)
    assert (crl.issuer_cn, crl.number, crl.issuer_key_id) == ("root", 0x1000, root.key_id)
    assert crl.revoked[lost.serial].reason is Reason.KEY_COMPROMISE
    assert crl.revoked[gone.serial].reason is Reason.UNSPECIFIED
    assert timedelta(days=29) < crl.next_update - NOW < timedelta(days=31)

    def verify(leaf: Certificate) -> None:
        at = datetime.now(UTC) + timedelta(hours=1)
        verify_chain(
            leaf, [], [root], usage=Usage.SIGN, at=at, provider=PROVIDER,
            crls=[crl], freshness=Freshness.REQUIRED,
        )  # fmt: skip

    verify(kept)
    for each in (lost, gone):
        with pytest.raises(CertificateRefused, match="revoked"):
            verify(each)


def test_a_list_signed_with_the_empty_id_counts_for_nothing(authority: Authority) -> None:
    root = authority.load("root", None, SAID)
    crl = RevocationList.load(authority.crl("root", extensions=FULL, signer_id=None).read_bytes())
    with pytest.raises(CertificateRefused, match="empty SM2 ID: openssl wants -sigopt"):
        check_signature(crl, root, PROVIDER)


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        (FULL + "2.5.29.27=critical,ASN1:INTEGER:1\n", "delta"),
        (FULL + "issuingDistributionPoint=critical,onlyuser:TRUE\n", "part of a list"),
        (FULL + "1.2.3.4=critical,ASN1:NULL\n", "critical extension 1.2.3.4"),
    ],
)
def test_a_list_that_is_not_the_whole_list_is_refused(
    authority: Authority, extensions: str, reason: str
) -> None:
    authority.certificate("root", None, SAID)
    path = authority.crl("root", extensions=extensions)
    with pytest.raises(CertificateRefused, match=reason):
        RevocationList.load(path.read_bytes())


def test_a_version_1_list_is_refused_and_the_setting_is_named(
    authority: Authority, openssl: OpenSSL
) -> None:
    authority.certificate("root", None, SAID)
    authority.crl("root", extensions=FULL)
    config = (openssl.folder / "ca.cnf").read_text()
    plain = re.sub(r"crl_extensions=.*|crlnumber=.*", "", config)
    (openssl.folder / "plain.cnf").write_text(plain)
    openssl(
        "ca", "-config", "plain.cnf", "-cert", "root.crt", "-keyfile", "root.key",
        "-gencrl", "-sigopt", ID, "-out", "v1.crl",
    )  # fmt: skip
    with pytest.raises(CertificateRefused, match="crl_extensions"):
        RevocationList.load((openssl.folder / "v1.crl").read_bytes())


def test_a_list_of_another_algorithm_is_refused(authority: Authority) -> None:
    authority.certificate("root", None, CA_EXTENSIONS, key=P256)
    path = authority.crl("root", extensions=FULL, signer_id=None, digest="sha256")
    with pytest.raises(CertificateRefused, match="not signed with SM2-with-SM3"):
        RevocationList.load(path.read_bytes())


# --- ours, judged by openssl -------------------------------------------------------------------


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    env, folder = system_env(), tmp_path / "ca"
    settings = Settings(name="根 Root", organization="City", crl_url="http://pki.example/ca.crl")
    found_root(env, folder, settings, PROVIDER, passphrase="three blind mice", iterations=10_000)
    key = unlock(env.files, folder, "three blind mice", PROVIDER)
    return CertificateAuthority(env, folder, PROVIDER, key)


def test_openssl_verifies_the_signature_of_our_list_and_only_with_the_id(
    openssl: OpenSSL, ca: CertificateAuthority
) -> None:
    key = PROVIDER.sm2_generate()
    made = ca.issue(make_request(subject_name("x", Role.GATEWAY), key), Role.GATEWAY, "gw-1")
    ca.revoke(made.serial, Reason.KEY_COMPROMISE)
    crl = ca.crl()
    text = openssl("crl", "-in", "ca/ca.crl", "-noout", "-text")
    for part in ("Version 2", "SM2-with-SM3", f"{made.serial:X}", "Key Compromise", "CRL Number"):
        assert part in text
    openssl("x509", "-in", "ca/ca.crt", "-noout", "-pubkey", "-out", "ca.pub")
    (openssl.folder / "tbs").write_bytes(crl.tbs)
    (openssl.folder / "sig").write_bytes(crl.signature)
    check = ("dgst", "-sm3", "-verify", "ca.pub", "-signature", "sig")
    assert "Verified OK" in openssl(*check, "-sigopt", ID, "tbs")
    openssl(*check, "tbs", fails=True)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CA])
def test_openssl_accepts_what_our_ca_issues_for_every_role(
    openssl: OpenSSL, ca: CertificateAuthority, role: Role
) -> None:
    request = make_request(subject_name("x", Role.GATEWAY), PROVIDER.sm2_generate())
    if role is Role.GATEWAY_ENCRYPTION:
        made = ca.issue_pair(request, "gw-1").encryption
    else:
        names = Names(("a.example",), ("::1",)) if role is Role.PLATFORM_LINK else None
        made = ca.issue(request, role, "gw-1", names=names)
    (openssl.folder / "leaf.crt").write_bytes(made.pem())
    purposes = {
        Role.GATEWAY_LINK: ("-purpose", "sslclient"),
        Role.PLATFORM_LINK: ("-purpose", "sslserver", "-verify_hostname", "a.example"),
    }
    strict = ("verify", "-x509_strict", "-vfyopt", ID, *purposes.get(role, ()))
    assert "OK" in openssl(*strict, "-CAfile", "ca/ca.crt", "leaf.crt")
    text = openssl("x509", "-in", "leaf.crt", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
    assert "URI:http://pki.example/ca.crl" in text
    assert "C=CN,O=City,OU=headgate-ca,CN=根 Root" in text
    openssl("verify", "-vfyopt", ID, "-purpose", "crlsign", "-CAfile", "ca/ca.crt", "leaf.crt",
            fails=True)  # fmt: skip


def test_openssl_cannot_be_had_to_read_the_cas_key(
    openssl: OpenSSL, ca: CertificateAuthority
) -> None:
    openssl("pkey", "-in", "ca/ca.key", "-passin", "pass:three blind mice", fails=True)
