"""Our own reader against the vectors that other implementations use."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.envelope.grant import Grant, verify_grant
from headgate.envelope.payload import decode_payload
from headgate.envelope.receipt import verify_receipt
from headgate.envelope.record import open_record
from headgate.errors import SecurityError

V: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "envelope" / "vectors.json").read_text()
)


def raw(name: str) -> bytes:
    return bytes.fromhex(V[name])


async def take(provider: CryptoProvider, message: bytes) -> Grant:
    point = Certificate.load(raw("platform_certificate")).spki[-65:]
    from headgate.crypto.encoding import pkcs8

    key = provider.sm2_load_private(pkcs8(raw("platform_private_key"), point))

    async def unwrap(certificate: bytes, ciphertext: bytes) -> bytes:
        return key.decrypt(ciphertext)

    return await verify_grant(
        provider,
        message,
        anchors=[Certificate.load(raw("root_certificate"))],
        recipients=[Certificate.load(raw("platform_certificate")).fingerprint],
        unwrap=unwrap,
        at=datetime(2027, 1, 1, tzinfo=UTC),
    )


async def test_what_is_good_opens(provider: CryptoProvider) -> None:
    grant = await take(provider, raw("grant"))
    assert grant.key.key == raw("record_key")
    assert open_record(provider, grant.key, raw("record")) == raw("payload")
    assert decode_payload(raw("payload")).announced == (raw("table"),)
    key = provider.sm2_load_public(raw("receipt_public_key"))
    assert verify_receipt(raw("receipt"), key, "gauge-house-7").floor == 1


@pytest.mark.parametrize("why", V["bad_grants"])
async def test_bad_grants_are_refused(provider: CryptoProvider, why: str) -> None:
    with pytest.raises(SecurityError):
        await take(provider, bytes.fromhex(V["bad_grants"][why]))


@pytest.mark.parametrize("why", [why for why in V["bad_records"] if why != "epoch"])
async def test_bad_records_are_refused(provider: CryptoProvider, why: str) -> None:
    grant = await take(provider, raw("grant"))
    with pytest.raises(SecurityError):
        open_record(provider, grant.key, bytes.fromhex(V["bad_records"][why]))


async def test_a_record_moved_to_another_epoch_does_not_open(provider: CryptoProvider) -> None:
    grant = await take(provider, raw("grant"))
    with pytest.raises(SecurityError):
        open_record(provider, grant.key, bytes.fromhex(V["bad_records"]["epoch"]))


@pytest.mark.parametrize("why", V["bad_receipts"])
def test_bad_receipts_are_refused(provider: CryptoProvider, why: str) -> None:
    key = provider.sm2_load_public(raw("receipt_public_key"))
    with pytest.raises(SecurityError):
        verify_receipt(bytes.fromhex(V["bad_receipts"][why]), key, "gauge-house-7")
