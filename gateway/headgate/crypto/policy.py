"""What a certificate of each role says: key usage, purposes, life, and which names it may bear.

The one table that the CA issues by, `verify` judges purposes by, and docs/reference/certificates.md
prints. Source: GB/T 20518-2018, 5.2.3 (a signing and an encryption certificate per holder; key
usages of each); RFC 5280, 4.2.1.3 and 4.2.1.12.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

import msgspec

from headgate.crypto.extensions import KeyUsage, Purpose
from headgate.crypto.x509 import Role

ROOT_LIFE: Final = timedelta(days=7305)
"""Twenty years: a root is changed by hand in every box."""

# A topic level and a file name (docs/reference/uplink.md, section 1).
_GATEWAY_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")

_SIGN: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE})
# Grants, results, receipts and commands are evidence against whoever signed them.
_COMMIT: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT})
_ENCRYPT: Final = frozenset(
    {KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT, KeyUsage.KEY_AGREEMENT}
)
_ISSUE: Final = frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN})


class Terms(msgspec.Struct, frozen=True):
    """What the CA writes into the certificates of one role."""

    key_usage: frozenset[KeyUsage]
    days: int
    """Life when nobody asks for another."""
    purposes: frozenset[Purpose] = frozenset()
    """Extended key usages; none means that the certificate does not speak of purposes."""

    @property
    def life(self) -> timedelta:
        """`days` as a duration."""
        return timedelta(days=self.days)


TERMS: Final[dict[Role, Terms]] = {
    Role.CA: Terms(_ISSUE, 3652),
    Role.GATEWAY: Terms(_COMMIT, 731),
    Role.GATEWAY_ENCRYPTION: Terms(_ENCRYPT, 731),
    Role.GATEWAY_LINK: Terms(_SIGN, 731, frozenset({Purpose.TLS_CLIENT})),
    Role.PLATFORM_ENCRYPTION: Terms(_ENCRYPT, 731),
    Role.PLATFORM_RECEIPT: Terms(_COMMIT, 731),
    # Both: the broker's end takes connections, the receiver makes one to it.
    Role.PLATFORM_LINK: Terms(_SIGN, 397, frozenset({Purpose.TLS_SERVER, Purpose.TLS_CLIENT})),
    Role.OPERATOR: Terms(_COMMIT, 366),
    Role.TECHNICIAN: Terms(_COMMIT, 366),
    Role.PUBLISHER: Terms(_COMMIT, 1096, frozenset({Purpose.CODE_SIGNING})),
}

_OF_GATEWAYS: Final = frozenset({Role.GATEWAY, Role.GATEWAY_ENCRYPTION, Role.GATEWAY_LINK})


def may_bear(role: Role, name: str) -> bool:
    """Whether `name` can be the common name of this role: a gateway's is its id."""
    if role in _OF_GATEWAYS:
        return _GATEWAY_NAME.fullmatch(name) is not None
    return 0 < len(name) <= 64 and name.isprintable() and name == name.strip()
