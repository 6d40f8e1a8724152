"""Why there is no link, as a sentence of the catalogue: pure, for the library's and for our own reasons.

TLS libraries say it in their own words, and differently in each version; what a technician can do
about it is one of a dozen things.
"""

from __future__ import annotations

import ssl
from typing import Final

# X509_V_ERR_* of openssl/x509_vfy.h: numbers, for the words change between versions.
_NOT_YET, _EXPIRED = 9, 10
_CRL_MISSING, _CRL_BAD = 3, frozenset({5, 8, 11, 12, 15, 16, 33, 35, 36, 44, 54})
_REVOKED = 23
_NAMES = frozenset({62, 64})
_STRANGER = frozenset({2, 7, 18, 19, 20, 21, 27, 28})

_VERIFY: Final = {
    _NOT_YET: "HG-5063",
    _EXPIRED: "HG-5062",
    _CRL_MISSING: "HG-5067",
    _REVOKED: "HG-5066",
    **dict.fromkeys(_CRL_BAD, "HG-5067"),
    **dict.fromkeys(_NAMES, "HG-5061"),
    **dict.fromkeys(_STRANGER, "HG-5060"),
}

# Alerts of RFC 8446, section 6, as OpenSSL words them; the peer's word about what we showed it.
_OURS_REFUSED = (
    "alert bad certificate",
    "alert certificate expired",
    "alert certificate required",
    "alert certificate revoked",
    "alert certificate unknown",
    "alert unsupported certificate",
    "alert unknown ca",
    "alert access denied",
    "alert decrypt error",
)
_TOO_OLD = ("alert protocol version", "unsupported protocol", "no protocols available")
_NO_COMMON = (
    "alert handshake failure",
    "alert illegal parameter",
    "alert insufficient security",
    "alert missing extension",
    "wrong cipher returned",
    "unknown cipher returned",
    "bad ecpoint",
    "wrong curve",
    "no suitable",
    "no shared",
    "wrong signature type",
)
# Alerts about what was sent, not about who sent it.
_STREAM = ("bad record mac", "record overflow", "decode error", "unexpected message")
_NO_TLS = ("wrong version number", "http request", "packet length too long", "record layer failure")
_CUT = ("unexpected eof", "eof occurred")


class Refused(ssl.SSLError):
    """The link was refused, by us or by the peer. `code` names the sentence, `fields` fill it.

    `certificate`: whether both did agree on TLS, and what failed is what the peer's certificate proves.
    """

    def __init__(
        self, code: str, reason: str, /, *, certificate: bool = False, **fields: str | int
    ) -> None:
        super().__init__(1, reason)
        self.code = code
        self.certificate = certificate
        self.fields: dict[str, str | int] = {"reason": reason, **fields}

    def __str__(self) -> str:
        return str(self.fields["reason"])


def of_verification(number: int, reason: str, **fields: str | int) -> Refused:
    """What checking the peer's certificate came to. `number` is OpenSSL's X509_V_ERR."""
    return Refused(_VERIFY.get(number, "HG-5068"), reason, certificate=True, **fields)


def of_handshake(reason: str, *, sm: bool = False, began: bool = False) -> Refused:
    """What the library says of a handshake, or of the first bytes behind it.

    Args:
        reason: the library's words.
        sm: the peer was offered SM suites and nothing else.
        began: the handshake was done on our side: in TLS 1.3 a refusal of our certificate comes then.
    """
    said = reason.lower().replace("_", " ").replace("/", " ")
    if any(words in said for words in _OURS_REFUSED):
        return Refused("HG-5064", reason)
    if began and "alert" in said and not any(words in said for words in _STREAM):
        return Refused("HG-5064", reason)
    if any(words in said for words in _TOO_OLD):
        return Refused("HG-5069" if sm else "HG-5065", reason)
    if any(words in said for words in _NO_COMMON):
        return Refused("HG-5069" if sm else "HG-5070", reason)
    if any(words in said for words in _NO_TLS):
        return Refused("HG-5071", reason)
    if any(words in said for words in _CUT) and not began:
        return Refused("HG-5072", reason)
    return Refused("HG-5011", reason)


def of_library(error: ssl.SSLError, *, began: bool = False) -> Refused:
    """The same for an error of the standard library."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return of_verification(error.verify_code, error.verify_message or str(error))
    return of_handshake(error.reason or str(error), began=began)
