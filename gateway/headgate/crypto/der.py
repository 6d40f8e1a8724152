"""DER in and out: just enough ASN.1 for SM2 keys, signatures and certificates.

The reader accepts DER only (definite, shortest lengths; no trailing bytes) and answers hostile
bytes with `DerError`, nothing else. The writer returns `bytes`. Source: ITU-T X.690 (2021).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_HIGH_TAG = 0x1F
_UTC_TIME_DIGITS = 12
_GENERALIZED_TIME_DIGITS = 14


class DerError(ValueError):
    """These bytes are not the DER that was expected."""


class Element(NamedTuple):
    """One tag-length-value: the tag octet, the content, and the whole as it stood."""

    tag: int
    content: bytes
    raw: bytes


def context(number: int, *, constructed: bool = True) -> int:
    """The tag octet of a context-specific `[number]`."""
    return (0xA0 if constructed else 0x80) | number


class Reader:
    """Walks the elements of one constructed value, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int | None:
        """The next tag octet, or `None` at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def element(self, tag: int | None = None) -> Element:
        """The next element, which must carry `tag` when one is given."""
        data, start = self._data, self._at
        if start + 2 > len(data):
            raise DerError("cut short")
        found, length, body = data[start], data[start + 1], start + 2
        if found & _HIGH_TAG == _HIGH_TAG:
            raise DerError("multi-byte tag")
        if length >= 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4:
                raise DerError("indefinite or oversized length")
            digits = data[body : body + octets]
            length = int.from_bytes(digits, "big")
            if len(digits) < octets or digits[0] == 0 or length < 0x80:
                raise DerError("length not in its shortest form")
            body += octets
        end = body + length
        if end > len(data):
            raise DerError("cut short")
        if tag is not None and found != tag:
            raise DerError(f"expected tag {tag:#04x}, found {found:#04x}")
        self._at = end
        return Element(found, data[body:end], data[start:end])

    def optional(self, tag: int) -> Element | None:
        """The next element when it carries `tag`, else `None` and nothing is consumed."""
        return self.element() if self.peek() == tag else None

    def inside(self, tag: int = SEQUENCE) -> Reader:
        """A reader of the next element's content."""
        return Reader(self.element(tag).content)

    def integer(self) -> int:
        """The next INTEGER, in its shortest form."""
        content = self.element(INTEGER).content
        if not content:
            raise DerError("empty integer")
        if len(content) > 1 and content[0] in (0x00, 0xFF) and (content[0] ^ content[1]) < 0x80:
            raise DerError("integer not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        """The next BOOLEAN; DER knows only 00 and FF."""
        content = self.element(BOOLEAN).content
        if content not in (b"\x00", b"\xff"):
            raise DerError("boolean neither 00 nor FF")
        return content == b"\xff"

    def oid(self) -> str:
        """The next OBJECT IDENTIFIER in dotted form."""
        return dotted(self.element(OID).content)

    def bits(self) -> bytes:
        """The next BIT STRING, which must be whole octets."""
        content = self.element(BIT_STRING).content
        if not content or content[0] != 0:
            raise DerError("bit string is not whole octets")
        return content[1:]

    def instant(self) -> datetime:
        """The next UTCTime or GeneralizedTime, in UTC. Source: RFC 5280, section 4.1.2.5."""
        tag, content, _ = self.element()
        return _instant(tag, content)

    def end(self) -> None:
        """Refuse anything left over."""
        if self._at != len(self._data):
            raise DerError("bytes after the end")


def whole(data: bytes, tag: int = SEQUENCE) -> Reader:
    """A reader inside the one element that `data` consists of."""
    outer = Reader(data)
    inner = outer.inside(tag)
    outer.end()
    return inner


def dotted(content: bytes) -> str:
    """The content octets of an OBJECT IDENTIFIER as `1.2.156.10197.1.301`."""
    if not content or content[-1] & 0x80 or len(content) > 64:
        raise DerError("malformed object identifier")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise DerError("object identifier not in its shortest form")
        value = value << 7 | octet & 0x7F
        fresh = octet < 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _instant(tag: int, content: bytes) -> datetime:
    digits = _UTC_TIME_DIGITS if tag == UTC_TIME else _GENERALIZED_TIME_DIGITS
    text = content.decode("ascii", "replace")
    stamp = text[:-1]
    if tag not in (UTC_TIME, GENERALIZED_TIME) or len(text) != digits + 1 or text[-1] != "Z":
        raise DerError("not a time in UTC with seconds")
    if not (stamp.isascii() and stamp.isdigit()):
        raise DerError("not a time")
    if tag == UTC_TIME:
        stamp = ("19" if stamp >= "50" else "20") + stamp
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise DerError("not a date of the calendar") from None


def encode(tag: int, content: bytes) -> bytes:
    """One element."""
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of elements that are already encoded."""
    return encode(SEQUENCE, b"".join(parts))


def integer(value: int) -> bytes:
    """An INTEGER in its shortest form."""
    magnitude = value if value >= 0 else ~value  # -128 fits one byte
    return encode(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return encode(OCTET_STRING, content)


def bits(content: bytes, unused: int = 0) -> bytes:
    """A BIT STRING whose last octet leaves `unused` bits out."""
    return encode(BIT_STRING, bytes((unused,)) + content)


def oid(text: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form."""
    arcs = [int(arc) for arc in text.split(".")]
    content = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return encode(OID, bytes(content))


def instant(at: datetime) -> bytes:
    """UTCTime up to 2049 and GeneralizedTime from 2050, as RFC 5280 4.1.2.5 wants it."""
    at = at.astimezone(UTC)
    # Not strftime: %Y is not zero-padded on every C library.
    tail = f"{at.month:02}{at.day:02}{at.hour:02}{at.minute:02}{at.second:02}Z"
    if 1950 <= at.year < 2050:
        return encode(UTC_TIME, f"{at.year % 100:02}{tail}".encode())
    return encode(GENERALIZED_TIME, f"{at.year:04}{tail}".encode())
