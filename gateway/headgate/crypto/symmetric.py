"""SM3 and SM4 by `cryptography` (its own OpenSSL, in the wheel)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headgate.crypto.provider import NONCE_SIZE, SM4_KEY_SIZE, TAG_SIZE
from headgate.errors import SealBroken


def sm3(data: bytes) -> bytes:
    """The 32-byte digest."""
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """The 32-byte HMAC."""
    mac = HMAC(key, SM3())
    mac.update(data)
    return mac.finalize()


def hkdf_sm3(secret: bytes, info: bytes, length: int, salt: bytes = b"") -> bytes:
    """`length` bytes of key material; extract, then expand."""
    return HKDF(SM3(), length=length, salt=salt or None, info=info).derive(secret)


def sm4_gcm_seal(key: bytes, nonce: bytes, plaintext: bytes | bytearray, aad: bytes) -> bytes:
    """Ciphertext || tag."""
    encryptor = Cipher(_cipher(key), _mode(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    ciphertext = encryptor.update(plaintext)
    encryptor.finalize()
    return ciphertext + encryptor.tag


def sm4_gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The plaintext, after the tag was checked."""
    cipher, mode = _cipher(key), _mode(nonce)
    sealed = bytes(sealed)
    if len(sealed) < TAG_SIZE:
        raise SealBroken("sealed bytes are shorter than their tag")
    decryptor = Cipher(cipher, mode).decryptor()
    decryptor.authenticate_additional_data(aad)
    # `update` gives out bytes that nothing vouches for yet: they stay here until the tag holds.
    unproved = decryptor.update(sealed[:-TAG_SIZE])
    try:
        decryptor.finalize_with_tag(sealed[-TAG_SIZE:])
    except InvalidTag:
        raise SealBroken("sealed bytes do not open: altered, or another key") from None
    return unproved


def sm4_gcm_open_into(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytearray:
    """As `sm4_gcm_open`, into memory that the caller can wipe after use."""
    if len(sealed) < TAG_SIZE:
        raise SealBroken("sealed bytes are shorter than their tag")
    decryptor = Cipher(_cipher(key), _mode(nonce)).decryptor()
    decryptor.authenticate_additional_data(aad)
    size = len(sealed) - TAG_SIZE
    unproved = bytearray(size + SM4_KEY_SIZE - 1)  # the library wants room for a block
    decryptor.update_into(sealed[:-TAG_SIZE], unproved)
    try:
        decryptor.finalize_with_tag(sealed[-TAG_SIZE:])
    except InvalidTag:
        unproved[:] = bytes(len(unproved))
        raise SealBroken("sealed bytes do not open: altered, or another key") from None
    del unproved[size:]
    return unproved


def _cipher(key: bytes) -> SM4:
    if len(key) != SM4_KEY_SIZE:
        raise ValueError(f"an SM4 key has {SM4_KEY_SIZE} bytes, not {len(key)}")
    return SM4(key)


def _mode(nonce: bytes) -> GCM:
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"the nonce has {NONCE_SIZE} bytes, not {len(nonce)}")
    return GCM(nonce)
