"""The seam: what Headgate asks of SM cryptography, and who answers.

`default_provider()` answers with software: SM3 and SM4 from `cryptography`, SM2 from a system
OpenSSL. A certified module takes the same seat: a class with these methods over SDF (GM/T 0018,
a card or a server's HSM) or SKF (GM/T 0016, a token) is handed to the rooms in place of the
default; `Sm2PrivateKey` is a Protocol because a module's key never leaves it, and such a key
may refuse `pem()`. There is no fall-back to other algorithms anywhere: a machine that cannot do
SM2 gets `CryptoUnavailable` at start.
"""

from __future__ import annotations

import functools
from typing import Protocol

import msgspec

#: What one SM2 encryption may carry. Headgate wraps 32-byte secrets; the limit stops misuse.
MAX_SM2_PLAINTEXT = 64 * 1024

#: Names a library file for SM2; programs pass its value to `default_provider`.
LIBCRYPTO_VARIABLE = "HEADGATE_LIBCRYPTO"

TAG_SIZE = 16
NONCE_SIZE = 12
SM4_KEY_SIZE = 16


class ProviderInfo(msgspec.Struct, frozen=True):
    """Who answers, for `status` and the log."""

    name: str
    symmetric: str
    """Library and version behind SM3 and SM4."""
    sm2: str
    """Library and version behind SM2."""
    sm2_path: str
    """Where that library was found; empty when it is not a file."""


class Sm2PublicKey(Protocol):
    """One SM2 public key."""

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER, 91 bytes: named curve, uncompressed point."""

    def verify(self, signature_der: bytes, message: bytes) -> bool:
        """Whether the key's owner signed `message` with SM2 ID 1234567812345678.

        Malformed bytes are `False`, never an exception.
        """

    def encrypt(self, plaintext: bytes) -> bytes:
        """`plaintext` (1 byte to 64 KiB) as ASN.1 SM2Cipher, C1 C3 C2 (GB/T 35276, section 7.2)."""


class Sm2PrivateKey(Protocol):
    """One SM2 private key. Its `repr` never shows it."""

    @property
    def public(self) -> Sm2PublicKey:
        """The other half."""

    def sign(self, message: bytes) -> bytes:
        """A DER signature with SM3 and SM2 ID 1234567812345678 (GB/T 35276, section 7.3)."""

    def decrypt(self, ciphertext_der: bytes) -> bytes:
        """What `Sm2PublicKey.encrypt` was given.

        Raises:
            SealBroken: altered, malformed, or for another key.
        """

    def pem(self) -> bytes:
        """The key as unencrypted PKCS #8 PEM, for a file only its owner may read."""


class CryptoProvider(Protocol):
    """The SM algorithms. Sizes are bytes; wrong sizes from our own code are `ValueError`."""

    @property
    def info(self) -> ProviderInfo:
        """Who answers."""

    def sm3(self, data: bytes) -> bytes:
        """The 32-byte digest (GB/T 32905)."""

    def hmac_sm3(self, key: bytes, data: bytes) -> bytes:
        """The 32-byte HMAC (RFC 2104 over SM3)."""

    def hkdf_sm3(self, secret: bytes, info: bytes, length: int, salt: bytes = b"") -> bytes:
        """`length` bytes (at most 8160) of key material (RFC 5869 over SM3)."""

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext || 16-byte tag (RFC 8998; 16-byte key, 12-byte nonce never used twice)."""

    def sm4_gcm_open(self, key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext, released only after the tag was checked.

        Raises:
            SealBroken: altered, cut, or sealed under another key, nonce or AAD.
        """

    def sm2_generate(self) -> Sm2PrivateKey:
        """A fresh key pair."""

    def sm2_load_private(self, pem_or_der: bytes | bytearray) -> Sm2PrivateKey:
        """A key from unencrypted PKCS #8 or ECPrivateKey, PEM or DER.

        Raises:
            SecurityError: not such a key, encrypted, or on another curve.
        """

    def sm2_load_public(self, spki_der: bytes) -> Sm2PublicKey:
        """A key from SubjectPublicKeyInfo.

        Raises:
            SecurityError: another algorithm or curve, or a point not on the curve.
        """


@functools.lru_cache(maxsize=4)
def default_provider(libcrypto: str | None = None) -> CryptoProvider:
    """The software provider, self-tested once per process.

    Args:
        libcrypto: a library file to use for SM2, named by a person. When it is given, no other
            is tried: that one was meant.

    Raises:
        CryptoUnavailable: no library on this machine passes; every one tried is named, and why.
    """
    # Imported here so that a room which only names the Protocol loads no cryptographic library.
    from headgate.crypto.software import SoftwareProvider

    return SoftwareProvider.find(libcrypto)
