"""Distinguished names: what they say, and how ours are written.

Names are compared byte for byte everywhere (RFC 5280, 7.1 allows more, and every reader that folds
letters or string types folds them otherwise). Written as GB/T 20518-2018, 5.2.3 wants them: C as
PrintableString, all else as UTF8String, from the country down to the common name.
"""

from __future__ import annotations

import re
from typing import Final

from headgate.crypto import der
from headgate.errors import CertificateRefused

OID_COMMON_NAME: Final = "2.5.4.3"
OID_COUNTRY: Final = "2.5.4.6"
OID_ORGANIZATION: Final = "2.5.4.10"
OID_ORGANIZATIONAL_UNIT: Final = "2.5.4.11"

#: Characters of O, OU and CN (ub-common-name and its like, RFC 5280 appendix A).
MAX_TEXT: Final = 64

_PRINTABLE_STRING: Final = 0x13
_TEXT_CODECS: Final = {
    der.UTF8_STRING: "utf-8",
    _PRINTABLE_STRING: "ascii",
    0x16: "ascii",  # IA5String
    0x1E: "utf-16-be",  # BMPString, still common in older domestic CAs
}
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


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
    names = _parsed(data)
    return _single(names, OID_COMMON_NAME), _single(names, OID_ORGANIZATIONAL_UNIT)


def same_text(one: bytes, other: bytes) -> bool:
    """Whether two Names say the same in other bytes: PrintableString here, UTF8String there."""
    return one != other and _parsed(one) == _parsed(other)


def write_name(
    common_name: str, unit: str, organization: str | None = None, country: str | None = None
) -> bytes:
    """A Name as DER: C and O (when given), OU, CN.

    Raises:
        ValueError: empty, longer than 64 characters, or with characters that do not print.
    """
    if country is not None and not _COUNTRY.fullmatch(country):
        raise ValueError(f"a country is two capital letters (ISO 3166): {country!r}")
    pairs = [
        (OID_COUNTRY, country),
        (OID_ORGANIZATION, organization),
        (OID_ORGANIZATIONAL_UNIT, unit),
        (OID_COMMON_NAME, common_name),
    ]
    parts = []
    for kind, text in pairs:
        if text is None:
            continue
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            raise ValueError(f"a name has 1 to {MAX_TEXT} printable characters: {text!r}")
        tag = _PRINTABLE_STRING if kind == OID_COUNTRY else der.UTF8_STRING
        attribute = der.sequence(der.oid(kind), der.encode(tag, text.encode()))
        parts.append(der.encode(der.SET, attribute))
    return der.sequence(*parts)


def _parsed(data: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return parse_name(data)
    except der.DerError as error:
        raise CertificateRefused(f"not a name: {error}") from None


def _single(names: tuple[tuple[str, str], ...], kind: str) -> str | None:
    # Two OUs would mean two roles, and two readers could each take another one.
    values = [text for name, text in names if name == kind]
    return values[0] if len(values) == 1 else None
