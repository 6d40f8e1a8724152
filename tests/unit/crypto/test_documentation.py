"""The recipe that strangers follow must be the one that the peer test runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.crypto.certs import make_development_pki
from headgate.crypto.extensions import KeyUsage, Purpose
from headgate.crypto.policy import ROOT_LIFE, TERMS
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Role

ROOT = Path(__file__).parents[3]


def test_the_ghash_of_the_page_computes_the_standards_tag(
    provider: CryptoProvider, vectors: Any
) -> None:
    page = (ROOT / "docs/reference/crypto.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(def ghash.*?)```", page, re.DOTALL)
    room: dict[str, Any] = {}
    exec(source, room)
    for case in vectors["sm4_gcm"]["gcm"]:
        key, nonce, aad, sealed = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "ct"))
        # GCM of nothing under a nonce gives the mask: GHASH of nothing is zero.
        mask = provider.sm4_gcm_seal(key, nonce, b"", b"")
        subkey = _encrypt_block(key, bytes(16))
        tag = bytes(a ^ b for a, b in zip(room["ghash"](subkey, aad, sealed), mask, strict=True))
        assert tag.hex() == case["tag"]
        for part in (case["key"], case["iv"], case["aad"], case["tag"], case["ct"][:16]):
            assert part in page


def _encrypt_block(key: bytes, block: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import SM4

    return Cipher(SM4(key), modes.ECB()).encryptor().update(block)


# What RFC 5280 calls them.
_USAGES = {
    KeyUsage.DIGITAL_SIGNATURE: "digitalSignature",
    KeyUsage.CONTENT_COMMITMENT: "contentCommitment",
    KeyUsage.KEY_ENCIPHERMENT: "keyEncipherment",
    KeyUsage.DATA_ENCIPHERMENT: "dataEncipherment",
    KeyUsage.KEY_AGREEMENT: "keyAgreement",
    KeyUsage.KEY_CERT_SIGN: "keyCertSign",
    KeyUsage.CRL_SIGN: "cRLSign",
}
_PURPOSES = {
    Purpose.TLS_SERVER: "serverAuth",
    Purpose.TLS_CLIENT: "clientAuth",
    Purpose.CODE_SIGNING: "codeSigning",
}


def test_the_policy_that_a_city_reads_is_the_one_that_the_ca_issues_by() -> None:
    page = (ROOT / "certs/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(headgate-[a-z-]+)`(.*?)\| (.*?) \| (.*?) \| (.*?) ?\|", page, re.M)
    said = {role: row for role, which, *row in rows if "root" not in which}
    assert set(said) == {role.value for role in Role}
    for role, terms in TERMS.items():
        life, usages, purposes = said[role.value]
        assert life == f"{terms.days} days", role
        assert set(usages.split(", ")) == {_USAGES[usage] for usage in terms.key_usage}, role
        named = set(filter(None, purposes.split(", ")))
        assert named == {_PURPOSES[purpose] for purpose in terms.purposes}, role
    assert f"{round(ROOT_LIFE.days / 365.25)} years" in page


def test_every_development_file_is_named_on_the_page(provider: CryptoProvider) -> None:
    page = (ROOT / "certs/README.md").read_text(encoding="utf-8")
    made = make_development_pki(["gw-1"], now=datetime(2026, 1, 1, tzinfo=UTC), provider=provider)
    for file in made:
        stem = str(file.path.with_suffix("")).replace("gw-1", "<id>")
        assert f"`{stem}.crt .key`" in page
