"""The slot for a key module: keys that are made inside and never come out.

A certified module (GM/T 0028) takes this seat: a PCI-E card or a network machine over SDF
(GM/T 0018), a token or chip over SKF (GM/T 0016). Its adapter is a class with the methods of
`KeyModule`; `ModuleKey` then is an `Sm2PrivateKey` like any other to the rest of the gateway.
`sign` is given the message: an adapter over a call that takes the digest alone (SDF_InternalSign_ECC,
SKF_ECCSignData) makes it with `signed_digest`.
Source: docs/reference/keys.md, section "A key module".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

import msgspec

from headgate.crypto import encoding
from headgate.crypto.provider import CryptoProvider, Sm2PublicKey
from headgate.errors import SecurityError

# a ‖ b ‖ xG ‖ yG of the SM2 curve. Source: GB/T 32918.5-2017, section 2.
_CURVE: Final = bytes.fromhex(
    "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc"
    "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93"
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)


class HeldKey(msgspec.Struct, frozen=True):
    """One key pair in a module: the module's name for it, and its public half (SPKI, DER)."""

    id: str
    spki: bytes


class KeyModule(Protocol):
    """What the gateway asks of a module. All calls block; none ever returns a private key.

    Every method raises `SecurityError` when the module does not answer or refuses.
    """

    @property
    def description(self) -> str:
        """Maker, model, firmware and certificate number, for `status`. Nothing secret."""

    def held(self) -> Sequence[HeldKey]:
        """Every SM2 key pair that the gateway may use."""

    def generate(self) -> HeldKey:
        """Make a key pair inside."""

    def import_enveloped(self, signing: str, enveloped: bytes) -> HeldKey:
        """Take in an encryption pair that a CA's key centre wrapped for one of our signing keys.

        Args:
            signing: the id of the signing key that opens it.
            enveloped: SM2EnvelopedKey, DER (GB/T 35276-2017, section 7.4).
        """

    def sign(self, key: str, message: bytes) -> bytes:
        """A DER signature, SM2 with SM3, ID 1234567812345678."""

    def decrypt(self, key: str, ciphertext: bytes) -> bytes:
        """SM2 decryption of an ASN.1 SM2Cipher (C1 C3 C2). Raises SealBroken when it does not open."""

    def remove(self, key: str) -> None:
        """Destroy a key pair; nothing when it is gone already."""


class ModuleKey:
    """An `Sm2PrivateKey` whose private half stays in its module."""

    def __init__(self, module: KeyModule, held: HeldKey, provider: CryptoProvider) -> None:
        self._module = module
        self._held = held
        self._public = provider.sm2_load_public(held.spki)

    @property
    def public(self) -> Sm2PublicKey:
        """The other half."""
        return self._public

    @property
    def id(self) -> str:
        """The module's name for it."""
        return self._held.id

    def __repr__(self) -> str:
        return f"<SM2 private key {self._held.id!r} in a module>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")

    def sign(self, message: bytes) -> bytes:
        """A DER signature by the module."""
        return self._module.sign(self._held.id, message)

    def decrypt(self, ciphertext_der: bytes) -> bytes:
        """Decryption by the module."""
        return self._module.decrypt(self._held.id, ciphertext_der)

    def pem(self) -> NoReturn:
        """Refused: that is what a module is for."""
        raise SecurityError("this key does not leave its module", code="HG-6122")


def signed_digest(provider: CryptoProvider, spki: bytes, message: bytes) -> bytes:
    """The 32 bytes that SM2 signs for a message: SM3(Z ‖ message), Z of the default ID.

    For adapters over interfaces that sign digests. Source: GB/T 32918.2-2016, sections 5.5 and 6.1.
    """
    point = spki[-64:]
    entl = (8 * len(encoding.SM2_ID)).to_bytes(2, "big")
    return provider.sm3(provider.sm3(entl + encoding.SM2_ID + _CURVE + point) + message)
