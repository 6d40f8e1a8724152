"""The cases of tests/vectors/envelope, and our own verdicts on them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from headgate.crypto.encoding import pkcs8
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey, default_provider
from headgate.crypto.x509 import Certificate
from headgate.envelope.grant import verify_grant
from headgate.envelope.payload import decode_payload
from headgate.envelope.receipt import verify_receipt
from headgate.envelope.record import RecordKey, open_proven, parse_header
from headgate.errors import CertificateRefused, EnvelopeError, SealBroken, SignatureInvalid

FOLDER = Path(__file__).parents[1] / "vectors" / "envelope"
KINDS = ("grants", "records", "signed_records", "receipts")


@cache
def load(kind: str) -> dict[str, Any]:
    """One file."""
    found: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    return found


def message(case: dict[str, Any]) -> bytes:
    """The bytes of a case."""
    return bytes.fromhex(case["message"]) + bytes(case.get("zeros_behind", 0))


def names() -> list[tuple[str, int]]:
    """(kind, number) of every case."""
    return [(kind, at) for kind in KINDS for at in range(len(load(kind)["cases"]))]


def platform_key(file: dict[str, Any], provider: CryptoProvider) -> Sm2PrivateKey:
    """The published key of the file."""
    point = Certificate.load(bytes.fromhex(file["platform_certificate"])).spki[-65:]
    return provider.sm2_load_private(pkcs8(bytes.fromhex(file["platform_private_key"]), point))


async def grant_verdict(file: dict[str, Any], case: dict[str, Any]) -> str:
    """What we say of a grant."""
    provider = default_provider()
    key = platform_key(file, provider)

    async def unwrap(certificate: bytes, ciphertext: bytes) -> bytes:
        return key.decrypt(ciphertext)

    try:
        await verify_grant(
            provider,
            message(case),
            anchors=[Certificate.load(bytes.fromhex(each)) for each in file["anchors"]],
            recipients=[Certificate.load(bytes.fromhex(file["platform_certificate"])).fingerprint],
            unwrap=unwrap,
            at=datetime.fromisoformat(case.get("at", file["at"])),
            revoked={bytes.fromhex(each) for each in case.get("revoked", ())},
        )
    except CertificateRefused:
        return "certificate"
    except SignatureInvalid:
        return "signature"
    except SealBroken:
        return "seal"
    except EnvelopeError as error:
        return "recipient" if error.code == "HG-7024" else "form"
    return "accepted"


async def record_verdict(file: dict[str, Any], case: dict[str, Any]) -> str:
    """What we say of a record whose grant is known."""
    provider, data = default_provider(), message(case)
    names = ("key_id", "salt", "record_key")
    parts = [bytes.fromhex(file[name]) for name in names]
    signed = "signer" in file
    core = provider.sm3(bytes.fromhex(file["core"])) if signed else None
    signer = provider.sm2_load_public(bytes.fromhex(file["signer"])) if signed else None
    try:
        header = parse_header(data)
    except EnvelopeError:
        return "form"
    if (header.key_id, header.epoch) != (parts[0], bytes.fromhex(file["epoch"])):
        return "key"
    try:
        opened = open_proven(provider, RecordKey(*parts, core), data, signer)
        decode_payload(opened.payload)
    except SealBroken:
        return "seal"
    except SignatureInvalid:
        return "origin"
    except EnvelopeError:
        return "content"
    return "accepted"


async def receipt_verdict(file: dict[str, Any], case: dict[str, Any]) -> str:
    """What we say of a receipt."""
    provider = default_provider()
    pinned = [provider.sm2_load_public(bytes.fromhex(each)) for each in file["pinned"]]
    try:
        verify_receipt(message(case), pinned, file["gateway"])
    except SignatureInvalid:
        return "signature"
    except EnvelopeError:
        return "form"
    return "accepted"


VERDICTS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Awaitable[str]]] = {
    "grants": grant_verdict,
    "records": record_verdict,
    "signed_records": record_verdict,
    "receipts": receipt_verdict,
}
