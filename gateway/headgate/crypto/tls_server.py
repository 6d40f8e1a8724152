"""Ordinary TLS certificates (ECDSA P-256) for the enrolment service, when nobody gives it some.

TLS by the standard library has no SM2; what this root vouches for is proved to a box by a fingerprint
on paper, and everything that matters inside the connection is signed with SM2 besides.
Source: RFC 5280; RFC 8446, section 4.4.2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headgate.errors import SecurityError

ROOT_LIFE: Final = timedelta(days=7305)
SERVER_LIFE: Final = timedelta(days=397)
_BACKDATED: Final = timedelta(days=1)


class TlsPair(msgspec.Struct, frozen=True):
    """A certificate and its private key, PEM. Its `repr` does not show the key."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "<TLS pair>"


def make_root(name: str, now: datetime) -> TlsPair:
    """A self-signed root that issues nothing but the service's own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        _builder(subject, subject, key.public_key(), now, ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue_server(root: TlsPair, names: Sequence[str], now: datetime) -> TlsPair:
    """A server certificate for these host names and addresses.

    Raises:
        SecurityError: the root's files are not what `make_root` made.
    """
    try:
        authority = x509.load_pem_x509_certificate(root.certificate)
        signer = load_pem_private_key(root.key, None)
    except ValueError as error:
        raise SecurityError(f"the TLS root is damaged: {error}") from None
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise SecurityError("the TLS root has another kind of key")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, authority.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def serves(certificate_pem: bytes, names: Sequence[str], until: datetime) -> bool:
    """Whether a server certificate bears exactly these names and lasts until then."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return False
    wanted = {_name(each) for each in names}
    return set(found.value) == wanted and certificate.not_valid_after_utc > until


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> TlsPair:
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsPair(certificate.public_bytes(Encoding.PEM), plain)
