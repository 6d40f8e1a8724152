"""The extensions of certificates and revocation lists: read with judgement, written as we mean them.

An extension that says what a certificate must *not* do is never skipped: what is critical and
unknown is refused, and so are name and policy constraints even when they are not critical, for we do
not evaluate them. Source: RFC 5280, section 4.2; GB/T 20518-2018, 5.2.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from headgate.crypto import der
from headgate.errors import CertificateRefused

OID_SUBJECT_KEY_ID: Final = "2.5.29.14"
OID_KEY_USAGE: Final = "2.5.29.15"
OID_ALTERNATIVE_NAME: Final = "2.5.29.17"
OID_BASIC_CONSTRAINTS: Final = "2.5.29.19"
OID_CRL_POINTS: Final = "2.5.29.31"
OID_AUTHORITY_KEY_ID: Final = "2.5.29.35"
OID_EXTENDED_KEY_USAGE: Final = "2.5.29.37"

_OID_NAME_CONSTRAINTS: Final = "2.5.29.30"
_OID_POLICY_CONSTRAINTS: Final = "2.5.29.36"
_CONSTRAINTS: Final = {
    _OID_NAME_CONSTRAINTS: "name constraints",
    _OID_POLICY_CONSTRAINTS: "policy constraints",
}
_MAX_EXTENSIONS: Final = 32
_MAX_NAMES: Final = 64
_MAX_KEY_ID: Final = 64

# GeneralName's choices that we read (RFC 5280, 4.2.1.6).
_DNS_NAME: Final = der.context(2, constructed=False)
_URI: Final = der.context(6, constructed=False)
_IP_ADDRESS: Final = der.context(7, constructed=False)


class KeyUsage(Enum):
    """The key usages we look at; the value is the bit's number in RFC 5280, 4.2.1.3."""

    DIGITAL_SIGNATURE = 0
    CONTENT_COMMITMENT = 1
    """Once called nonRepudiation: the signature is evidence against its maker."""
    KEY_ENCIPHERMENT = 2
    DATA_ENCIPHERMENT = 3
    KEY_AGREEMENT = 4
    KEY_CERT_SIGN = 5
    CRL_SIGN = 6


class Purpose(Enum):
    """Extended key usages that we know; the value is the OID."""

    ANY = "2.5.29.37.0"
    TLS_SERVER = "1.3.6.1.5.5.7.3.1"
    TLS_CLIENT = "1.3.6.1.5.5.7.3.2"
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3"


class Names(msgspec.Struct, frozen=True):
    """Where a server may be met: host names (ASCII, lower case) and addresses, as text."""

    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.dns or self.ip)


class Extension(NamedTuple):
    """One extension as it stands."""

    oid: str
    critical: bool
    value: bytes


class CertificateExtensions(msgspec.Struct):
    """What a certificate's extensions say; absent ones keep their default."""

    is_ca: bool = False
    path_length: int | None = None
    key_usage: frozenset[KeyUsage] | None = None
    purposes: frozenset[str] | None = None
    names: Names = Names()
    key_id: bytes | None = None
    issuer_key_id: bytes | None = None


def read(listing: der.Reader) -> Iterator[Extension]:
    """Each extension of a SEQUENCE OF Extension, none of them twice.

    Raises:
        DerError: malformed.
        CertificateRefused: one stands there twice, or there are more than 32.
    """
    seen: set[str] = set()
    while listing.peek() is not None:
        extension = listing.inside()
        kind = extension.oid()
        critical = extension.boolean() if extension.peek() == der.BOOLEAN else False
        value = extension.element(der.OCTET_STRING).content
        extension.end()
        if kind in seen or len(seen) >= _MAX_EXTENSIONS:
            raise CertificateRefused(
                f"extension {kind} twice, or too many extensions", code="HG-6337", oid=kind
            )
        seen.add(kind)
        yield Extension(kind, critical, value)


def read_certificate(listing: der.Reader) -> CertificateExtensions:
    """What the extensions of a certificate say to us.

    Raises:
        DerError: malformed.
        CertificateRefused: critical and unknown, a constraint we do not evaluate, or senseless.
    """
    found = CertificateExtensions()
    for kind, critical, value in read(listing):
        if kind == OID_BASIC_CONSTRAINTS:
            found.is_ca, found.path_length = _read_basic_constraints(value)
        elif kind == OID_KEY_USAGE:
            found.key_usage = _read_key_usage(value)
        elif kind == OID_EXTENDED_KEY_USAGE:
            found.purposes = _read_purposes(value)
        elif kind == OID_ALTERNATIVE_NAME:
            found.names = _read_names(value)
        elif kind == OID_SUBJECT_KEY_ID:
            found.key_id = _read_key_id(value)
        elif kind == OID_AUTHORITY_KEY_ID:
            found.issuer_key_id = read_authority_key_id(value)
        elif kind in _CONSTRAINTS:
            raise CertificateRefused(
                f"it carries {_CONSTRAINTS[kind]} ({kind}), which Headgate does not evaluate; "
                "ask the CA for one without",
                code="HG-6336",
                oid=kind,
            )
        elif critical:
            raise CertificateRefused(
                f"critical extension {kind} that we do not know; ask the CA for one without, or "
                "with that extension not critical",
                code="HG-6335",
                oid=kind,
            )
    return found


