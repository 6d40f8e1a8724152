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

from headgate.crypto import der, encoding, extensions, symmetric
from headgate.crypto.extensions import CertificateExtensions, KeyUsage, Names, Purpose
from headgate.crypto.names import describe_name, parse_name
from headgate.errors import CertificateRefused

__all__ = [
    "MAX_BUNDLE",
    "MAX_CERTIFICATE",
    "MAX_SERIAL_BITS",
    "Certificate",
    "KeyUsage",
    "Names",
    "Purpose",
    "Role",
    "describe_name",
    "load_certificates",
    "parse_name",
    "read_algorithm",
]

MAX_CERTIFICATE: Final = 16 * 1024
MAX_BUNDLE: Final = 32
MAX_SERIAL_BITS: Final = 159  # 20 octets of a positive INTEGER (RFC 5280, 4.1.2.2)

_VERSION_3 = 2


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
    purposes: frozenset[str] | None = None
    """Extended key usage as OIDs (see `Purpose`); `None` when the certificate does not limit it."""
    names: Names = Names()
    """Host names and addresses (subjectAltName), for TLS servers."""
    issuer_key_id: bytes | None = None
    """Which of its issuer's keys signed it, by that key's identifier; a hint that must not lie."""

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

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are one name: a root, or somebody who vouches for himself."""
        return self.subject == self.issuer

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
        raise CertificateRefused(
            f"not a certificate: {error}", code="HG-6330", reason=str(error)
        ) from None


def _parse(data: bytes) -> Certificate:
    if len(data) > MAX_CERTIFICATE:
        limit = MAX_CERTIFICATE // 1024
        raise CertificateRefused(
            f"certificate larger than {limit} KiB", code="HG-6331", limit=limit
        )
    outer = der.whole(data)
    tbs = outer.element(der.SEQUENCE)
    algorithm = read_algorithm(outer)
    signature = outer.bits()
    outer.end()

    body = der.Reader(tbs.content)
    version = body.inside(der.context(0)) if body.peek() == der.context(0) else None
    if version is None or version.integer() != _VERSION_3:
        raise CertificateRefused("not a version 3 certificate")
    version.end()
    serial = body.integer()
    if serial <= 0 or serial.bit_length() > MAX_SERIAL_BITS:
        raise CertificateRefused(
            "serial number not positive, or longer than 20 octets", code="HG-6334"
        )
    if read_algorithm(body) != algorithm:
        raise CertificateRefused("two different signature algorithms are named")
    if algorithm != encoding.OID_SM2_SIGN_WITH_SM3:
        raise CertificateRefused(
            f"not signed with SM2-with-SM3 but with {algorithm}",
            code="HG-6332",
            algorithm=algorithm,
        )
    issuer = body.element(der.SEQUENCE).raw
    validity = body.inside()
    not_before, not_after = validity.instant(), validity.instant()
    validity.end()
    if not_after < not_before:
        raise CertificateRefused("it ends before it begins")
    subject = body.element(der.SEQUENCE)
    spki = body.element(der.SEQUENCE).raw
    if not encoding.is_sm2_spki(spki):
        raise CertificateRefused(
            "the key is not an SM2 key (named curve, uncompressed point)", code="HG-6333"
        )
    said = _extensions(body)
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
        is_ca=said.is_ca,
        path_length=said.path_length,
        key_usage=said.key_usage,
        key_id=said.key_id,
        purposes=said.purposes,
        names=said.names,
        issuer_key_id=said.issuer_key_id,
    )


def read_algorithm(reader: der.Reader) -> str:
    """The OID of a signature's AlgorithmIdentifier whose parameters are absent or NULL."""
    inner = reader.inside()
    name = inner.oid()
    # Parameters decide nothing for SM2; other algorithms are refused by their name afterwards.
    if inner.peek() is not None:
        parameters = inner.element()
        if name == encoding.OID_SM2_SIGN_WITH_SM3 and parameters.raw != b"\x05\x00":
            raise CertificateRefused("unexpected parameters of the signature algorithm")
    inner.end()
    return name


def _extensions(body: der.Reader) -> CertificateExtensions:
    if body.peek() != der.context(3):
        return CertificateExtensions()
    wrapper = body.inside(der.context(3))
    listing = wrapper.inside()
    wrapper.end()
    return extensions.read_certificate(listing)
