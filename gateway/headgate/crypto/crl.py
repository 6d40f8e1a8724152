"""Revocation lists: which certificates a CA takes back, read and checked (`issue` makes them).

A list is complete (no delta, no part of one), numbered, and says when the next one comes: only then
can a box tell an old list that somebody plays back from the newest one. Anything else is
`CertificateRefused`, whatever the bytes. Source: RFC 5280, section 5; GB/T 20518-2018, 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final

import msgspec

from headgate.crypto import der, encoding, extensions, symmetric
from headgate.crypto.names import describe_name, parse_name
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import MAX_SERIAL_BITS, Certificate, KeyUsage, read_algorithm
from headgate.errors import CertificateRefused, SecurityError

MAX_CRL: Final = 2 * 1024 * 1024
MAX_REVOKED: Final = 50_000

OID_CRL_NUMBER: Final = "2.5.29.20"
OID_REASON: Final = "2.5.29.21"
_OID_DELTA: Final = "2.5.29.27"
_OID_ISSUING_POINT: Final = "2.5.29.28"
VERSION_2: Final = 1


class Reason(Enum):
    """Why a certificate was taken back; the value is the code of RFC 5280, 5.3.1."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10


class Revoked(msgspec.Struct, frozen=True):
    """Since when a certificate is not to be trusted, and why."""

    at: datetime
    reason: Reason = Reason.UNSPECIFIED


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed list. Made by `load`; nothing in it is proved until `check_signature`."""

    der: bytes
    tbs: bytes
    signature: bytes
    issuer: bytes
    """The CA's name as DER, as its certificate has it for subject."""
    number: int
    """Rises from list to list of one CA."""
    this_update: datetime
    next_update: datetime
    """By when the CA promises the next list."""
    issuer_key_id: bytes | None
    revoked: Mapping[int, Revoked]
    """Serial number to what happened."""

    @classmethod
    def load(cls, data: bytes) -> RevocationList:
        """The one list in `data`, DER or PEM, at most 2 MiB.

        Raises:
            CertificateRefused: not one list, malformed, too large, a delta, or a part of a list.
        """
        data = bytes(data)
        try:
            if b"-----BEGIN" in data[:4096]:
                blocks = encoding.pem_blocks(data, 2 * MAX_CRL)
                lists = [body for label, body in blocks if label == "X509 CRL"]
                if len(lists) != 1:
                    raise CertificateRefused(f"expected one revocation list, found {len(lists)}")
                (data,) = lists
            return _parse(data)
        except der.DerError as error:
            raise CertificateRefused(
                f"not a revocation list: {error}", code="HG-6340", reason=str(error)
            ) from None

    @property
    def fingerprint(self) -> bytes:
        """SM3 of the DER, 32 bytes."""
        return symmetric.sm3(self.der)

    @property
    def issuer_cn(self) -> str | None:
        """The CA's common name."""
        return describe_name(self.issuer)[0]

    def is_newer_than(self, other: RevocationList) -> bool:
        """Whether this list of the same CA replaces `other`."""
        return (self.number, self.this_update) > (other.number, other.this_update)

    def pem(self) -> bytes:
        """The list as one PEM block."""
        return encoding.to_pem("X509 CRL", self.der)


def check_signature(crl: RevocationList, issuer: Certificate, provider: CryptoProvider) -> None:
    """Return when `issuer` made this list and may make lists.

    Raises:
        CertificateRefused: says why not.
    """
    if crl.issuer != issuer.subject:
        raise _refused(crl, f"it is not of the CA {issuer.subject_cn!r}")
    if not issuer.is_ca or KeyUsage.CRL_SIGN not in (issuer.key_usage or ()):
        raise _refused(crl, "the key usage of its CA does not allow it to sign lists (cRLSign)")
    if None not in (crl.issuer_key_id, issuer.key_id) and crl.issuer_key_id != issuer.key_id:
        raise _refused(crl, "it names another key of that CA")
    try:
        key = provider.sm2_load_public(issuer.spki)
    except SecurityError as error:
        raise _refused(crl, f"the CA's key is not on the SM2 curve ({error})") from None
    if not key.verify(crl.signature, crl.tbs):
        raise _refused(
            crl,
            "its signature does not verify with the CA's key and SM2 ID 1234567812345678 (altered, "
            "of a namesake, or signed with an empty SM2 ID: openssl wants -sigopt distid:...)",
        )