def _read_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    inner = der.whole(value)
    is_ca = inner.boolean() if inner.peek() == der.BOOLEAN else False
    path_length = inner.integer() if inner.peek() == der.INTEGER else None
    inner.end()
    if path_length is not None and (path_length < 0 or not is_ca):
        raise CertificateRefused("a path length that makes no sense")
    return is_ca, path_length


def _read_key_usage(value: bytes) -> frozenset[KeyUsage]:
    content = _only(value, der.BIT_STRING)
    if not 2 <= len(content) <= 3 or content[0] > 7 or content[-1] & (1 << content[0]) - 1:
        raise der.DerError("malformed key usage")
    flags = content[1:]
    return frozenset(
        usage
        for usage in KeyUsage
        if usage.value < 8 * len(flags) and flags[usage.value // 8] & 0x80 >> usage.value % 8
    )


def _read_purposes(value: bytes) -> frozenset[str]:
    reader = der.whole(value)
    found = set()
    while reader.peek() is not None:
        found.add(reader.oid())
    if not found:
        raise der.DerError("an extended key usage that lists nothing")
    return frozenset(found)


def _read_names(value: bytes) -> Names:
    """Host names and addresses; other kinds of names are nobody's business here."""
    reader = der.whole(value)
    dns: list[str] = []
    ip: list[str] = []
    for _ in range(_MAX_NAMES + 1):
        if reader.peek() is None:
            return Names(tuple(dns), tuple(ip))
        name = reader.element()
        if name.tag == _DNS_NAME:
            text = name.content.decode("ascii", "replace").lower()
            # A zero byte or a blank in the middle is how one name passes for another.
            if not (text and text.isascii() and text.isprintable()) or " " in text:
                raise CertificateRefused("a host name with characters that host names lack")
            dns.append(text)
        elif name.tag == _IP_ADDRESS:
            if len(name.content) not in (4, 16):
                raise der.DerError("an address of neither 4 nor 16 bytes")
            ip.append(str(ipaddress.ip_address(name.content)))
    raise CertificateRefused(f"more than {_MAX_NAMES} alternative names")


def _read_key_id(value: bytes) -> bytes:
    content = _only(value, der.OCTET_STRING)
    if not 0 < len(content) <= _MAX_KEY_ID:
        raise der.DerError("a key identifier of an impossible length")
    return content


def read_authority_key_id(value: bytes) -> bytes | None:
    """The keyIdentifier; the issuer's name and serial beside it are hints that we do not need."""
    reader = der.whole(value)
    found = reader.optional(der.context(0, constructed=False))
    for number in (1, 2):
        reader.optional(der.context(number, constructed=number == 1))
    reader.end()
    if found is not None and not 0 < len(found.content) <= _MAX_KEY_ID:
        raise der.DerError("a key identifier of an impossible length")
    return found.content if found else None


def _only(value: bytes, tag: int) -> bytes:
    reader = der.Reader(value)
    content = reader.element(tag).content
    reader.end()
    return content


# --- written -------------------------------------------------------------------------------------


def write(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension."""
    flag = der.encode(der.BOOLEAN, b"\xff") if critical else b""
    return der.sequence(der.oid(kind), flag, der.octets(value))


def basic_constraints(path_length: int | None) -> bytes:
    """BasicConstraints of a CA, critical."""
    limit = b"" if path_length is None else der.integer(path_length)
    value = der.sequence(der.encode(der.BOOLEAN, b"\xff"), limit)
    return write(OID_BASIC_CONSTRAINTS, value, critical=True)


def key_usage(usages: frozenset[KeyUsage]) -> bytes:
    """keyUsage, critical."""
    flags = 0
    for usage in usages:
        flags |= 0x80 >> usage.value
    unused = (flags & -flags).bit_length() - 1
    return write(OID_KEY_USAGE, der.bits(bytes((flags,)), unused), critical=True)


def purposes(wanted: frozenset[Purpose]) -> bytes:
    """extKeyUsage, not critical: a library that does not know it must still read the rest."""
    listed = sorted(purpose.value for purpose in wanted)
    return write(OID_EXTENDED_KEY_USAGE, der.sequence(*map(der.oid, listed)))


def alternative_names(names: Names) -> bytes:
    """subjectAltName: host names, then addresses."""
    parts = [der.encode(_DNS_NAME, name.encode("ascii")) for name in names.dns]
    parts += [der.encode(_IP_ADDRESS, ipaddress.ip_address(text).packed) for text in names.ip]
    return write(OID_ALTERNATIVE_NAME, der.sequence(*parts))


def crl_point(url: str) -> bytes:
    """CRLDistributionPoints with one address."""
    name = der.encode(der.context(0), der.encode(_URI, url.encode("ascii")))
    return write(OID_CRL_POINTS, der.sequence(der.sequence(der.encode(der.context(0), name))))


def authority_key_id(key_id: bytes) -> bytes:
    """AuthorityKeyIdentifier with the key's name only."""
    named = der.sequence(der.encode(der.context(0, constructed=False), key_id))
    return write(OID_AUTHORITY_KEY_ID, named)
