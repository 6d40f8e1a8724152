from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.crypto import der, encoding, selftest
from headgate.crypto.libcrypto import Libcrypto, candidates
from headgate.crypto.provider import MAX_SM2_PLAINTEXT, CryptoProvider, default_provider
from headgate.crypto.software import SoftwareProvider
from headgate.errors import CryptoUnavailable, SealBroken, SecurityError

PROVIDER = default_provider()
KEY = PROVIDER.sm2_generate()


def test_the_provider_is_made_once_and_says_who_answers(provider: CryptoProvider) -> None:
    assert default_provider() is provider
    assert "OpenSSL" in provider.info.sm2
    assert "cryptography" in provider.info.symmetric
    assert provider.info.sm2_path


@given(key=st.binary(max_size=80), data=st.binary(max_size=200))
def test_hmac_is_rfc_2104_over_sm3(key: bytes, data: bytes) -> None:
    block = (PROVIDER.sm3(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner = PROVIDER.sm3(bytes(b ^ 0x36 for b in block) + data)
    assert PROVIDER.hmac_sm3(key, data) == PROVIDER.sm3(bytes(b ^ 0x5C for b in block) + inner)


@given(
    secret=st.binary(max_size=64),
    info=st.binary(max_size=64),
    salt=st.binary(max_size=64),
    length=st.integers(1, 100),
)
def test_hkdf_is_rfc_5869_over_sm3(secret: bytes, info: bytes, salt: bytes, length: int) -> None:
    extracted = PROVIDER.hmac_sm3(salt or bytes(32), secret)
    expected = block = b""
    while len(expected) < length:
        block = PROVIDER.hmac_sm3(extracted, block + info + bytes([len(expected) // 32 + 1]))
        expected += block
    assert PROVIDER.hkdf_sm3(secret, info, length, salt) == expected[:length]


sixteen = st.binary(min_size=16, max_size=16)
twelve = st.binary(min_size=12, max_size=12)


@given(key=sixteen, nonce=twelve, plain=st.binary(max_size=300), aad=st.binary(max_size=60))
def test_what_is_sealed_opens(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> None:
    sealed = PROVIDER.sm4_gcm_seal(key, nonce, plain, aad)
    assert len(sealed) == len(plain) + 16
    assert PROVIDER.sm4_gcm_open(key, nonce, sealed, aad) == plain


@given(data=st.data(), plain=st.binary(max_size=100), aad=st.binary(min_size=1, max_size=40))
def test_one_changed_bit_anywhere_breaks_the_seal(
    data: st.DataObject, plain: bytes, aad: bytes
) -> None:
    parts = [bytearray(b"k" * 16), bytearray(b"n" * 12), bytearray(), bytearray(aad)]
    parts[2] += PROVIDER.sm4_gcm_seal(bytes(parts[0]), bytes(parts[1]), plain, aad)
    part = data.draw(st.sampled_from(parts))
    bit = data.draw(st.integers(0, 8 * len(part) - 1))
    part[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        PROVIDER.sm4_gcm_open(*map(bytes, parts))


@given(sealed=st.binary(max_size=40))
def test_bytes_that_were_never_sealed_do_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        PROVIDER.sm4_gcm_open(b"k" * 16, b"n" * 12, sealed, b"")


@pytest.mark.parametrize(("key", "nonce"), [(b"k" * 15, b"n" * 12), (b"k" * 16, b"n" * 16)])
def test_wrong_sizes_are_our_own_mistake(key: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="bytes, not"):
        PROVIDER.sm4_gcm_seal(key, nonce, b"", b"")
    with pytest.raises(ValueError, match="bytes, not"):
        PROVIDER.sm4_gcm_open(key, nonce, bytes(16), b"")


@given(message=st.binary(max_size=300))
def test_what_is_signed_verifies_and_nothing_else(message: bytes) -> None:
    signature = KEY.sign(message)
    assert KEY.public.verify(signature, message)
    assert not KEY.public.verify(signature, message + b"\0")
    assert not KEY.public.verify(signature + b"\0", message)


def test_another_key_verifies_nothing() -> None:
    assert not PROVIDER.sm2_generate().public.verify(KEY.sign(b"level"), b"level")


def test_two_signatures_of_one_message_differ() -> None:
    assert KEY.sign(b"level") != KEY.sign(b"level")


@given(st.binary(max_size=90))
def test_noise_is_not_a_signature(noise: bytes) -> None:
    assert not KEY.public.verify(noise, b"level")


@given(st.binary(min_size=1, max_size=300))
def test_what_is_encrypted_decrypts(plain: bytes) -> None:
    cipher = KEY.public.encrypt(plain)
    assert encoding.is_ciphertext(cipher)
    assert KEY.decrypt(cipher) == plain


def test_the_largest_plaintext_and_the_limits_around_it() -> None:
    plain = bytes(range(256)) * (MAX_SM2_PLAINTEXT // 256)
    assert KEY.decrypt(KEY.public.encrypt(plain)) == plain
    for wrong in (b"", plain + b"x"):
        with pytest.raises(ValueError, match="1 to 65536"):
            KEY.public.encrypt(wrong)


@given(st.binary(max_size=200))
def test_noise_is_not_a_ciphertext(noise: bytes) -> None:
    with pytest.raises(SealBroken):
        KEY.decrypt(noise)


def test_a_ciphertext_for_another_key_does_not_open() -> None:
    with pytest.raises(SealBroken):
        PROVIDER.sm2_generate().decrypt(KEY.public.encrypt(b"secret"))


def test_a_ciphertext_with_a_point_off_the_curve_does_not_open() -> None:
    cipher = der.sequence(der.integer(1), der.integer(1), der.octets(bytes(32)), der.octets(b"x"))
    with pytest.raises(SealBroken):
        KEY.decrypt(cipher)


def test_bytes_after_a_ciphertext_are_refused() -> None:
    with pytest.raises(SealBroken):
        KEY.decrypt(KEY.public.encrypt(b"secret") + b"\0")


def test_keys_go_out_and_come_back() -> None:
    again = PROVIDER.sm2_load_private(KEY.pem())
    assert again.public.spki == KEY.public.spki
    assert PROVIDER.sm2_load_public(KEY.public.spki).verify(again.sign(b"x"), b"x")
    ((label, content),) = encoding.pem_blocks(KEY.pem())
    assert label == "PRIVATE KEY"
    assert PROVIDER.sm2_load_private(content).public.spki == KEY.public.spki


def test_a_private_key_does_not_show_itself_or_get_copied() -> None:
    ((_, content),) = encoding.pem_blocks(KEY.pem())
    scalar = content[content.index(b"\x04\x20") + 2 :][:32].hex()
    shown = repr(KEY) + str(KEY) + repr(vars(KEY))
    assert scalar not in shown
    assert "PRIVATE KEY-----" not in shown
    for copier in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copier(KEY)
        with pytest.raises(TypeError):
            copier(KEY.public)


def test_a_private_key_with_a_strangers_public_half_is_refused() -> None:
    ((_, content),) = encoding.pem_blocks(KEY.pem())
    scalar = content[content.index(b"\x04\x20") + 2 :][:32]
    mixed = encoding.pkcs8(scalar, PROVIDER.sm2_generate().public.spki[-65:])
    with pytest.raises(SecurityError):
        PROVIDER.sm2_load_private(mixed)


@given(st.binary(max_size=200))
def test_noise_is_not_a_key(noise: bytes) -> None:
    with pytest.raises(SecurityError):
        PROVIDER.sm2_load_private(noise)
    with pytest.raises(SecurityError):
        PROVIDER.sm2_load_public(noise)


def test_a_point_off_the_curve_is_not_a_key() -> None:
    spki = bytearray(KEY.public.spki)
    spki[-1] ^= 1
    with pytest.raises(SecurityError):
        PROVIDER.sm2_load_public(bytes(spki))


def test_an_encrypted_key_file_says_what_to_do() -> None:
    pem = encoding.to_pem("ENCRYPTED PRIVATE KEY", b"\x30\x00")
    with pytest.raises(SecurityError, match="openssl pkey"):
        PROVIDER.sm2_load_private(pem)


def test_bytes_after_a_key_are_refused() -> None:
    ((_, content),) = encoding.pem_blocks(KEY.pem())
    with pytest.raises(SecurityError, match="bytes after"):
        PROVIDER.sm2_load_private(content + b"\0")


def test_two_keys_in_one_file_are_refused() -> None:
    with pytest.raises(SecurityError, match="found 2"):
        PROVIDER.sm2_load_private(KEY.pem() + PROVIDER.sm2_generate().pem())


def test_one_key_serves_many_threads() -> None:
    verdicts: list[bool] = []

    def work(number: int) -> None:
        message = number.to_bytes(4, "big")
        verdicts.extend(KEY.public.verify(KEY.sign(message), message) for _ in range(20))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 80


def test_a_library_that_is_not_there_is_named() -> None:
    with pytest.raises(CryptoUnavailable, match=r"/no/such/libcrypto\.so: cannot be loaded"):
        default_provider("/no/such/libcrypto.so")


def test_a_library_that_is_something_else_is_named_with_what_it_lacks() -> None:
    with pytest.raises(CryptoUnavailable, match=r"libm\.so\.6: no function OpenSSL_version_num"):
        default_provider("libm.so.6")


def test_without_a_configured_library_ours_is_tried_before_the_systems() -> None:
    names = list(candidates(None))
    assert "crypto/_lib/libcrypto.so.3" in names[0]
    assert names.index("libcrypto.so.3") > 1
    assert list(candidates("/opt/x.so")) == ["/opt/x.so"]


def test_a_configured_library_is_the_one_used(provider: CryptoProvider) -> None:
    lines = Path("/proc/self/maps").read_text().splitlines()
    path = next(line.split()[-1] for line in lines if "/libcrypto.so" in line)
    configured = default_provider(path)
    assert configured.info.sm2_path == path
    key = configured.sm2_generate()
    assert provider.sm2_load_public(key.public.spki).verify(key.sign(b"x"), b"x")


def test_a_library_that_computes_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "_SM2_R", selftest._SM2_R ^ 1)
    with pytest.raises(CryptoUnavailable) as caught:
        SoftwareProvider.find()
    assert "libcrypto.so.3: self-test failed: SM2 verification" in str(caught.value)
    assert "_lib/libcrypto.so.3: cannot be loaded" in str(caught.value)
    assert caught.value.fields["tried"]


@pytest.mark.parametrize("name", ["_SM3_ABC", "_SM4_SEALED", "_SM4_PLAIN", "_SM2_PLAIN", "_SM2_C3"])
def test_each_example_can_fail_the_self_test(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    right = getattr(selftest, name)
    monkeypatch.setattr(selftest, name, right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises((CryptoUnavailable, SealBroken)):
        selftest.self_test(SoftwareProvider(Libcrypto("libcrypto.so.3")))
