"""One SM2 certificate, read: whose key, for what, until when.

Reading judges form only (`verify` judges trust): anything but a well-formed version 3 SM2
certificate within 16 KiB is `CertificateRefused`, whatever the bytes. `cryptography` parses SM2
certificates but refuses their keys, so the walk is ours.
Source: RFC 5280, section 4; GB/T 20518-2018.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

import msgspec

from headgate.crypto import der, encoding, symmetric
from headgate.errors import CertificateRefused

MAX_CERTIFICATE: Final = 16 * 1024
MAX_BUNDLE: Final = 32

OID_COMMON_NAME: Final = "2.5.4.3"
OID_ORGANIZATION: Final = "2.5.4.10"
OID_ORGANIZATIONAL_UNIT: Final = "2.5.4.11"
OID_SUBJECT_KEY_ID: Final = "2.5.29.14"
OID_KEY_USAGE: Final = "2.5.29.15"
OID_BASIC_CONSTRAINTS: Final = "2.5.29.19"

_MAX_EXTENSIONS = 32
_MAX_SERIAL_BITS = 160
_VERSION_3 = 2
_TEXT_CODECS: Final = {
    der.UTF8_STRING: "utf-8",
    0x13: "ascii",  # PrintableString
    0x16: "ascii",  # IA5String
    0x1E: "utf-16-be",  # BMPString, still common in older domestic CAs
}


class Role(Enum):
    """What a certificate's holder is to Headgate; stands in the subject's OU."""

    CA = "headgate-ca"
    GATEWAY = "headgate-gateway"
    """Signs grants, results and the heads of the audit log."""
    GATEWAY_ENCRYPTION = "headgate-gateway-encryption"
    """The second of the pair (GB/T 20518): made by the CA's key centre, for what is sealed to a gateway."""
    GATEWAY_LINK = "headgate-gateway-link"
    """Shows itself in TLS handshakes, and nowhere else."""
    PLATFORM_ENCRYPTION = "headgate-platform-encryption"
    PLATFORM_RECEIPT = "headgate-platform-receipt"
    PLATFORM_LINK = "headgate-platform-link"
    """The platform's end of a TLS link; its names stand in subjectAltName."""
    OPERATOR = "headgate-operator"
    """A person who selects, approves and operates; CN is the person's name in the audit log."""
    TECHNICIAN = "headgate-technician"
    """A person who may change what a box allows."""
    PUBLISHER = "headgate-publisher"
    """Signs plugins and profiles."""


class KeyUsage(Enum):
    """The key usages we look at; the value is the bit's number in RFC 5280, 4.2.1.3."""

    DIGITAL_SIGNATURE = 0
    KEY_ENCIPHERMENT = 2
    DATA_ENCIPHERMENT = 3
    KEY_CERT_SIGN = 5
    CRL_SIGN = 6


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed certificate. Made by `load`; nothing in it is proved until `verify_chain`."""

    der: bytes
    tbs: bytes
    """The bytes that the issuer signed."""
    signature: bytes
    serial: int
    issuer: bytes
    """The issuer's name as DER; names are compared byte for byte."""
    subject: bytes
    subject_cn: str | None
    """The common name; `None` when there is none, or more than one."""
    subject_ou: str | None
    """The organizational unit; `None` when there is none, or more than one."""
    not_before: datetime
    not_after: datetime
    spki: bytes
    """SubjectPublicKeyInfo, always SM2 in its 91-byte form; the point itself is not yet checked."""
    is_ca: bool
    path_length: int | None
    """How many CA certificates may follow below; `None` is no limit."""
    key_usage: frozenset[KeyUsage] | None
    """`None` when the certificate does not say."""
    key_id: bytes | None
    """The subject key identifier, which certificates issued below repeat."""

    @classmethod
    def load(cls, data: bytes) -> Certificate:
        """The one certificate in `data`, DER or PEM.

        Raises:
            CertificateRefused: not one certificate, not SM2, malformed, or too large.
        """
        found = load_certificates(data)
        if len(found) != 1:
            raise CertificateRefused(f"expected one certificate, found {len(found)}")
        return found[0]

    @property
    def fingerprint(self) -> bytes:
        """SM3 of the DER, 32 bytes."""
        return symmetric.sm3(self.der)

    @property
    def role(self) -> Role | None:
        """The role the OU names, when it names one of ours."""
        try:
            return Role(self.subject_ou)
        except ValueError:
            return None

    def pem(self) -> bytes:
        """The certificate as one PEM block."""
        return encoding.to_pem("CERTIFICATE", self.der)


