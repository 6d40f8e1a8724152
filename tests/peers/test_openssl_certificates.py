"""Certificates and requests against the `openssl` command, both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.openssl import CA_EXTENSIONS, ID, LEAF_EXTENSIONS, P256, Authority, OpenSSL

from headgate.crypto.certs import write_development_pki
from headgate.crypto.issue import (
    SIGN_USAGE,
    issue_certificate,
    load_request,
    make_request,
    subject_name,
)
from headgate.crypto.provider import default_provider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.env import system_env
from headgate.errors import CertificateRefused

pytestmark = pytest.mark.peer("openssl")

PROVIDER = default_provider()
NOW = datetime.now(UTC)
VERIFY = ("verify", "-x509_strict", "-vfyopt", ID)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    return OpenSSL(tmp_path)


# --- ours, judged by openssl -------------------------------------------------------------------


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    write_development_pki(tmp_path, ["gw-1"], now=NOW, provider=PROVIDER, files=system_env().files)
    return tmp_path


@pytest.mark.parametrize("leaf", ["gateways/gw-1", "platform-receipt", "platform-encryption"])
def test_openssl_accepts_our_chain_with_the_id_and_refuses_it_without(
    openssl: OpenSSL, pki: Path, leaf: str
) -> None:
    assert "OK" in openssl(*VERIFY, "-CAfile", "ca.crt", f"{leaf}.crt")
    openssl("verify", "-CAfile", "ca.crt", f"{leaf}.crt", fails=True)


def test_openssl_reads_what_we_wrote(openssl: OpenSSL, pki: Path) -> None:
    text = openssl("x509", "-in", "gateways/gw-1.crt", "-noout", "-text")
    for part in ("SM2-with-SM3", "ASN1 OID: SM2", "OU = headgate-gateway", "CN = gw-1"):
        assert part in text
    public = openssl("x509", "-in", "gateways/gw-1.crt", "-noout", "-pubkey")
    assert public == openssl("pkey", "-in", "gateways/gw-1.key", "-pubout")


def test_openssl_signs_our_request_and_we_trust_the_result(openssl: OpenSSL, pki: Path) -> None:
    key = PROVIDER.sm2_generate()
    request = make_request(subject_name("gw-2", Role.GATEWAY), key)
    (pki / "gw.csr").write_bytes(request.pem())
    openssl("req", "-in", "gw.csr", "-verify", "-noout", "-vfyopt", ID)
    (pki / "ext").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    )
    openssl(
        "x509", "-req", "-in", "gw.csr", "-vfyopt", ID, "-CA", "ca.crt", "-CAkey", "ca.key",
        "-sm3", "-sigopt", ID, "-days", "30", "-extfile", "ext", "-out", "gw.crt",
    )  # fmt: skip
    leaf = Certificate.load((pki / "gw.crt").read_bytes())
    root = Certificate.load((pki / "ca.crt").read_bytes())
    at = datetime.now(UTC)
    verify_chain(leaf, [], [root], usage=Usage.SIGN, at=at, provider=PROVIDER, role=Role.GATEWAY)
    assert leaf.spki == key.public.spki


# --- openssl's, judged by us -------------------------------------------------------------------


@pytest.fixture
def authority(openssl: OpenSSL) -> Authority:
    return Authority(openssl)


@pytest.fixture
def root(authority: Authority) -> Certificate:
    return authority.load("root", None, CA_EXTENSIONS, role="headgate-ca")


def verify(
    leaf: Certificate,
    *anchors: Certificate,
    between: tuple[Certificate, ...] = (),
    usage: Usage = Usage.SIGN,
    after: timedelta = timedelta(days=1),
) -> None:
    at = datetime.now(UTC) + after
    verify_chain(leaf, between, anchors, usage=usage, at=at, provider=PROVIDER)


def test_a_chain_made_by_openssl_is_trusted(authority: Authority, root: Certificate) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS)
    verify(leaf, root)
    assert (leaf.subject_cn, leaf.role) == ("gw-1", Role.GATEWAY)
    between = authority.load("city", "root", CA_EXTENSIONS, role="headgate-ca")
    verify(authority.load("gw-2", "city", LEAF_EXTENSIONS), root, between=(between,))


def test_an_encryption_certificate_made_by_openssl_is_for_encryption(
    authority: Authority, root: Certificate
) -> None:
    usage = "keyUsage=critical,keyEncipherment,dataEncipherment,keyAgreement\n"
    leaf = authority.load("platform", "root", usage)
    verify(leaf, root, usage=Usage.ENCRYPT)
    with pytest.raises(CertificateRefused, match="key usage"):
        verify(leaf, root)


def test_a_certificate_signed_with_the_empty_id_is_refused(
    openssl: OpenSSL, authority: Authority, root: Certificate
) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS, signer_id=None)
    with pytest.raises(CertificateRefused, match="empty SM2 ID"):
        verify(leaf, root)


def test_an_expired_certificate_is_refused(authority: Authority, root: Certificate) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS)
    with pytest.raises(CertificateRefused, match="expired"):
        verify(leaf, root, after=timedelta(days=31))
    with pytest.raises(CertificateRefused, match="not valid before"):
        verify(leaf, root, after=timedelta(days=-1))


def test_an_issuer_that_is_no_ca_is_refused(authority: Authority, root: Certificate) -> None:
    middle = authority.load("middle", "root", LEAF_EXTENSIONS)
    leaf = authority.load("gw-1", "middle", LEAF_EXTENSIONS)
    with pytest.raises(CertificateRefused, match="is no CA"):
        verify(leaf, root, between=(middle,))


def test_an_issuer_without_the_right_to_sign_certificates_is_refused(
    authority: Authority, root: Certificate
) -> None:
    extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n"
    middle = authority.load("middle", "root", extensions)
    leaf = authority.load("gw-1", "middle", LEAF_EXTENSIONS)
    with pytest.raises(CertificateRefused, match="does not allow it to sign"):
        verify(leaf, root, between=(middle,))


def test_another_curve_is_refused_even_when_an_sm2_ca_vouches_for_it(
    authority: Authority, root: Certificate
) -> None:
    with pytest.raises(CertificateRefused, match="not an SM2 key"):
        authority.load("gw-1", "root", LEAF_EXTENSIONS, key=P256)


def test_another_algorithm_is_refused(authority: Authority) -> None:
    with pytest.raises(CertificateRefused, match="not signed with SM2"):
        authority.load("root", None, CA_EXTENSIONS, key=P256, signer_id=None)


def test_an_unknown_critical_extension_is_refused(authority: Authority, root: Certificate) -> None:
    extra = LEAF_EXTENSIONS + "1.2.3.4=critical,ASN1:UTF8String:x\n"
    with pytest.raises(CertificateRefused, match=r"critical extension 1\.2\.3\.4"):
        authority.load("gw-1", "root", extra)


def test_a_request_made_by_openssl_is_read_and_issued(
    openssl: OpenSSL, authority: Authority, root: Certificate, tmp_path: Path
) -> None:
    openssl("genpkey", "-algorithm", "SM2", "-out", "gw.key")
    new = ("req", "-new", "-key", "gw.key", "-sm3", "-subj", "/OU=headgate-gateway/CN=gw-5")
    openssl(*new, "-sigopt", ID, "-out", "gw.csr")
    request = load_request((tmp_path / "gw.csr").read_bytes(), PROVIDER)
    key = PROVIDER.sm2_load_private((tmp_path / "root.key").read_bytes())
    leaf = issue_certificate(
        subject=request.subject,
        spki=request.spki,
        issuer=root,
        issuer_key=key,
        key_usage=SIGN_USAGE,
        not_before=root.not_before,
        not_after=root.not_after,
        provider=PROVIDER,
    )
    verify(leaf, root)
    (tmp_path / "gw.crt").write_bytes(leaf.pem())
    openssl("verify", "-vfyopt", ID, "-CAfile", "root.crt", "gw.crt")
    openssl(*new, "-out", "empty-id.csr")
    with pytest.raises(CertificateRefused, match="does not verify"):
        load_request((tmp_path / "empty-id.csr").read_bytes(), PROVIDER)
