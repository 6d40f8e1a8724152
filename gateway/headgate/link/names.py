"""Which names a certificate bears, and whether one of them is meant. Pure.

Only subjectAltName counts: a common name is a label. A wildcard stands for exactly one whole left-most
label, never for an address. Source: RFC 6125, section 6; RFC 9525, section 6.3; RFC 5280, 4.2.1.6.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from headgate.crypto import der
from headgate.crypto.x509 import Certificate
from headgate.errors import CertificateRefused

_OID_SUBJECT_ALT_NAME: Final = "2.5.29.17"
_OID_EXTENDED_KEY_USAGE: Final = "2.5.29.37"
_OID_ANY_USAGE: Final = "2.5.29.37.0"
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"

_DNS, _IP = der.context(2, constructed=False), der.context(7, constructed=False)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MOST_NAMES = 256

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Names(msgspec.Struct, frozen=True):
    """What a certificate is for. `usages`: OIDs of extendedKeyUsage; None when it does not say."""

    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usages: frozenset[str] | None = None

    def bear(self, wanted: str) -> bool:
        """Whether `wanted`, a host name or an address, is one of them."""
        if (address := parse_address(wanted)) is not None:
            return str(address) in self.addresses
        return any(_is(pattern, wanted) for pattern in self.dns)

    def allow(self, usage: str) -> bool:
        """Whether the key may be used so."""
        return self.usages is None or usage in self.usages or _OID_ANY_USAGE in self.usages

    def __str__(self) -> str:
        return ", ".join((*self.dns, *self.addresses)) or "-"


def parse_address(text: str) -> Address | None:
    """The IP address that `text` is, without brackets; None when it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def names_of(certificate: Certificate) -> Names:
    """What the certificate's own extensions say.

    Raises:
        CertificateRefused: one of them is malformed, or stands twice.
    """
    try:
        return _read(certificate.tbs)
    except (der.DerError, ValueError, UnicodeDecodeError) as error:
        name = certificate.subject_cn or f"serial {certificate.serial:x}"
        raise CertificateRefused(f"certificate {name!r}: {error}") from None


def _read(tbs: bytes) -> Names:
    body = der.whole(tbs)
    # Version, serial, algorithm, issuer, validity, subject, key: read and judged elsewhere.
    for _ in range(7):
        body.element()
    dns: list[str] = []
    addresses: list[str] = []
    usages: frozenset[str] | None = None
    if body.peek() != der.context(3):
        return Names()
    listing = body.inside(der.context(3)).inside()
    seen: set[str] = set()
    while listing.peek() is not None:
        extension = listing.inside()
        kind = extension.oid()
        if extension.peek() == der.BOOLEAN:
            extension.boolean()
        value = extension.element(der.OCTET_STRING).content
        if kind in seen:
            raise ValueError(f"extension {kind} twice")
        seen.add(kind)
        if kind == _OID_SUBJECT_ALT_NAME:
            _alt_names(value, dns, addresses)
        elif kind == _OID_EXTENDED_KEY_USAGE:
            usages = _usages(value)
    return Names(tuple(dns), tuple(addresses), usages)


def _alt_names(value: bytes, dns: list[str], addresses: list[str]) -> None:
    listing = der.whole(value)
    while listing.peek() is not None:
        name = listing.element()
        if name.tag == _DNS:
            dns.append(name.content.decode("ascii").lower())
        elif name.tag == _IP:
            addresses.append(str(ipaddress.ip_address(name.content)))
        if len(dns) + len(addresses) > _MOST_NAMES:
            raise ValueError(f"more than {_MOST_NAMES} names")


def _usages(value: bytes) -> frozenset[str]:
    listing = der.whole(value)
    found = set()
    while listing.peek() is not None:
        found.add(listing.oid())
    return frozenset(found)


def _is(pattern: str, wanted: str) -> bool:
    wanted = _ascii(wanted)
    pattern = pattern.removesuffix(".")
    if not wanted or not pattern:
        return False
    first, dot, rest = pattern.partition(".")
    if first != "*":
        return "*" not in pattern and pattern == wanted
    left, dot, right = wanted.partition(".")
    # Two labels must remain: "*.cn" would be every city.
    return bool(dot) and "." in rest and "*" not in rest and right == rest and bool(left)


def _ascii(name: str) -> str:
    """The name as certificates bear it; empty when it cannot be one."""
    try:
        text = name.lower().removesuffix(".").encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return text if all(_LABEL.fullmatch(label) for label in text.split(".")) else ""
