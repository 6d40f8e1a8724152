"""Headgate's SM2, SM3 and SM4 against the `openssl` command, both ways.

The command is another program, and on most machines another OpenSSL than either of ours.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.crypto import encoding
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.errors import SealBroken

pytestmark = pytest.mark.peer("openssl")

PROVIDER = default_provider()
ID = "distid:1234567812345678"


class OpenSSL(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"", fails: bool = False) -> bytes: ...


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    """Runs the command in the test's folder; gives what it wrote to standard output."""

    def run(*arguments: str, stdin: bytes = b"", fails: bool = False) -> bytes:
        done = subprocess.run(
            ["openssl", *arguments], cwd=tmp_path, input=stdin, capture_output=True, check=False
        )
        assert (done.returncode != 0) is fails, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture
def key(openssl: OpenSSL, tmp_path: Path) -> Sm2PrivateKey:
    """A key made by openssl; `key.pem` and `pub.pem` lie in the test's folder."""
    openssl("genpkey", "-algorithm", "SM2", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    return PROVIDER.sm2_load_private((tmp_path / "key.pem").read_bytes())


def test_openssls_keys_are_ours_and_ours_are_its(
    openssl: OpenSSL, key: Sm2PrivateKey, tmp_path: Path
) -> None:
    ((_, spki),) = encoding.pem_blocks((tmp_path / "pub.pem").read_bytes())
    assert key.public.spki == spki
    mine = PROVIDER.sm2_generate()
    assert openssl("pkey", "-pubout", "-outform", "DER", stdin=mine.pem()) == mine.public.spki


def test_a_traditional_key_file_loads(openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("ecparam", "-name", "SM2", "-genkey", "-out", "old.pem")
    data = (tmp_path / "old.pem").read_bytes()
    assert b"PARAMETERS" in data
    spki = openssl("pkey", "-in", "old.pem", "-pubout", "-outform", "DER")
    assert PROVIDER.sm2_load_private(data).public.spki == spki


def test_openssl_verifies_what_we_sign(
    openssl: OpenSSL, key: Sm2PrivateKey, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"level 3.21 m")
    (tmp_path / "sig").write_bytes(key.sign(b"level 3.21 m"))
    check = ("dgst", "-sm3", "-verify", "pub.pem", "-signature", "sig")
    openssl(*check, "-sigopt", ID, "m")
    openssl(*check, "-sigopt", "distid:8765432187654321", "m", fails=True)
    (tmp_path / "m").write_bytes(b"level 3.22 m")
    openssl(*check, "-sigopt", ID, "m", fails=True)


def test_we_verify_what_openssl_signs(openssl: OpenSSL, key: Sm2PrivateKey, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"level 3.21 m")
    sign = ("pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-digest", "sm3", "-in", "m")
    signature = openssl(*sign, "-pkeyopt", ID)
    assert key.public.verify(signature, b"level 3.21 m")
    assert not key.public.verify(signature, b"level 3.22 m")
    assert not key.public.verify(openssl(*sign, "-pkeyopt", "distid:other"), b"level 3.21 m")
    assert not key.public.verify(openssl(*sign), b"level 3.21 m"), "an empty ID is not the ID"


@pytest.mark.parametrize("size", [1, 16, 32, 255, 4096])
def test_ciphertexts_go_both_ways(
    openssl: OpenSSL, key: Sm2PrivateKey, tmp_path: Path, size: int
) -> None:
    plain = bytes(range(256)) * 16
    (tmp_path / "c").write_bytes(key.public.encrypt(plain[:size]))
    assert openssl("pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "c") == plain[:size]
    sealed = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", stdin=plain[:size])
    assert key.decrypt(sealed) == plain[:size]


def test_digests_agree(openssl: OpenSSL) -> None:
    data = bytes(range(256)) * 300
    assert openssl("dgst", "-sm3", "-binary", stdin=data) == PROVIDER.sm3(data)
    mac = openssl("mac", "-digest", "SM3", "-macopt", "key:secret", "-in", "-", "HMAC", stdin=data)
    assert mac.decode().strip().lower() == PROVIDER.hmac_sm3(b"secret", data).hex()


def test_key_derivation_agrees(openssl: OpenSSL) -> None:
    derived = openssl(
        "kdf", "-keylen", "48", "-kdfopt", "digest:SM3", "-kdfopt", "key:secret",
        "-kdfopt", "salt:grain", "-kdfopt", "info:label", "-binary", "HKDF",
    )  # fmt: skip
    assert derived == PROVIDER.hkdf_sm3(b"secret", b"label", 48, b"grain")


# --- SM4-GCM from SM4-CTR and GHASH, as docs/reference/crypto.md tells a stranger ---------------


def ghash(subkey: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """GHASH over GF(2^128), NIST SP 800-38D, section 6.4."""
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    padded = aad + bytes(-len(aad) % 16) + ciphertext + bytes(-len(ciphertext) % 16) + lengths
    h, y = int.from_bytes(subkey, "big"), 0
    for start in range(0, len(padded), 16):
        x = y ^ int.from_bytes(padded[start : start + 16], "big")
        z, v = 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y.to_bytes(16, "big")


def open_by_hand(
    openssl: OpenSSL, key: bytes, nonce: bytes, sealed: bytes, aad: bytes
) -> bytes | None:
    """The plaintext by `openssl enc` alone, or `None` when the tag is wrong."""
    ciphertext, tag = sealed[:-16], sealed[-16:]
    block = ("enc", "-sm4-ecb", "-nopad", "-K", key.hex())
    subkey = openssl(*block, stdin=bytes(16))
    mask = openssl(*block, stdin=nonce + b"\0\0\0\1")
    wanted = bytes(a ^ b for a, b in zip(ghash(subkey, aad, ciphertext), mask, strict=True))
    if wanted != tag:
        return None
    start = (nonce + b"\0\0\0\2").hex()
    return openssl("enc", "-d", "-sm4-ctr", "-K", key.hex(), "-iv", start, stdin=ciphertext)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plain=st.binary(min_size=1, max_size=200), aad=st.binary(max_size=50))
def test_what_we_seal_opens_by_hand(openssl: OpenSSL, plain: bytes, aad: bytes) -> None:
    key, nonce = bytes(range(16)), bytes(range(12))
    sealed = PROVIDER.sm4_gcm_seal(key, nonce, plain, aad)
    assert open_by_hand(openssl, key, nonce, sealed, aad) == plain
    assert open_by_hand(openssl, key, nonce, sealed, aad + b"x") is None


def test_what_was_sealed_by_hand_opens_here(openssl: OpenSSL) -> None:
    key, nonce, aad, plain = b"k" * 16, b"n" * 12, b"header", b"level 3.21 m" * 50
    block = ("enc", "-sm4-ecb", "-nopad", "-K", key.hex())
    start = (nonce + b"\0\0\0\2").hex()
    ciphertext = openssl("enc", "-sm4-ctr", "-K", key.hex(), "-iv", start, stdin=plain)
    digest = ghash(openssl(*block, stdin=bytes(16)), aad, ciphertext)
    mask = openssl(*block, stdin=nonce + b"\0\0\0\1")
    tag = bytes(a ^ b for a, b in zip(digest, mask, strict=True))
    assert PROVIDER.sm4_gcm_open(key, nonce, ciphertext + tag, aad) == plain
    with pytest.raises(SealBroken):
        PROVIDER.sm4_gcm_open(key, nonce, ciphertext + tag[:-1] + b"\0", aad)
