"""Certificates made by the `openssl` command with a trap in each: what we say to every one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kit.openssl import CA_EXTENSIONS, ID, LEAF_EXTENSIONS, P256, SM2, Authority, OpenSSL

from headgate.crypto import encoding
from headgate.crypto.provider import default_provider
from headgate.crypto.verify import Usage, verify_ca, verify_chain
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.errors import CertificateRefused

pytestmark = pytest.mark.peer("openssl")

PROVIDER = default_provider()
DAY = timedelta(days=1)
SIGN_ONLY = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    return OpenSSL(tmp_path)


@pytest.fixture
def authority(openssl: OpenSSL) -> Authority:
    return Authority(openssl)


@pytest.fixture
def root(authority: Authority) -> Certificate:
    return authority.load("root", None, CA_EXTENSIONS, role="headgate-ca", days=3650)


def verify(
    leaf: Certificate,
    *anchors: Certificate,
    between: tuple[Certificate, ...] = (),
    usage: Usage = Usage.SIGN,
    after: timedelta = DAY,
    role: Role | None = None,
) -> tuple[Certificate, ...]:
    at = datetime.now(UTC) + after
    return verify_chain(leaf, between, anchors, usage=usage, at=at, provider=PROVIDER, role=role)


def refused(reason: str, leaf: Certificate, *anchors: Certificate, **named: object) -> None:
    with pytest.raises(CertificateRefused, match=reason):
        verify(leaf, *anchors, **named)  # type: ignore[arg-type]


def trap(
    authority: Authority, extensions: str, reason: str, *, issuer: str = "root", **named: object
) -> None:
    """A certificate that is not even read."""
    path = authority.certificate("trap", issuer, extensions, **named)  # type: ignore[arg-type]
    with pytest.raises(CertificateRefused, match=reason):
        Certificate.load(path.read_bytes())


# --- algorithms and keys -------------------------------------------------------------------------


def test_an_sm2_key_under_a_p256_ca_is_refused_and_so_is_that_ca(authority: Authority) -> None:
    authority.certificate("p256", None, CA_EXTENSIONS, key=P256)
    with pytest.raises(
        CertificateRefused, match=r"not signed with SM2-with-SM3 but with 1\.2\.840"
    ):
        Certificate.load((authority.folder / "p256.crt").read_bytes())
    trap(authority, LEAF_EXTENSIONS, "not signed with SM2-with-SM3", issuer="p256", by_sm2=False)


def test_a_p256_key_under_an_sm2_ca_is_refused(authority: Authority, root: Certificate) -> None:
    trap(authority, LEAF_EXTENSIONS, "not an SM2 key", key=P256)


def test_a_ca_that_signs_with_the_empty_id_is_refused_and_told_the_option(
    authority: Authority, root: Certificate
) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS, signer_id=None)
    refused("empty SM2 ID: openssl wants -sigopt distid:1234567812345678", leaf, root)
    wrong = authority.load("gw-2", "root", LEAF_EXTENSIONS, signer_id="distid:8765432187654321")
    refused("signature does not verify", wrong, root)


# --- dates ---------------------------------------------------------------------------------------


def test_an_expired_ca_takes_its_valid_certificates_with_it(authority: Authority) -> None:
    root = authority.load("root", None, CA_EXTENSIONS, days=5)
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS, days=30)
    verify(leaf, root)
    refused("'root': it expired", leaf, root, after=6 * DAY)
    refused("not valid before", leaf, root, after=-DAY)


def test_a_certificate_of_almost_eight_thousand_years_is_read(
    authority: Authority, root: Certificate
) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS, days=2_900_000)
    assert leaf.not_after.year > 9900
    verify(leaf, root)
    assert authority.load("gw-2", "root", LEAF_EXTENSIONS, days=8_700).not_after.year >= 2050


def test_a_certificate_that_ends_before_it_begins_is_refused(
    authority: Authority, root: Certificate
) -> None:
    trap(authority, LEAF_EXTENSIONS, "ends before it begins", days=-1)


# --- what a key may do ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "wanted", "reason"),
    [
        ("keyEncipherment", Usage.SIGN, "key usage does not allow digital_signature"),
        ("keyCertSign", Usage.SIGN, "key usage does not allow digital_signature"),
        ("nonRepudiation", Usage.SIGN, "key usage does not allow digital_signature"),
        ("digitalSignature", Usage.ENCRYPT, "does not allow data_encipherment or key_encipher"),
        ("keyAgreement", Usage.ENCRYPT, "does not allow data_encipherment or key_encipherment"),
        ("digitalSignature,keyEncipherment", Usage.SIGN, "have two certificates issued"),
        ("digitalSignature,dataEncipherment", Usage.ENCRYPT, "have two certificates issued"),
        ("digitalSignature,keyAgreement", Usage.SIGN, "have two certificates issued"),
    ],
)
def test_a_key_usage_that_does_not_fit_is_refused(
    authority: Authority, root: Certificate, usage: str, wanted: Usage, reason: str
) -> None:
    leaf = authority.load("gw-1", "root", f"keyUsage=critical,{usage}\n")
    refused(reason, leaf, root, usage=wanted)


@pytest.mark.parametrize("critical", ["", "critical,"])
@pytest.mark.parametrize(
    ("role", "purposes", "fits"),
    [
        (Role.GATEWAY, "serverAuth", False),
        (Role.GATEWAY, "clientAuth,emailProtection", False),
        (Role.GATEWAY, "clientAuth,anyExtendedKeyUsage", True),
        (Role.PLATFORM_RECEIPT, "timeStamping", False),
        (Role.GATEWAY_LINK, "clientAuth", True),
        (Role.GATEWAY_LINK, "serverAuth", False),
        (Role.PLATFORM_LINK, "serverAuth", True),
        (Role.PUBLISHER, "codeSigning", True),
        (Role.PUBLISHER, "serverAuth", False),
        (Role.OPERATOR, "codeSigning", False),
    ],
)
def test_an_extended_key_usage_limits_critical_or_not(
    authority: Authority, root: Certificate, role: Role, purposes: str, fits: bool, critical: str
) -> None:
    extensions = f"{SIGN_ONLY}extendedKeyUsage={critical}{purposes}\n"
    leaf = authority.load("somebody", "root", extensions, role=role.value)
    if fits:
        verify(leaf, root, role=role)
    else:
        refused("extended key usage allows only", leaf, root, role=role)


def test_a_ca_that_is_limited_to_another_purpose_is_refused(
    authority: Authority, root: Certificate
) -> None:
    limited = CA_EXTENSIONS + "extendedKeyUsage=serverAuth\n"
    web = authority.load("web", "root", limited, role="headgate-ca")
    receipt = authority.load("p", "web", LEAF_EXTENSIONS, role=Role.PLATFORM_RECEIPT.value)
    refused("'web': its extended key usage allows only", receipt, root, between=(web,))
    link = authority.load("q", "web", LEAF_EXTENSIONS, role=Role.PLATFORM_LINK.value)
    verify(link, root, between=(web,))


def test_a_ca_certificate_is_no_leaf_even_with_the_right_to_sign(
    authority: Authority, root: Certificate
) -> None:
    both = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,digitalSignature\n"
    refused("it is a CA certificate", authority.load("gw-1", "root", both), root)


def test_a_path_length_is_kept_over_the_whole_path(authority: Authority, root: Certificate) -> None:
    short = CA_EXTENSIONS.replace("CA:TRUE", "CA:TRUE,pathlen:0")
    city = authority.load("city", "root", short, role="headgate-ca")
    district = authority.load("district", "city", CA_EXTENSIONS, role="headgate-ca")
    leaf = authority.load("gw-1", "district", LEAF_EXTENSIONS)
    refused("'city': its path length is 0, and 1 CAs follow", leaf, root, between=(city, district))
    with pytest.raises(CertificateRefused, match="path length is 0"):
        verify_ca(district, [city], [root], at=None, provider=PROVIDER)
    verify_ca(city, [], [root], at=None, provider=PROVIDER)


def test_a_path_length_without_a_ca_is_refused(authority: Authority, root: Certificate) -> None:
    # 30 03 02 01 00: cA absent (FALSE), pathLenConstraint 0.
    trap(authority, "basicConstraints=critical,DER:3003020100\n" + "keyUsage=digitalSignature\n",
         "path length that makes no sense")  # fmt: skip


# --- constraints and extensions ------------------------------------------------------------------


@pytest.mark.parametrize("critical", ["", "critical,"])
@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        ("nameConstraints={}permitted;DNS:city.example", "name constraints"),
        ("nameConstraints={}excluded;email:x.example", "name constraints"),
        ("policyConstraints={}requireExplicitPolicy:0", "policy constraints"),
    ],
)
def test_a_ca_under_constraints_is_refused_critical_or_not(
    authority: Authority, root: Certificate, constraint: str, named: str, critical: str
) -> None:
    trap(
        authority,
        CA_EXTENSIONS + constraint.format(critical) + "\n",
        f"carries {named} .* ask the CA for one without",
    )


def test_an_unknown_extension_is_refused_when_critical_and_skipped_otherwise(
    authority: Authority, root: Certificate
) -> None:
    trap(authority, LEAF_EXTENSIONS + "1.2.3.4=critical,ASN1:NULL\n", "critical extension 1.2.3.4")
    policy = "certificatePolicies=critical,1.2.156.1\n"
    trap(authority, LEAF_EXTENSIONS + policy, "critical extension 2.5.29.32")
    more = "1.2.3.4=ASN1:NULL\ncertificatePolicies=1.2.156.1\nnsComment=hello\n"
    verify(authority.load("gw-1", "root", LEAF_EXTENSIONS + more), root)


def test_an_extension_twice_is_refused(
    authority: Authority, openssl: OpenSSL, root: Certificate
) -> None:
    """The command itself writes none twice: the second one is renamed, and signed by it again."""
    once = LEAF_EXTENSIONS + "2.5.29.99=DER:03020106\n"
    good = authority.load("gw-1", "root", once)
    verify(good, root)
    tbs = good.tbs.replace(b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x0f")
    assert tbs != good.tbs
    (authority.folder / "tbs").write_bytes(tbs)
    openssl("dgst", "-sm3", "-sign", "root.key", "-sigopt", ID, "-out", "sig", "tbs")
    twice = encoding.signed(tbs, (authority.folder / "sig").read_bytes())
    (authority.folder / "twice").write_bytes(twice)
    assert "Key Usage" in openssl("x509", "-inform", "DER", "-in", "twice", "-noout", "-text")
    with pytest.raises(CertificateRefused, match=r"extension 2\.5\.29\.15 twice"):
        Certificate.load(twice)


# --- numbers and sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize("serial", ["0", "-5", "0x" + "7f" * 21, "0x80" + "00" * 19])
def test_a_serial_number_that_is_none_is_refused(
    authority: Authority, root: Certificate, serial: str
) -> None:
    trap(authority, LEAF_EXTENSIONS, "serial number not positive, or longer than 20", serial=serial)


def test_the_longest_serial_number_is_read(authority: Authority, root: Certificate) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS, serial="0x7f" + "ff" * 19)
    verify(leaf, root)


def test_a_certificate_of_a_megabyte_is_refused(authority: Authority, root: Certificate) -> None:
    huge = LEAF_EXTENSIONS + "1.2.3.4=ASN1:UTF8String:" + "x" * (1 << 20) + "\n"
    trap(authority, huge, "256 KiB|16 KiB")
    path = authority.certificate("trap", "root", LEAF_EXTENSIONS + huge[-20_000:].join(
        ("1.2.3.4=ASN1:UTF8String:", "")
    ))  # fmt: skip
    with pytest.raises(CertificateRefused, match="16 KiB"):
        Certificate.load(path.read_bytes())


def test_bytes_that_openssl_forgives_are_refused(
    authority: Authority, openssl: OpenSSL, root: Certificate
) -> None:
    good = authority.load("gw-1", "root", LEAF_EXTENSIONS).der
    long_form = b"\x30\x83\x00" + good[2:4] + good[4:]  # the length in three octets, not two
    endless = b"\x30\x80" + good[4:] + b"\0\0"
    for name, data, reason in (
        ("trailing", good + b"\0", "bytes after the end"),
        ("long-form", long_form, "shortest form"),
        ("endless", endless, "indefinite"),
    ):
        (authority.folder / name).write_bytes(data)
        openssl("x509", "-inform", "DER", "-in", name, "-noout", "-subject")
        with pytest.raises(CertificateRefused, match=reason):
            Certificate.load(data)


# --- names and chains ----------------------------------------------------------------------------


def test_two_cas_with_one_name_are_told_apart_by_their_keys(
    authority: Authority, root: Certificate
) -> None:
    subject = "/OU=headgate-ca/CN=root"
    double = authority.load("double", None, CA_EXTENSIONS, subject=subject)
    assert double.subject == root.subject
    leaf = authority.load("gw-1", "double", LEAF_EXTENSIONS)
    stranger = "another key than its issuer's|signature does not verify"
    refused(stranger, leaf, root)
    for anchors in ((root, double), (double, root)):
        assert verify(leaf, *anchors) == (leaf, double)
    refused(stranger, leaf, root, between=(double,))


def test_a_key_identifier_that_names_another_key_is_refused(
    authority: Authority, root: Certificate
) -> None:
    other = authority.load("other", None, CA_EXTENSIONS + "subjectKeyIdentifier=hash\n")
    right = authority.load("gw-0", "other", LEAF_EXTENSIONS + "authorityKeyIdentifier=keyid\n")
    assert right.issuer_key_id == other.key_id is not None
    verify(right, other)
    wrong = LEAF_EXTENSIONS + "2.5.29.35=DER:3016801411111111111111111111111111111111111111\n"
    leaf = authority.load("gw-1", "other", wrong[:-1] + "11\n")
    refused("names another key than its issuer's", leaf, other)
    # A CA that does not say what its key is called is found by its signature alone.
    silent = authority.load("silent", None, CA_EXTENSIONS + "subjectKeyIdentifier=none\n")
    assert silent.key_id is None
    verify(authority.load("gw-2", "silent", LEAF_EXTENSIONS), silent)


def test_a_self_signed_leaf_vouches_for_nobody(authority: Authority, root: Certificate) -> None:
    leaf = authority.load("gw-1", None, LEAF_EXTENSIONS)
    refused("vouches for itself", leaf, root)
    refused("vouches for itself|is no CA", leaf, leaf)
    refused("vouches for itself|is no CA", leaf, root, between=(leaf,))


def test_cas_that_vouch_for_each_other_lead_nowhere_and_end(
    authority: Authority, root: Certificate
) -> None:
    authority.certificate("a", None, CA_EXTENSIONS)
    authority.certificate("b", None, CA_EXTENSIONS)
    a_by_b = authority.load("a", "b", CA_EXTENSIONS, file="a-by-b")
    b_by_a = authority.load("b", "a", CA_EXTENSIONS, file="b-by-a")
    leaf = authority.load("gw-1", "a", LEAF_EXTENSIONS)
    refused("issuer is not among the trusted", leaf, root, between=(a_by_b, b_by_a))
    (own_a,) = load_certificates((authority.folder / "a.crt").read_bytes())
    assert verify(leaf, own_a, between=(a_by_b, b_by_a)) == (leaf, own_a)


def test_a_name_in_another_string_type_is_refused_and_the_reason_told(
    authority: Authority, openssl: OpenSSL, root: Certificate
) -> None:
    leaf = authority.load("gw-1", "root", LEAF_EXTENSIONS)
    (authority.folder / "printable.cnf").write_text(
        "[req]\ndistinguished_name=dn\nstring_mask=default\n[dn]\n"
    )
    openssl(
        "req", "-x509", "-new", "-key", "root.key", "-sm3", "-sigopt", ID, "-days", "30",
        "-config", "printable.cnf", "-subj", "/OU=headgate-ca/CN=root", "-out", "printable.crt",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    printable = Certificate.load((authority.folder / "printable.crt").read_bytes())
    assert printable.subject != root.subject
    refused(r"another string type \(PrintableString, UTF8String\)", leaf, printable)


def test_the_traps_are_set_by_one_who_can_also_do_it_right(
    authority: Authority, root: Certificate
) -> None:
    city = authority.load("city", "root", CA_EXTENSIONS, role="headgate-ca", key=SM2)
    leaf = authority.load("gw-1", "city", LEAF_EXTENSIONS)
    assert verify(leaf, root, between=(city,), role=Role.GATEWAY) == (leaf, city, root)
