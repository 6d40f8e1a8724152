"""A private key at rest: sealed under the box's own key, and wiped from memory where Python allows.

    data = seal_key(provider, kek, key, env.random.token(12))      # what may lie on a disk
    key = open_key(provider, kek, data)

One file is `"HGKEY" ‖ version ‖ public key (91 bytes, SPKI) ‖ nonce (12) ‖ SM4-GCM(PKCS #8)`. The
public half stands open, so that anybody can tell whose key it is without opening it; it is
authenticated with the rest. The sealing key is HKDF-SM3 of the box's own key and a label, so the
own key itself seals nothing here.

What is wiped: the decoded key, on both ways. What is not: the few copies that the interpreter and
OpenSSL make on their own (the key that is in use lives in OpenSSL's memory, as it must).
Source: docs/reference/keys.md.
"""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from headgate.crypto import encoding, symmetric
from headgate.crypto.provider import NONCE_SIZE, SM4_KEY_SIZE, CryptoProvider, Sm2PrivateKey
from headgate.errors import SealBroken, SecurityError

LABEL: Final = b"headgate-key-custody-v1"
_MAGIC: Final = b"HGKEY"
_VERSION: Final = 1
_SPKI: Final = 91
_HEAD: Final = len(_MAGIC) + 1 + _SPKI
MAX_SEALED: Final = 1024


@runtime_checkable
class Exportable(Protocol):
    """A private key whose bytes can be had in memory that is wiped after use."""

    def pkcs8(self) -> bytearray:
        """Unencrypted PKCS #8, DER."""


def seal_key(provider: CryptoProvider, kek: bytes, key: Sm2PrivateKey, nonce: bytes) -> bytes:
    """A key as it may lie on a disk. `kek` is the box's own key (16 bytes), `nonce` 12 random bytes.

    Raises:
        SecurityError: the key is in a module and does not leave it.
    """
    head = _MAGIC + bytes((_VERSION,)) + key.public.spki
    if not isinstance(key, Exportable):
        raise SecurityError("this key does not leave its module", code="HG-6122")
    content = key.pkcs8()
    try:
        # A buffer is taken as it is: `bytes(content)` would leave a copy that nobody wipes.
        sealed = symmetric.sm4_gcm_seal(_sealing_key(provider, kek), nonce, content, LABEL + head)
        return head + nonce + sealed
    finally:
        wipe(content)


def open_key(provider: CryptoProvider, kek: bytes, data: bytes) -> Sm2PrivateKey:
    """The key that `seal_key` was given.

    Raises:
        SealBroken: altered, cut, or sealed on another box.
        SecurityError: a version that we do not know.
    """
    spki = sealed_spki(data)
    nonce, sealed = data[_HEAD : _HEAD + NONCE_SIZE], data[_HEAD + NONCE_SIZE :]
    content = symmetric.sm4_gcm_open_into(
        _sealing_key(provider, kek), nonce, sealed, LABEL + data[:_HEAD]
    )
    try:
        key = provider.sm2_load_private(content)
    finally:
        wipe(content)
    if key.public.spki != spki:
        raise SealBroken("the sealed key is not the one that its file names")
    return key


def is_sealed(data: bytes) -> bool:
    """Whether these bytes claim to be a sealed key (a plain one is PEM)."""
    return data.startswith(_MAGIC)


def sealed_spki(data: bytes) -> bytes:
    """Whose key lies sealed here: its SubjectPublicKeyInfo. Proved only once it is opened.

    Raises:
        SealBroken: not a sealed key.
        SecurityError: a version that we do not know.
    """
    least = _HEAD + NONCE_SIZE + 16
    if not is_sealed(data) or not least <= len(data) <= MAX_SEALED:
        raise SealBroken(f"{len(data)} bytes are not a sealed key")
    version = data[len(_MAGIC)]
    if version != _VERSION:
        raise SecurityError(
            f"a key sealed in format {version}, we know {_VERSION}", code="HG-6121", version=version
        )
    spki = data[len(_MAGIC) + 1 : _HEAD]
    if not encoding.is_sm2_spki(spki):
        raise SealBroken("the sealed key names no SM2 key")
    return spki


def wipe(secret: bytearray) -> None:
    """Overwrite a secret where it lies."""
    secret[:] = bytes(len(secret))


def _sealing_key(provider: CryptoProvider, kek: bytes) -> bytes:
    if len(kek) != SM4_KEY_SIZE:
        raise ValueError(f"the box's own key has {SM4_KEY_SIZE} bytes, not {len(kek)}")
    return provider.hkdf_sm3(kek, LABEL, SM4_KEY_SIZE)
