"""A request as text that a phone takes from a screen: base32 in parts, so that each code fits. Pure.

    HGCSR1/sz-gw-0001/SIGN/1/2/MFRGG...

Base32 and upper case, for a QR code packs those characters in 5.5 bits each.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence

from headgate.errors import SecurityError

MAX_PARTS = 16
_PART = re.compile(r"HGCSR1/([A-Z0-9-]{1,64})/(SIGN|LINK)/(\d{1,2})/(\d{1,2})/([A-Z2-7]+)")


def parts(gateway: str, kind: str, der: bytes, longest: int) -> Sequence[str]:
    """The texts of one request, each at most `longest` characters (at least 100)."""
    body = base64.b32encode(der).decode().rstrip("=")
    room = longest - len(f"HGCSR1/{gateway}/{kind}/99/99/")
    pieces = [body[at : at + room] for at in range(0, len(body), room)]
    head = f"HGCSR1/{gateway.upper()}/{kind.upper()}"
    return [f"{head}/{i}/{len(pieces)}/{piece}" for i, piece in enumerate(pieces, 1)]


def join(texts: Iterable[str]) -> dict[str, bytes]:
    """The requests (DER) by kind, `sign` and `link`, from their texts in any order.

    Raises:
        SecurityError: a part is missing, foreign, or not such a text.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    totals: dict[tuple[str, str], int] = {}
    for text in texts:
        match = _PART.fullmatch(text.strip().upper())
        if match is None:
            raise SecurityError(f"not a part of a request: {text[:40]!r}", code="HG-6188")
        key, number, total = (match[1], match[2]), int(match[3]), int(match[4])
        if not 1 <= number <= total <= MAX_PARTS or totals.setdefault(key, total) != total:
            raise SecurityError("parts of different requests", code="HG-6188")
        found.setdefault(key, {})[number] = match[5]
    if len({gateway for gateway, _ in found}) != 1:
        raise SecurityError("parts of different gateways, or none", code="HG-6188")
    made: dict[str, bytes] = {}
    for key, pieces in found.items():
        if len(pieces) != totals[key]:
            raise SecurityError(f"{len(pieces)} of {totals[key]} parts", code="HG-6188")
        body = "".join(pieces[number] for number in sorted(pieces))
        try:
            made[key[1].lower()] = base64.b32decode(body + "=" * (-len(body) % 8))
        except binascii.Error:
            raise SecurityError("a part is damaged", code="HG-6188") from None
    return made