def load_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Every certificate in a PEM bundle (at most 32), or the one in DER.

    Raises:
        CertificateRefused: none at all, too many, or one that `Certificate.load` would refuse.
    """
    data = bytes(data)
    try:
        if b"-----BEGIN" not in data:
            return (_parse(data),)
        blocks = [body for label, body in encoding.pem_blocks(data) if label == "CERTIFICATE"]
        if not 1 <= len(blocks) <= MAX_BUNDLE:
            raise CertificateRefused(f"expected 1 to {MAX_BUNDLE} certificates: {len(blocks)}")
        return tuple(_parse(block) for block in blocks)
    except der.DerError as error:
        raise CertificateRefused(f"not a certificate: {error}") from None


def _parse(data: bytes) -> Certificate:
    if len(data) > MAX_CERTIFICATE:
        raise CertificateRefused(f"certificate larger than {MAX_CERTIFICATE // 1024} KiB")
    outer = der.whole(data)
    tbs = outer.element(der.SEQUENCE)
    algorithm = _algorithm(outer)
    signature = outer.bits()
    outer.end()

    body = der.Reader(tbs.content)
    version = body.inside(der.context(0)) if body.peek() == der.context(0) else None
    if version is None or version.integer() != _VERSION_3:
        raise CertificateRefused("not a version 3 certificate")
    version.end()
    serial = body.integer()
    if serial <= 0 or serial.bit_length() > _MAX_SERIAL_BITS:
        raise CertificateRefused("serial number not between 1 and 160 bits")
    if _algorithm(body) != algorithm:
        raise CertificateRefused("two different signature algorithms are named")
    if algorithm != encoding.OID_SM2_SIGN_WITH_SM3:
        raise CertificateRefused(f"not signed with SM2-with-SM3 but with {algorithm}")
    issuer = body.element(der.SEQUENCE).raw
    validity = body.inside()
    not_before, not_after = validity.instant(), validity.instant()
    validity.end()
    subject = body.element(der.SEQUENCE)
    spki = body.element(der.SEQUENCE).raw
    if not encoding.is_sm2_spki(spki):
        raise CertificateRefused("the key is not an SM2 key (named curve, uncompressed point)")
    extensions = _extensions(body)
    body.end()
    common_name, unit = describe_name(subject.raw)
    parse_name(issuer)
    return Certificate(
        der=data,
        tbs=tbs.raw,
        signature=signature,
        serial=serial,
        issuer=issuer,
        subject=subject.raw,
        subject_cn=common_name,
        subject_ou=unit,
        not_before=not_before,
        not_after=not_after,
        spki=spki,
        is_ca=extensions.is_ca,
        path_length=extensions.path_length,
        key_usage=extensions.key_usage,
        key_id=extensions.key_id,
    )


def _algorithm(reader: der.Reader) -> str:
    """The OID of an AlgorithmIdentifier whose parameters are absent or NULL."""
    inner = reader.inside()
    name = inner.oid()
    # Parameters decide nothing for SM2; other algorithms are refused by their name afterwards.
    if inner.peek() is not None:
        parameters = inner.element()
        if name == encoding.OID_SM2_SIGN_WITH_SM3 and parameters.raw != b"\x05\x00":
            raise CertificateRefused("unexpected parameters of the signature algorithm")
    inner.end()
    return name


def parse_name(data: bytes) -> tuple[tuple[str, str], ...]:
    """A Name as (OID, text) pairs in order; values that are not text are left out.

    Raises:
        DerError: malformed.
        CertificateRefused: a value with characters that do not print (they fool terminals).
    """
    found = []
    sets = der.whole(data)
    while sets.peek() is not None:
        attributes = sets.inside(der.SET)
        while attributes.peek() is not None:
            attribute = attributes.inside()
            kind = attribute.oid()
            value = attribute.element()
            attribute.end()
            codec = _TEXT_CODECS.get(value.tag)
            if codec is None:
                continue
            try:
                text = value.content.decode(codec)
            except UnicodeDecodeError:
                raise der.DerError("a name that is not text") from None
            if not text.isprintable():
                raise CertificateRefused("a name with characters that do not print")
            found.append((kind, text))
    return tuple(found)


def describe_name(data: bytes) -> tuple[str | None, str | None]:
    """CN and OU of a Name, each `None` when there is none or more than one."""
    try:
        names = parse_name(data)
    except der.DerError as error:
        raise CertificateRefused(f"not a name: {error}") from None
    return _single(names, OID_COMMON_NAME), _single(names, OID_ORGANIZATIONAL_UNIT)


def _single(names: tuple[tuple[str, str], ...], kind: str) -> str | None:
    # Two OUs would mean two roles, and two readers could each take another one.
    values = [text for name, text in names if name == kind]
    return values[0] if len(values) == 1 else None


class _Extensions(msgspec.Struct):
    is_ca: bool = False
    path_length: int | None = None
    key_usage: frozenset[KeyUsage] | None = None
    key_id: bytes | None = None


def _extensions(body: der.Reader) -> _Extensions:
    """What basicConstraints and keyUsage say; any other extension must not be critical."""
    found = _Extensions()
    if body.peek() != der.context(3):
        return found
    wrapper = body.inside(der.context(3))
    listing = wrapper.inside()
    wrapper.end()
    seen: set[str] = set()
    while listing.peek() is not None:
        extension = listing.inside()
        kind = extension.oid()
        critical = extension.boolean() if extension.peek() == der.BOOLEAN else False
        value = extension.element(der.OCTET_STRING).content
        extension.end()
        if kind in seen or len(seen) >= _MAX_EXTENSIONS:
            raise CertificateRefused(f"extension {kind} twice, or too many extensions")
        seen.add(kind)
        if kind == OID_BASIC_CONSTRAINTS:
            found.is_ca, found.path_length = _basic_constraints(value)
        elif kind == OID_KEY_USAGE:
            found.key_usage = _key_usage(value)
        elif kind == OID_SUBJECT_KEY_ID:
            found.key_id = _key_id(value)
        elif critical:
            raise CertificateRefused(f"critical extension {kind} that we do not know")
    return found


def _basic_constraints(value: bytes) -> tuple[bool, int | None]:
    inner = der.whole(value)
    is_ca = inner.boolean() if inner.peek() == der.BOOLEAN else False
    path_length = inner.integer() if inner.peek() == der.INTEGER else None
    inner.end()
    if path_length is not None and (path_length < 0 or not is_ca):
        raise CertificateRefused("a path length that makes no sense")
    return is_ca, path_length


def _key_usage(value: bytes) -> frozenset[KeyUsage]:
    outer = der.Reader(value)
    content = outer.element(der.BIT_STRING).content
    outer.end()
    if not 2 <= len(content) <= 3 or content[0] > 7:
        raise der.DerError("malformed key usage")
    flags = content[1:]
    return frozenset(
        usage
        for usage in KeyUsage
        if usage.value < 8 * len(flags) and flags[usage.value // 8] & 0x80 >> usage.value % 8
    )


def _key_id(value: bytes) -> bytes:
    reader = der.Reader(value)
    content = reader.element(der.OCTET_STRING).content
    reader.end()
    return content