def _parse(data: bytes) -> RevocationList:
    if len(data) > MAX_CRL:
        raise CertificateRefused(f"revocation list larger than {MAX_CRL // 1024} KiB")
    outer = der.whole(data)
    tbs = outer.element(der.SEQUENCE)
    algorithm = read_algorithm(outer)
    signature = outer.bits()
    outer.end()
    if algorithm != encoding.OID_SM2_SIGN_WITH_SM3:
        raise CertificateRefused(
            f"not signed with SM2-with-SM3 but with {algorithm}",
            code="HG-6332",
            algorithm=algorithm,
        )

    body = der.Reader(tbs.content)
    if body.peek() != der.INTEGER or body.integer() != VERSION_2:
        raise CertificateRefused(
            "not a version 2 list (openssl ca: set crl_extensions)", code="HG-6342"
        )
    if read_algorithm(body) != algorithm:
        raise CertificateRefused("two different signature algorithms are named")
    issuer = body.element(der.SEQUENCE).raw
    parse_name(issuer)
    this_update = body.instant()
    if body.peek() not in (der.UTC_TIME, der.GENERALIZED_TIME):
        raise CertificateRefused(
            "it does not say when the next list comes (nextUpdate)", code="HG-6342"
        )
    next_update = body.instant()
    if next_update < this_update:
        raise CertificateRefused("it ends before it begins")
    revoked = _read_entries(body.inside()) if body.peek() == der.SEQUENCE else {}
    number, issuer_key_id = _read_extensions(body)
    body.end()
    return RevocationList(
        der=data,
        tbs=tbs.raw,
        signature=signature,
        issuer=issuer,
        number=number,
        this_update=this_update,
        next_update=next_update,
        issuer_key_id=issuer_key_id,
        revoked=revoked,
    )


def _read_entries(listing: der.Reader) -> dict[int, Revoked]:
    found: dict[int, Revoked] = {}
    while listing.peek() is not None:
        entry = listing.inside()
        serial = entry.integer()
        # Zero and negative ones exist in old lists; they name nothing we would accept.
        if serial.bit_length() > MAX_SERIAL_BITS:
            raise CertificateRefused("it lists a serial number longer than 20 octets")
        at = entry.instant()
        reason = _read_reason(entry.inside()) if entry.peek() is not None else Reason.UNSPECIFIED
        entry.end()
        if serial in found or len(found) >= MAX_REVOKED:
            raise CertificateRefused(
                f"it lists certificate {serial:x} twice, or more than {MAX_REVOKED} certificates"
            )
        found[serial] = Revoked(at, reason)
    return found


def _read_reason(listing: der.Reader) -> Reason:
    reason = Reason.UNSPECIFIED
    for kind, critical, value in extensions.read(listing):
        if kind == OID_REASON:
            code = der.Reader(value)
            content = code.element(der.ENUMERATED).content
            code.end()
            try:
                reason = Reason(int.from_bytes(content, "big") if len(content) == 1 else -1)
            except ValueError:
                raise CertificateRefused("a reason that complete lists do not know") from None
        elif critical:
            # certificateIssuer is one: an entry that speaks of another CA's certificate.
            raise CertificateRefused(f"critical extension {kind} in an entry that we do not know")
    return reason


def _read_extensions(body: der.Reader) -> tuple[int, bytes | None]:
    number: int | None = None
    issuer_key_id: bytes | None = None
    if body.peek() == der.context(0):
        wrapper = body.inside(der.context(0))
        listing = wrapper.inside()
        wrapper.end()
        for kind, critical, value in extensions.read(listing):
            if kind == OID_CRL_NUMBER:
                reader = der.Reader(value)
                number = reader.integer()
                reader.end()
            elif kind == extensions.OID_AUTHORITY_KEY_ID:
                issuer_key_id = extensions.read_authority_key_id(value)
            elif kind in (_OID_DELTA, _OID_ISSUING_POINT):
                raise CertificateRefused(
                    "it is a delta or a part of a list; ask the CA for its complete list",
                    code="HG-6341",
                )
            elif critical:
                raise CertificateRefused(
                    f"critical extension {kind} that we do not know", code="HG-6335", oid=kind
                )
    if number is None:
        raise CertificateRefused(
            "it has no number (openssl ca: crl_extensions with crlNumber)", code="HG-6342"
        )
    if number < 0 or number.bit_length() > MAX_SERIAL_BITS:
        raise CertificateRefused("its number is negative, or longer than 20 octets")
    return number, issuer_key_id


def _refused(crl: RevocationList, reason: str) -> CertificateRefused:
    name = crl.issuer_cn or "?"
    return CertificateRefused(
        f"revocation list {crl.number} of {name!r}: {reason}",
        code="HG-6324",
        subject=name,
        number=crl.number,
        reason=reason,
    )
