"""Making SM2 certificates and requests, in this process.

Signed SM2-with-SM3 with ID 1234567812345678. Source: RFC 5280, section 4; RFC 2986 (requests);
GB/T 20518-2018.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto import der, encoding
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import (
    MAX_CERTIFICATE,
    OID_BASIC_CONSTRAINTS,
    OID_COMMON_NAME,
    OID_KEY_USAGE,
    OID_ORGANIZATION,
    OID_ORGANIZATIONAL_UNIT,
    OID_SUBJECT_KEY_ID,
    Certificate,
    KeyUsage,
    Role,
    parse_name,
)
from headgate.errors import CertificateRefused, SecurityError

_OID_AUTHORITY_KEY_ID: Final = "2.5.29.35"
_SIGNATURE_ALGORITHM: Final = der.sequence(der.oid(encoding.OID_SM2_SIGN_WITH_SM3))
_MAX_NAME: Final = 64  # ub-common-name, RFC 5280 appendix A

CA_USAGE: Final = frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN})
SIGN_USAGE: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE})
ENCRYPT_USAGE: Final = frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT})


def subject_name(common_name: str, role: Role, organization: str | None = None) -> bytes:
    """A Name as DER: O (when given), OU = the role, CN."""
    pairs = [
        (OID_ORGANIZATION, organization),
        (OID_ORGANIZATIONAL_UNIT, role.value),
        (OID_COMMON_NAME, common_name),
    ]
    parts = []
    for kind, text in pairs:
        if text is None:
            continue
        if not 0 < len(text) <= _MAX_NAME or not text.isprintable():
            raise ValueError(f"a name has 1 to {_MAX_NAME} printable characters: {text!r}")
        attribute = der.sequence(der.oid(kind), der.encode(der.UTF8_STRING, text.encode()))
        parts.append(der.encode(der.SET, attribute))
    return der.sequence(*parts)


def issue_certificate(
    *,
    subject: bytes,
    spki: bytes,
    issuer: Certificate | None,
    issuer_key: Sm2PrivateKey,
    key_usage: frozenset[KeyUsage],
    not_before: datetime,
    not_after: datetime,
    provider: CryptoProvider,
    path_length: int | None = None,
) -> Certificate:
    """A signed certificate; a CA's exactly when `key_usage` has KEY_CERT_SIGN.

    Args:
        subject: from `subject_name`.
        spki: the subject's public key.
        issuer: the CA's certificate; `None` makes a self-signed root.
        issuer_key: must be the issuer's (or, for a root, the subject's own).
        key_usage: written as a critical extension.
        not_before: with a time zone; the certificate keeps whole seconds.
        not_after: likewise.
        provider: digests for the key identifiers and the serial number.
        path_length: for a CA, how many CAs may follow below.
    """
    if issuer_key.public.spki != (issuer.spki if issuer else spki):
        raise ValueError("the issuer's key does not belong to the issuer's certificate")
    # Unpredictable because the subject's key is, and needs no counter file.
    seed = spki + subject + der.instant(not_before) + der.instant(not_after)
    serial = int.from_bytes(provider.sm3(seed)[:16], "big") | 1 << 126
    is_ca = KeyUsage.KEY_CERT_SIGN in key_usage
    key_id = _key_id(spki, provider)
    extensions = [
        _extension(OID_BASIC_CONSTRAINTS, _basic_constraints(is_ca, path_length), critical=True),
        _extension(OID_KEY_USAGE, _key_usage(key_usage), critical=True),
        _extension(OID_SUBJECT_KEY_ID, der.octets(key_id)),
    ]
    # What the issuer calls its own key, however it came by that: others compare the two.
    if authority := issuer.key_id if issuer else key_id:
        named = der.sequence(der.encode(der.context(0, constructed=False), authority))
        extensions.append(_extension(_OID_AUTHORITY_KEY_ID, named))
    tbs = der.sequence(
        der.encode(der.context(0), der.integer(2)),
        der.integer(serial),
        _SIGNATURE_ALGORITHM,
        issuer.subject if issuer else subject,
        der.sequence(der.instant(not_before), der.instant(not_after)),
        subject,
        spki,
        der.encode(der.context(3), der.sequence(*extensions)),
    )
    return Certificate.load(_signed(tbs, issuer_key))


class Request(msgspec.Struct, frozen=True):
    """A certificate request whose signature was checked: its sender holds the key."""

    der: bytes
    subject: bytes
    spki: bytes

    def pem(self) -> bytes:
        """The request as one PEM block."""
        return encoding.to_pem("CERTIFICATE REQUEST", self.der)


def make_request(subject: bytes, key: Sm2PrivateKey) -> Request:
    """A request (PKCS #10) for a CA outside: the private key stays here."""
    info = der.sequence(der.integer(0), subject, key.public.spki, der.encode(der.context(0), b""))
    return Request(_signed(info, key), subject, key.public.spki)


def load_request(data: bytes, provider: CryptoProvider) -> Request:
    """A request from DER or PEM.

    Raises:
        CertificateRefused: malformed, not SM2, or not signed by the key it names.
    """
    data = bytes(data)
    try:
        if b"-----BEGIN" in data:
            blocks = encoding.pem_blocks(data)
            wanted = [body for label, body in blocks if label.endswith("CERTIFICATE REQUEST")]
            if len(wanted) != 1:
                raise CertificateRefused(f"expected one certificate request, found {len(wanted)}")
            (data,) = wanted
        return _parse_request(data, provider)
    except (der.DerError, SecurityError) as error:
        if isinstance(error, CertificateRefused):
            raise
        raise CertificateRefused(f"not a certificate request: {error}") from None


def _parse_request(data: bytes, provider: CryptoProvider) -> Request:
    if len(data) > MAX_CERTIFICATE:
        raise CertificateRefused(f"request larger than {MAX_CERTIFICATE // 1024} KiB")
    outer = der.whole(data)
    info = outer.element(der.SEQUENCE)
    algorithm = outer.inside().oid()
    signature = outer.bits()
    outer.end()
    if algorithm != encoding.OID_SM2_SIGN_WITH_SM3:
        raise CertificateRefused(f"not signed with SM2-with-SM3 but with {algorithm}")
    body = der.Reader(info.content)
    if body.integer() != 0:
        raise CertificateRefused("not a version 1 request")
    subject = body.element(der.SEQUENCE).raw
    parse_name(subject)
    spki = body.element(der.SEQUENCE).raw
    # Attributes (wished-for extensions) are not read: the CA decides what a certificate says.
    body.optional(der.context(0))
    body.end()
    if not provider.sm2_load_public(spki).verify(signature, info.raw):
        raise CertificateRefused(
            "the request's signature does not verify with its own key and SM2 ID 1234567812345678"
        )
    return Request(data, subject, spki)


def _signed(content: bytes, key: Sm2PrivateKey) -> bytes:
    return der.sequence(content, _SIGNATURE_ALGORITHM, der.bits(key.sign(content)))


def _key_id(spki: bytes, provider: CryptoProvider) -> bytes:
    # RFC 7093, section 2: the leftmost 160 bits of a digest of the key bits.
    return provider.sm3(spki[-65:])[:20]


def _extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = der.encode(der.BOOLEAN, b"\xff") if critical else b""
    return der.sequence(der.oid(kind), flag, der.octets(value))


def _basic_constraints(is_ca: bool, path_length: int | None) -> bytes:
    if not is_ca:
        return der.sequence()
    limit = b"" if path_length is None else der.integer(path_length)
    return der.sequence(der.encode(der.BOOLEAN, b"\xff"), limit)


def _key_usage(usages: frozenset[KeyUsage]) -> bytes:
    flags = 0
    for usage in usages:
        flags |= 0x80 >> usage.value
    unused = (flags & -flags).bit_length() - 1
    return der.bits(bytes((flags,)), unused)
