"""One certificate by a role's terms, and the line that the register gets for it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headgate.crypto.authority.register import Founded, Issued
from headgate.crypto.authority.rules import Wanted, check_terms, span
from headgate.crypto.issue import issue_certificate, subject_name
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Random


class Mint(msgspec.Struct, frozen=True, kw_only=True):
    """A CA at one instant: what it needs to sign. Nothing is written here."""

    ca: Certificate
    key: Sm2PrivateKey
    founded: Founded
    provider: CryptoProvider
    random: Random
    now: datetime

    def certificate(self, spki: bytes, wanted: Wanted) -> Certificate:
        """A certificate for a public key.

        Raises:
            SecurityError: against the terms of the role.
        """
        check_terms(self.ca, wanted)
        terms, founded = TERMS[wanted.role], self.founded
        not_before, not_after = span(self.ca, wanted, self.now)
        return issue_certificate(
            subject=subject_name(wanted.name, wanted.role, founded.organization, founded.country),
            spki=spki,
            issuer=self.ca,
            issuer_key=self.key,
            key_usage=terms.key_usage,
            not_before=not_before,
            not_after=not_after,
            provider=self.provider,
            path_length=wanted.path_length if wanted.role is Role.CA else None,
            purposes=terms.purposes,
            names=wanted.names,
            crl_url=founded.crl_url,
            # 126 random bits, and always the same length.
            serial=int.from_bytes(self.random.token(16), "big") >> 2 | 1 << 126,
        )

    def entry(
        self, certificate: Certificate, wanted: Wanted, twin: Certificate | None = None
    ) -> Issued:
        """The register's line for a certificate; `twin` is the other of its pair."""
        return Issued(
            at=self.now,
            serial=f"{certificate.serial:x}",
            role=wanted.role,
            name=wanted.name,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            key=self.provider.sm3(certificate.spki).hex(),
            certificate=certificate.fingerprint.hex(),
            names=wanted.names,
            replaces=wanted.replaces,
            pair=f"{twin.serial:x}" if twin else None,
        )
