"""Every official example in `tests/vectors/sm`, through the provider where it offers the operation.

SM4 in its plain modes and SM4-CCM are not offered by the provider; they are checked on the library
underneath, so that a wheel with a broken SM4 is seen here first.
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from headgate.crypto import der, encoding
from headgate.crypto.provider import CryptoProvider
from headgate.errors import SealBroken

unhex = bytes.fromhex


def test_sm3_digests(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm3"]["digest"]:
        assert provider.sm3(unhex(case["msg"])).hex() == case["md"], case["source"]


def test_hmac_sm3(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm3"]["hmac"]:
        mac = provider.hmac_sm3(unhex(case["key"]), unhex(case["msg"]))
        assert mac.hex() == case["mac"], case["source"]


@pytest.mark.parametrize("name", ["ecb", "cbc", "ctr"])
def test_sm4_modes_underneath(vectors: Any, name: str) -> None:
    cases = vectors["sm4"][name]
    assert cases
    for case in cases:
        made = {"ecb": modes.ECB, "cbc": modes.CBC, "ctr": modes.CTR}[name]
        mode = made(*[unhex(case["iv"])] if "iv" in case else [])
        encryptor = Cipher(SM4(unhex(case["key"])), mode).encryptor()
        found = encryptor.update(unhex(case["pt"])) + encryptor.finalize()
        assert found.hex() == case["ct"], case["source"]


def test_sm4_a_million_rounds(vectors: Any) -> None:
    (case,) = vectors["sm4"]["ecb_iterated"]
    assert case["rounds"] == 1_000_000
    # One CBC pass over zeros is the iteration: each block encrypts the block before it.
    encryptor = Cipher(SM4(unhex(case["key"])), modes.CBC(unhex(case["pt"]))).encryptor()
    assert encryptor.update(bytes(16 * case["rounds"]))[-16:].hex() == case["ct"]


def test_sm4_gcm(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm4_gcm"]["gcm"]:
        key, nonce, aad = unhex(case["key"]), unhex(case["iv"]), unhex(case["aad"])
        sealed = provider.sm4_gcm_seal(key, nonce, unhex(case["pt"]), aad)
        assert sealed.hex() == case["ct"] + case["tag"], case["source"]
        assert provider.sm4_gcm_open(key, nonce, sealed, aad).hex() == case["pt"]


def test_sm4_gcm_refuses_the_altered_tag(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm4_gcm"]["gcm_negative"]:
        with pytest.raises(SealBroken):
            provider.sm4_gcm_open(
                unhex(case["key"]),
                unhex(case["iv"]),
                unhex(case["ct"] + case["tag"]),
                unhex(case["aad"]),
            )


def test_sm4_ccm_recomputed_from_ctr_and_cbc(vectors: Any) -> None:
    """RFC 3610 by hand over SM4: L = 3, M = 16, a 12-byte nonce."""
    for case in vectors["sm4_gcm"]["ccm"]:
        key, nonce = SM4(unhex(case["key"])), unhex(case["iv"])
        aad, plain = unhex(case["aad"]), unhex(case["pt"])
        first = bytes([0x40 | 7 << 3 | 2]) + nonce + len(plain).to_bytes(3, "big")
        head = len(aad).to_bytes(2, "big") + aad
        blocks = first + head + bytes(-len(head) % 16) + plain + bytes(-len(plain) % 16)
        mac = Cipher(key, modes.CBC(bytes(16))).encryptor().update(blocks)[-16:]
        stream = Cipher(key, modes.CTR(b"\x02" + nonce + bytes(3))).encryptor()
        tag = stream.update(mac)
        assert (stream.update(plain) + tag).hex() == case["ct"] + case["tag"], case["source"]


def test_sm2_signature_of_the_standard(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm2_sign"]["vectors"]:
        point = b"\x04" + unhex(case["x"]) + unhex(case["y"])
        assert unhex(case["id"]) == encoding.SM2_ID
        signature = der.sequence(der.integer(int(case["r"], 16)), der.integer(int(case["s"], 16)))
        public = provider.sm2_load_public(encoding.spki(point))
        assert public.verify(signature, unhex(case["msg"]))
        private = provider.sm2_load_private(encoding.pkcs8(unhex(case["d"]), point))
        assert private.public.spki == public.spki


def test_sm2_signature_with_any_bit_changed_is_refused(
    provider: CryptoProvider, vectors: Any
) -> None:
    (case,) = vectors["sm2_sign"]["vectors"]
    message = unhex(case["msg"])
    point = b"\x04" + unhex(case["x"]) + unhex(case["y"])
    public = provider.sm2_load_public(encoding.spki(point))
    signature = der.sequence(der.integer(int(case["r"], 16)), der.integer(int(case["s"], 16)))
    for bit in range(8 * len(signature)):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not public.verify(bytes(changed), message)
    for bit in range(8 * len(message)):
        other = bytearray(message)
        other[bit // 8] ^= 1 << bit % 8
        assert not public.verify(signature, bytes(other))


def test_sm2_r_and_s_out_of_range_are_refused(provider: CryptoProvider, vectors: Any) -> None:
    (case,) = vectors["sm2_sign"]["vectors"]
    n = int(vectors["sm2_sign"]["curve"]["n"], 16)
    r, s = int(case["r"], 16), int(case["s"], 16)
    point = b"\x04" + unhex(case["x"]) + unhex(case["y"])
    public = provider.sm2_load_public(encoding.spki(point))
    for pair in ((0, s), (r, 0), (n, s), (r, n), (r + n, s), (r, s + n), (r, n - r), (-r, s)):
        assert not public.verify(der.sequence(*map(der.integer, pair)), unhex(case["msg"])), pair


def test_sm2_ciphertext_of_the_standard_opens(provider: CryptoProvider, vectors: Any) -> None:
    for case in vectors["sm2_encrypt"]["vectors"]:
        point = b"\x04" + unhex(case["x"]) + unhex(case["y"])
        key = provider.sm2_load_private(encoding.pkcs8(unhex(case["d"]), point))
        c1 = unhex(case["c1"])
        cipher = der.sequence(
            der.integer(int.from_bytes(c1[1:33], "big")),
            der.integer(int.from_bytes(c1[33:], "big")),
            der.octets(unhex(case["c3"])),
            der.octets(unhex(case["c2"])),
        )
        assert key.decrypt(cipher).hex() == case["msg"], case["source"]
        for bit in range(0, 8 * len(cipher), 3):
            changed = bytearray(cipher)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SealBroken):
                key.decrypt(bytes(changed))
