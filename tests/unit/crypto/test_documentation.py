"""The recipe that strangers follow must be the one that the peer test runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headgate.crypto.provider import CryptoProvider

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
