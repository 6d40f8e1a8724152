"""A small SM2 PKI for tests: a root, a gateway, a platform, and grants between them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from headgate.crypto.issue import ENCRYPT_USAGE, SIGN_USAGE, issue_certificate, subject_name
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, KeyUsage, Role
from headgate.envelope.grant import GrantCore, make_core, sign_grant

NOW = datetime(2026, 7, 1, tzinfo=UTC)
EPOCH, KEY_ID, SALT, SECRET = b"epoch--1", b"key-id-1", b"salt", bytes(range(32))


class Party(NamedTuple):
    key: Sm2PrivateKey
    certificate: Certificate


class Pki:
    """A root and what it issued; `issue` makes more."""

    def __init__(self, provider: CryptoProvider, name: str = "test root") -> None:
        self.provider = provider
        key = provider.sm2_generate()
        usage = frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN})
        self.root = Party(key, self._make(name, Role.CA, key, None, usage))
        self.gateway = self.issue("gauge-house-7", Role.GATEWAY)
        self.platform = self.issue("platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)

    def issue(
        self, name: str, role: Role, usage: frozenset[KeyUsage] = SIGN_USAGE, days: int = 3650
    ) -> Party:
        key = self.provider.sm2_generate()
        return Party(key, self._make(name, role, key, self.root, usage, days))

    def _make(
        self,
        name: str,
        role: Role,
        key: Sm2PrivateKey,
        issuer: Party | None,
        usage: frozenset[KeyUsage],
        days: int = 3650,
    ) -> Certificate:
        return issue_certificate(
            subject=subject_name(name, role),
            spki=key.public.spki,
            issuer=issuer.certificate if issuer else None,
            issuer_key=issuer.key if issuer else key,
            key_usage=usage,
            not_before=NOW - timedelta(days=365),
            not_after=NOW - timedelta(days=365) + timedelta(days=days),
            provider=self.provider,
        )

    def core(self, gateway: str = "gauge-house-7", *, signed: bool = False) -> GrantCore:
        spki = self.gateway.certificate.spki
        return make_core(self.provider, gateway, spki, EPOCH, KEY_ID, SALT, signed=signed)

    def grant(
        self,
        *recipients: Party,
        secret: bytes = SECRET,
        signer: Party | None = None,
        core: GrantCore | None = None,
    ) -> bytes:
        signer, core = signer or self.gateway, core or self.core()
        to = [each.certificate for each in recipients or (self.platform,)]
        return sign_grant(self.provider, core, to, secret, signer.key, [signer.certificate])
