"""SM2 certificates and revocation lists for tests; what is changed is signed again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from headgate.crypto import der, encoding
from headgate.crypto.crl import Reason, RevocationList, Revoked
from headgate.crypto.issue import CA_USAGE, SIGN_USAGE, issue_certificate, issue_crl, subject_name
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.x509 import Certificate, Role

PROVIDER = default_provider()
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)
END = START + timedelta(days=730)


def issue(
    name: str,
    role: Role,
    issuer: Certificate | None,
    issuer_key: Sm2PrivateKey | None,
    **changes: Any,
) -> tuple[Certificate, Sm2PrivateKey]:
    """A certificate and its key; further arguments go to `issue_certificate`."""
    key = changes.pop("key", None) or PROVIDER.sm2_generate()
    given: dict[str, Any] = {
        "subject": subject_name(name, role),
        "spki": key.public.spki,
        "issuer": issuer,
        "issuer_key": issuer_key or key,
        "key_usage": CA_USAGE if role is Role.CA else SIGN_USAGE,
        "not_before": START,
        "not_after": END,
        "provider": PROVIDER,
    }
    return issue_certificate(**(given | changes)), key


def list_of(
    issuer: Certificate,
    key: Sm2PrivateKey,
    *revoked: Certificate,
    number: int = 1,
    this_update: datetime = NOW - timedelta(days=1),
    next_update: datetime = NOW + timedelta(days=29),
) -> RevocationList:
    """A list of `issuer` that takes `revoked` back."""
    return issue_crl(
        issuer=issuer,
        issuer_key=key,
        number=number,
        this_update=this_update,
        next_update=next_update,
        revoked={each.serial: Revoked(NOW, Reason.KEY_COMPROMISE) for each in revoked},
    )


def with_fields(signed: bytes, key: Sm2PrivateKey, change: Callable[[list[bytes]], None]) -> bytes:
    """A certificate or list with the fields of its signed part changed, and signed again."""
    reader = der.Reader(der.whole(signed).element().content)
    fields = []
    while reader.peek() is not None:
        fields.append(reader.element().raw)
    change(fields)
    tbs = der.sequence(*fields)
    return encoding.signed(tbs, key.sign(tbs))


def set_field(index: int, value: bytes) -> Callable[[list[bytes]], None]:
    """A change that replaces one field."""

    def change(fields: list[bytes]) -> None:
        fields[index] = value

    return change


def drop_field(index: int) -> Callable[[list[bytes]], None]:
    """A change that leaves one field out."""

    def change(fields: list[bytes]) -> None:
        del fields[index]

    return change


def scalar_of(key: Sm2PrivateKey) -> bytes:
    """The 32 bytes of a private key, read out of its PKCS #8."""
    ((_, content),) = encoding.pem_blocks(key.pem())
    outer = der.whole(content)
    outer.integer(), outer.element(der.SEQUENCE)
    inner = der.whole(outer.element(der.OCTET_STRING).content)
    inner.integer()
    return inner.element(der.OCTET_STRING).content.rjust(32, b"\0")
