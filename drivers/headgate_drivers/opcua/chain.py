"""Whether a certificate comes from a CA that is trusted: its chain, its dates, its host, its revocation.

Only what a CA vouches for is looked at so closely. A certificate that a technician accepted by its
thumbprint is taken as it is, whatever its dates and names say; but never one that was revoked.
Source: OPC 10000-4 section 6.1.3, RFC 5280 section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

#: CAs between a server and the one that is trusted.
_LONGEST = 5

Verdict = Literal["accepted", "unknown", "dates", "host", "revoked"]


def parts(blob: bytes) -> list[bytes]:
    """The certificates of a chain as a server sends it: its own first, each DER behind the other."""
    found = []
    while len(blob) > 4 and blob[:2] == b"\x30\x82":
        size = int.from_bytes(blob[2:4], "big") + 4
        found.append(blob[:size])
        blob = blob[size:]
    return found or [blob]


class Authorities:
    """Whom we trust, who stands between, and what they revoked; as the library's certificates."""

    def __init__(
        self, trusted: Sequence[Any], issuers: Sequence[Any], lists: Sequence[Any]
    ) -> None:
        self._trusted = trusted
        self._issuers = issuers
        self._lists = lists

    def judge(self, chain: Sequence[Any], host: str, now: datetime | None) -> Verdict:
        """What to think of a server's certificate, the first of `chain`.

        Args:
            host: as the channel's url names it.
            now: None when our clock was never set; then no dates are looked at.
        """
        leaf = current = chain[0]
        if leaf in self._trusted:
            return "revoked" if self._is_revoked(leaf, chain[1:]) else "accepted"
        dated = _is_dated(leaf, now)
        for _ in range(_LONGEST):
            if self._is_revoked(current, chain[1:]):
                return "revoked"
            issuers = self._above(current, chain[1:])
            if not issuers:
                return "unknown"
            current = next((each for each in issuers if each in self._trusted), issuers[0])
            dated = dated or _is_dated(current, now)
            if current in self._trusted:
                break
        else:
            return "unknown"
        if dated:
            return "dates"
        return "accepted" if host.lower() in {name.lower() for name in hosts(leaf)} else "host"

    def _above(self, certificate: Any, sent: Sequence[Any]) -> list[Any]:
        known = [*self._trusted, *sent, *self._issuers]
        return [each for each in known if _is_signed_by(certificate, each)]

    def _is_revoked(self, certificate: Any, sent: Sequence[Any]) -> bool:
        for issuer in self._above(certificate, sent):
            for each in self._lists:
                if each.issuer != issuer.subject or not each.is_signature_valid(
                    issuer.public_key()
                ):
                    continue
                serial = certificate.serial_number
                if each.get_revoked_certificate_by_serial_number(serial) is not None:
                    return True
        return False


def hosts(certificate: Any) -> list[str]:
    """Names and addresses that a certificate is for."""
    return [
        str(name.value)
        for extension in certificate.extensions
        if extension.oid.dotted_string == "2.5.29.17"
        for name in extension.value
        if type(name).__name__ in ("DNSName", "IPAddress")
    ]


def _is_dated(certificate: Any, now: datetime | None) -> bool:
    return now is not None and not (
        certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    )


def _is_signed_by(certificate: Any, issuer: Any) -> bool:
    if certificate == issuer or not any(
        each.oid.dotted_string == "2.5.29.19" and each.value.ca for each in issuer.extensions
    ):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - the library's own error types; whatever it is, it is not signed
        return False
    return True
