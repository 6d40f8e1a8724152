"""Making SM2 certificates and revocation lists, in this process; who may have which is `authority`'s.

Signed SM2-with-SM3 with ID 1234567812345678. Source: RFC 5280, section 4; GB/T 20518-2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from headgate.crypto import der, encoding, extensions
from headgate.crypto.crl import (
    MAX_REVOKED,
    OID_CRL_NUMBER,
    OID_REASON,
    VERSION_2,
    Reason,
    RevocationList,
    Revoked,
)
from headgate.crypto.extensions import KeyUsage, Names, Purpose
from headgate.crypto.names import write_name
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.requests import Request, load_request, make_request
from headgate.crypto.x509 import MAX_SERIAL_BITS, Certificate, Role

__all__ = [
    "CA_USAGE",
    "ENCRYPT_USAGE",
    "SIGN_USAGE",
    "Request",
    "issue_certificate",
    "issue_crl",
    "load_request",
    "make_request",
    "subject_name",
]

CA_USAGE: Final = frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN})
SIGN_USAGE: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE})
ENCRYPT_USAGE: Final = frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT})


def subject_name(
    common_name: str, role: Role, organization: str | None = None, country: str | None = None
) -> bytes:
    """A Name as DER: C and O (when given), OU = the role, CN.

    Raises:
        ValueError: a part that no name can hold.
    """
    return write_name(common_name, role.value, organization, country)


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
    purposes: frozenset[Purpose] = frozenset(),
    names: Names | None = None,
    crl_url: str | None = None,
    serial: int | None = None,
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
        purposes: extended key usages; none leaves the extension out.
        names: what a TLS server is called; none leaves the extension out.
        crl_url: where the issuer's revocation list can be had.
        serial: 1 to 2^159-1, unpredictable; by default drawn from the subject's fresh key.
    """
    if issuer_key.public.spki != (issuer.spki if issuer else spki):
        raise ValueError("the issuer's key does not belong to the issuer's certificate")
    # Unpredictable because the subject's key is, and needs no counter file.
    seed = spki + subject + der.instant(not_before) + der.instant(not_after)
    if serial is None:
        serial = int.from_bytes(provider.sm3(seed)[:16], "big") | 1 << 126
    if not 0 < serial < 1 << MAX_SERIAL_BITS:
        raise ValueError("a serial number has 1 to 159 bits")
    is_ca = KeyUsage.KEY_CERT_SIGN in key_usage
    key_id = _key_id(spki, provider)
    said = [
        # Left out below CAs: CA:FALSE is an empty sequence in DER, which GmSSL does not read.
        *([extensions.basic_constraints(path_length)] if is_ca else []),
        extensions.key_usage(key_usage),
        extensions.write(extensions.OID_SUBJECT_KEY_ID, der.octets(key_id)),
    ]
    # What the issuer calls its own key, however it came by that: others compare the two.
    if authority := issuer.key_id if issuer else key_id:
        said.append(extensions.authority_key_id(authority))
    if purposes:
        said.append(extensions.purposes(purposes))
    if names:
        said.append(extensions.alternative_names(names))
    if crl_url is not None:
        said.append(extensions.crl_point(crl_url))
    tbs = der.sequence(
        der.encode(der.context(0), der.integer(2)),
        der.integer(serial),
        encoding.SIGNATURE_ALGORITHM,
        issuer.subject if issuer else subject,
        der.sequence(der.instant(not_before), der.instant(not_after)),
        subject,
        spki,
        der.encode(der.context(3), der.sequence(*said)),
    )
    return Certificate.load(encoding.signed(tbs, issuer_key.sign(tbs)))


def issue_crl(
    *,
    issuer: Certificate,
    issuer_key: Sm2PrivateKey,
    number: int,
    this_update: datetime,
    next_update: datetime,
    revoked: Mapping[int, Revoked],
) -> RevocationList:
    """A signed list of everything in `revoked`, by serial.

    Args:
        issuer: the CA; its key usage must have CRL_SIGN.
        issuer_key: its key.
        number: above every earlier one of this CA.
        this_update: now, with a time zone.
        next_update: when the next list will be there at the latest.
        revoked: everything this CA has taken back.
    """
    if issuer_key.public.spki != issuer.spki:
        raise ValueError("the issuer's key does not belong to the issuer's certificate")
    if KeyUsage.CRL_SIGN not in (issuer.key_usage or ()):
        raise ValueError("the issuer's key usage does not allow it to sign lists")
    if len(revoked) > MAX_REVOKED:
        raise ValueError(f"a list holds {MAX_REVOKED} certificates, not {len(revoked)}")
    said = [extensions.write(OID_CRL_NUMBER, der.integer(number))]
    if issuer.key_id is not None:
        said.insert(0, extensions.authority_key_id(issuer.key_id))
    entries = [_entry(serial, revoked[serial]) for serial in sorted(revoked)]
    tbs = der.sequence(
        der.integer(VERSION_2),
        encoding.SIGNATURE_ALGORITHM,
        issuer.subject,
        der.instant(this_update),
        der.instant(next_update),
        # An empty list is left out, not written as empty (5.1.2.6).
        der.sequence(*entries) if entries else b"",
        der.encode(der.context(0), der.sequence(*said)),
    )
    return RevocationList.load(encoding.signed(tbs, issuer_key.sign(tbs)))


def _entry(serial: int, revoked: Revoked) -> bytes:
    why = b""
    # "Unspecified" is said by leaving the code out (5.3.1).
    if revoked.reason is not Reason.UNSPECIFIED:
        code = der.encode(der.ENUMERATED, bytes((revoked.reason.value,)))
        why = der.sequence(extensions.write(OID_REASON, code))
    return der.sequence(der.integer(serial), der.instant(revoked.at), why)


def _key_id(spki: bytes, provider: CryptoProvider) -> bytes:
    # RFC 7093, section 2: the leftmost 160 bits of a digest of the key bits.
    return provider.sm3(spki[-65:])[:20]
