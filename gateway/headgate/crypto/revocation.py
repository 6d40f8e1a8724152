"""Whether a CA has taken a certificate back, as far as we can know.

A box may be offline for weeks, so two questions are kept apart. *Is it on a list?* refuses always,
however old the list. *Is there a list in force?* is policy: whoever can fetch lists requires one.
Source: RFC 5280, section 6.3, without deltas and parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Final

from headgate.crypto.crl import RevocationList, check_signature
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.refusal import refused
from headgate.crypto.x509 import Certificate
from headgate.errors import CertificateRefused

MAX_LISTS: Final = 32


class Freshness(Enum):
    """What is demanded of the lists of a chain's CAs."""

    BEST_KNOWN = "best-known"
    """The newest list at hand counts, past its next update or not; none is accepted."""
    REQUIRED = "required"
    """Every CA of the chain has a list that is in force, or the chain is refused."""


class Lists:
    """The lists at hand during one check of a chain."""

    def __init__(
        self,
        crls: Sequence[RevocationList],
        freshness: Freshness,
        at: datetime | None,
        provider: CryptoProvider,
    ) -> None:
        if len(crls) > MAX_LISTS:
            raise CertificateRefused(f"more than {MAX_LISTS} revocation lists")
        self._crls = crls
        self._freshness = freshness
        self._at = at
        self._provider = provider
        self._proved: dict[tuple[bytes, bytes], tuple[RevocationList, ...]] = {}

    def check(self, certificate: Certificate, issuer: Certificate) -> None:
        """Return unless `issuer` took `certificate` back, or its lists are not what is demanded.

        Raises:
            CertificateRefused: revoked; or no list, or none in force, where one is required.
        """
        crls = self._of(issuer)
        # Every list that is truly the CA's counts: an older one, played back, must not clear anybody.
        for crl in crls:
            if (found := crl.revoked.get(certificate.serial)) is not None:
                reason = found.reason.name.lower().replace("_", " ")
                raise refused(
                    certificate,
                    "HG-6320",
                    f"its CA revoked it at {found.at.isoformat()} ({reason}); have a new one issued "
                    "for a new key",
                    at=found.at.isoformat(),
                    why=reason,
                )
        if self._freshness is Freshness.BEST_KNOWN:
            return
        name = issuer.subject_cn or "?"
        if not crls:
            raise refused(
                certificate, "HG-6321", f"no revocation list of its CA {name!r} is at hand", ca=name
            )
        if self._at is None:
            raise refused(
                certificate,
                "HG-6323",
                "revocation lists in force are required, and no time is known",
            )
        newest = max(crls, key=lambda crl: (crl.number, crl.this_update))
        if not newest.this_update <= self._at <= newest.next_update:
            raise refused(
                certificate,
                "HG-6322",
                f"the revocation list of its CA {name!r} is in force from "
                f"{newest.this_update.isoformat()} to {newest.next_update.isoformat()}; fetch the "
                "CA's newest list",
                ca=name,
                start=newest.this_update.isoformat(),
                end=newest.next_update.isoformat(),
            )

    def _of(self, issuer: Certificate) -> tuple[RevocationList, ...]:
        """The lists that `issuer` signed. A namesake's, or an altered one, is nobody's list."""
        key = issuer.subject, issuer.spki
        if key not in self._proved:
            self._proved[key] = tuple(crl for crl in self._crls if self._signed(crl, issuer))
        return self._proved[key]

    def _signed(self, crl: RevocationList, issuer: Certificate) -> bool:
        if crl.issuer != issuer.subject:
            return False
        try:
            check_signature(crl, issuer, self._provider)
        except CertificateRefused:
            return False
        return True
