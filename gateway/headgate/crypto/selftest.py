"""The standards' own examples, computed once before a provider is trusted.

A library that loads may still be built wrong, cut down, or be something else of that name.
Takes a few milliseconds.
"""

from __future__ import annotations

from typing import Final

from headgate.crypto import der, encoding
from headgate.crypto.provider import CryptoProvider
from headgate.errors import CryptoUnavailable, SealBroken

_hex = bytes.fromhex

# GB/T 32905-2016, Appendix A, example 1
_SM3_ABC: Final = _hex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0")

# RFC 8998, Appendix A.1
_SM4_KEY: Final = _hex("0123456789abcdeffedcba9876543210")
_SM4_NONCE: Final = _hex("00001234567800000000abcd")
_SM4_AAD: Final = _hex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
_SM4_PLAIN: Final = b"".join(bytes([octet]) * 8 for octet in _hex("aabbccddeeffeeaa"))
_SM4_SEALED: Final = _hex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)

# GB/T 32918.5-2017, Appendix A.2 (signature) and C.2 (encryption), one key for both
_SM2_D: Final = _hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
_SM2_POINT: Final = _hex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
_SM2_MESSAGE: Final = b"message digest"
_SM2_R: Final = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
_SM2_S: Final = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
_SM2_PLAIN: Final = b"encryption standard"
_SM2_C1_X: Final = 0x04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73
_SM2_C1_Y: Final = 0xE858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0
_SM2_C3: Final = _hex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766")
_SM2_C2: Final = _hex("21886ca989ca9c7d58087307ca93092d651efa")


def self_test(provider: CryptoProvider) -> None:
    """Return when every example comes out right.

    Raises:
        CryptoUnavailable: one did not; says which.
    """
    _check(provider.sm3(b"abc") == _SM3_ABC, "SM3")
    _check_sm4_gcm(provider)
    _check_sm2(provider)


def _check_sm4_gcm(provider: CryptoProvider) -> None:
    sealed = provider.sm4_gcm_seal(_SM4_KEY, _SM4_NONCE, _SM4_PLAIN, _SM4_AAD)
    _check(sealed == _SM4_SEALED, "SM4-GCM sealing")
    opened = provider.sm4_gcm_open(_SM4_KEY, _SM4_NONCE, _SM4_SEALED, _SM4_AAD)
    _check(opened == _SM4_PLAIN, "SM4-GCM opening")
    try:
        provider.sm4_gcm_open(_SM4_KEY, _SM4_NONCE, _last_bit_flipped(_SM4_SEALED), _SM4_AAD)
    except SealBroken:
        return
    _check(False, "SM4-GCM refusing an altered tag")


def _check_sm2(provider: CryptoProvider) -> None:
    key = provider.sm2_load_private(encoding.pkcs8(_SM2_D, _SM2_POINT))
    _check(key.public.spki == encoding.spki(_SM2_POINT), "SM2 public key")
    signature = der.sequence(der.integer(_SM2_R), der.integer(_SM2_S))
    _check(key.public.verify(signature, _SM2_MESSAGE), "SM2 verification")
    _check(not key.public.verify(signature, _SM2_MESSAGE + b"!"), "SM2 refusing another message")
    _check(
        not key.public.verify(_last_bit_flipped(signature), _SM2_MESSAGE),
        "SM2 refusing an altered signature",
    )
    _check(key.public.verify(key.sign(_SM2_PLAIN), _SM2_PLAIN), "SM2 signing")
    cipher = der.sequence(
        der.integer(_SM2_C1_X), der.integer(_SM2_C1_Y), der.octets(_SM2_C3), der.octets(_SM2_C2)
    )
    _check(key.decrypt(cipher) == _SM2_PLAIN, "SM2 decryption")
    _check(key.decrypt(key.public.encrypt(_SM2_PLAIN)) == _SM2_PLAIN, "SM2 encryption")
    try:
        key.decrypt(_last_bit_flipped(cipher))
    except SealBroken:
        return
    _check(False, "SM2 refusing an altered ciphertext")


def _check(right: bool, what: str) -> None:
    if not right:
        raise CryptoUnavailable(f"self-test failed: {what}")


def _last_bit_flipped(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))
