"""The key centre's envelope (SM2EnvelopedKey): opened by its holder, refused when anything is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.issuing import scalar_of

from headgate.crypto import der, encoding
from headgate.crypto.custody_module import ModuleKey
from headgate.crypto.custody_standin import StandIn
from headgate.crypto.enveloped import enveloped_spki, open_enveloped, seal_enveloped, to_pem
from headgate.crypto.provider import default_provider
from headgate.errors import SealBroken, SecurityError
from headgate.testing.env import fake_env

PROVIDER = default_provider()
HOLDER, KEY, STRANGER = (PROVIDER.sm2_generate() for _ in range(3))
SM4_KEY = bytes(range(16))
SEALED = seal_enveloped(HOLDER.public, KEY, SM4_KEY)
POINT = encoding.point(KEY.public.spki)


def ecb(plain: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import SM4

    return Cipher(SM4(SM4_KEY), modes.ECB()).encryptor().update(plain)


def build(
    cipher: bytes | None = None,
    wrapped: bytes | None = None,
    point: bytes = POINT,
    plain: bytes | None = None,
) -> bytes:
    """The structure as GB/T 35276 7.4 prints it, written part by part."""
    return der.sequence(
        cipher or der.sequence(der.oid("1.2.156.10197.1.104.1")),
        wrapped or HOLDER.public.encrypt(SM4_KEY),
        der.bits(point),
        der.bits(ecb(scalar_of(KEY) if plain is None else plain)),
    )


def test_the_holder_of_the_signing_key_gets_the_encryption_key() -> None:
    for data in (SEALED, to_pem(SEALED)):
        opened = open_enveloped(PROVIDER, HOLDER, data)
        assert opened.public.spki == KEY.public.spki == enveloped_spki(data)
        assert opened.decrypt(KEY.public.encrypt(b"a secret")) == b"a secret"


@pytest.mark.parametrize(
    "cipher",
    [
        der.sequence(der.oid("1.2.156.10197.1.104.1"), b"\x05\x00"),
        der.sequence(der.oid("1.2.156.10197.1.104")),
        der.sequence(der.oid("1.2.156.10197.1.104"), b"\x04\x00"),
    ],
)
def test_the_ways_in_which_key_centres_name_sm4_are_read(cipher: bytes) -> None:
    assert open_enveloped(PROVIDER, HOLDER, build(cipher)).public.spki == KEY.public.spki


@pytest.mark.parametrize(("before", "after"), [(b"", bytes((16,)) * 16), (bytes(32), b"")])
def test_padding_that_the_standard_leaves_open_is_read(before: bytes, after: bytes) -> None:
    data = build(plain=before + scalar_of(KEY) + after)
    assert open_enveloped(PROVIDER, HOLDER, data).public.spki == KEY.public.spki


def test_a_key_that_begins_with_zeros_keeps_them() -> None:
    for _ in range(10_000):
        if scalar_of(key := PROVIDER.sm2_generate())[0] == 0:
            break
    else:
        pytest.fail("no such key in ten thousand")
    opened = open_enveloped(PROVIDER, HOLDER, seal_enveloped(HOLDER.public, key, SM4_KEY))
    assert scalar_of(opened) == scalar_of(key)


def test_a_key_in_a_module_is_not_sealed(tmp_path: Path) -> None:
    env = fake_env()
    module = StandIn(PROVIDER, env.files, tmp_path, env.random.token)
    held = ModuleKey(module, module.generate(), PROVIDER)
    with pytest.raises(SecurityError) as caught:
        seal_enveloped(HOLDER.public, held, SM4_KEY)
    assert caught.value.code == "HG-6122"


def test_a_stranger_does_not_open_it() -> None:
    with pytest.raises(SealBroken):
        open_enveloped(PROVIDER, STRANGER, SEALED)


def test_a_private_key_of_another_pair_is_refused() -> None:
    with pytest.raises(SecurityError) as caught:
        open_enveloped(PROVIDER, HOLDER, build(plain=scalar_of(STRANGER)))
    assert caught.value.code == "HG-6202"
    with pytest.raises(SecurityError) as caught:
        open_enveloped(PROVIDER, HOLDER, build(point=encoding.point(STRANGER.public.spki)))
    assert caught.value.code == "HG-6202"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cipher": der.sequence(der.oid("1.2.156.10197.1.102"))}, "HG-6201"),  # SM1
        ({"cipher": der.sequence(der.oid("2.16.840.1.101.3.4.1.1"))}, "HG-6201"),  # AES-128-ECB
        ({"cipher": der.sequence(der.oid("1.2.156.10197.1.104.1"), b"\x04\x01\x00")}, "HG-6200"),
        ({"point": POINT[1:]}, "HG-6200"),
        ({"point": b"\x02" + POINT[1:33]}, "HG-6200"),
        ({"point": POINT[:-1] + bytes((POINT[-1] ^ 1,))}, "HG-6202"),
        ({"plain": b""}, "HG-6200"),
        ({"plain": bytes(16)}, "HG-6200"),
        ({"plain": bytes(32)}, "HG-6202"),
        ({"plain": b"\xff" * 32}, "HG-6202"),
        ({"plain": bytes(48)}, "HG-6202"),
        ({"plain": b"\x01" * 64}, "HG-6202"),
        ({"wrapped": HOLDER.public.encrypt(bytes(15))}, "HG-6002"),
        ({"wrapped": HOLDER.public.encrypt(bytes(32))}, "HG-6002"),
        ({"wrapped": STRANGER.public.encrypt(SM4_KEY)}, "HG-6002"),
        ({"wrapped": HOLDER.public.encrypt(bytes(16))}, "HG-6202"),  # another SM4 key
        ({"wrapped": der.sequence(der.integer(1))}, "HG-6002"),
    ],
)
def test_what_is_off_is_refused_by_its_own_sentence(changes: Any, code: str) -> None:
    with pytest.raises(SecurityError) as caught:
        open_enveloped(PROVIDER, HOLDER, build(**changes))
    assert caught.value.code == code


@given(st.integers(0, 8 * len(SEALED) - 1))
def test_one_changed_bit_never_gives_a_key_that_is_not_whole(bit: int) -> None:
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        opened = open_enveloped(PROVIDER, HOLDER, bytes(changed))
    except SecurityError:
        return
    # The cipher's parameters decide nothing; everything else must have been noticed.
    assert opened.public.spki == KEY.public.spki


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, to_pem(noise), b"-----BEGIN " + noise):
        with pytest.raises(SecurityError):
            open_enveloped(PROVIDER, HOLDER, data)
        with pytest.raises(SecurityError):
            enveloped_spki(data)


def test_what_is_long_is_not_even_read() -> None:
    with pytest.raises(SecurityError, match="larger than 1024"):
        open_enveloped(PROVIDER, HOLDER, SEALED + bytes(1024))
    with pytest.raises(SecurityError, match="bytes after the end"):
        open_enveloped(PROVIDER, HOLDER, SEALED + b"\0")
