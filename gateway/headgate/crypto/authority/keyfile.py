"""A CA's private key at rest: sealed under a passphrase, in a file that says nothing but whose it is.

One PEM block `HEADGATE CA KEY` of DER: SEQUENCE { version 1, iterations, salt, sealed key }. The
passphrase gives a 16-byte key by PBKDF2-HMAC-SM3, and that seals the private key as
`headgate.crypto.custody` seals every key at rest. Not PKCS #8's own encryption: OpenSSL cannot read
it with SM3, and its CBC mode does not notice a changed file.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from headgate.crypto import der, encoding
from headgate.crypto.custody import open_key, seal_key, sealed_spki
from headgate.crypto.provider import NONCE_SIZE, SM4_KEY_SIZE, CryptoProvider, Sm2PrivateKey
from headgate.env import Files, Random
from headgate.errors import SealBroken, SecurityError

KEY_FILE: Final = "ca.key"
MIN_PASSPHRASE: Final = 12
#: About 0.4 s on the machines of 2026.
ITERATIONS: Final = 1_000_000

_LABEL: Final = "HEADGATE CA KEY"
_VERSION: Final = 1
_SALT: Final = 16
# Fewer is a weakened file, more is a file made to keep us busy.
_ITERATIONS_ALLOWED: Final = range(10_000, 20_000_001)
_MAX_FILE: Final = 8192


def seal_key_file(
    provider: CryptoProvider,
    key: Sm2PrivateKey,
    passphrase: str,
    random: Random,
    iterations: int = ITERATIONS,
) -> bytes:
    """The content of a key file.

    Raises:
        SecurityError: the passphrase is too short, or the key does not leave its module.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise SecurityError(
            f"a passphrase has at least {MIN_PASSPHRASE} characters",
            code="HG-6210",
            least=MIN_PASSPHRASE,
        )
    salt = random.token(_SALT)
    sealed = seal_key(
        provider, _stretched(passphrase, salt, iterations), key, random.token(NONCE_SIZE)
    )
    content = der.sequence(
        der.integer(_VERSION), der.integer(iterations), der.octets(salt), der.octets(sealed)
    )
    return encoding.to_pem(_LABEL, content)


def open_key_file(provider: CryptoProvider, data: bytes, passphrase: str) -> Sm2PrivateKey:
    """The key in a key file.

    Raises:
        SecurityError: not a key file, or the wrong passphrase (which one, nobody can tell from a
            changed file).
    """
    iterations, salt, sealed = _parse(data)
    try:
        return open_key(provider, _stretched(passphrase, salt, iterations), sealed)
    except SealBroken:
        raise SecurityError(
            "the passphrase is wrong, or the key file was altered", code="HG-6211"
        ) from None


def key_file_spki(data: bytes) -> bytes:
    """Whose key lies in a key file, without its passphrase. Proved only once it is opened.

    Raises:
        SecurityError: not a key file.
    """
    return sealed_spki(_parse(data)[2])


def is_key_file(data: bytes) -> bool:
    """Whether these bytes claim to be a CA's sealed key."""
    return f"-----BEGIN {_LABEL}-----".encode() in data


def unlock(files: Files, folder: Path, passphrase: str, provider: CryptoProvider) -> Sm2PrivateKey:
    """The private key of the CA in `folder`.

    Raises:
        SecurityError: no key there, or the passphrase does not open it.
    """
    path = folder / KEY_FILE
    try:
        data = files.read(path, 0, _MAX_FILE + 1)
    except OSError as error:
        raise unusable(path, error) from None
    return open_key_file(provider, data, passphrase)


def change_passphrase(
    files: Files,
    folder: Path,
    old: str,
    new: str,
    provider: CryptoProvider,
    random: Random,
    *,
    iterations: int = ITERATIONS,
) -> None:
    """Seal the key of the CA in `folder` under another passphrase. Copies keep the old one.

    Raises:
        SecurityError: as `unlock` and `seal_key_file`; the file is then as it was.
    """
    key = unlock(files, folder, old, provider)
    path = folder / KEY_FILE
    try:
        files.replace(path, seal_key_file(provider, key, new, random, iterations), 0o600)
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> SecurityError:
    """A file of the CA that the disk does not give or take."""
    reason = error.strerror or str(error)
    return SecurityError(f"{path}: {reason}", code="HG-6014", path=str(path), reason=reason)


def _parse(data: bytes) -> tuple[int, bytes, bytes]:
    """Iterations, salt, sealed key."""
    try:
        if len(data) > _MAX_FILE:
            raise der.DerError("too large")
        found = [body for label, body in encoding.pem_blocks(data) if label == _LABEL]
        if len(found) != 1:
            raise der.DerError(f"expected one {_LABEL} block, found {len(found)}")
        reader = der.whole(found[0])
        version, iterations = reader.integer(), reader.integer()
        salt = reader.element(der.OCTET_STRING).content
        sealed = reader.element(der.OCTET_STRING).content
        reader.end()
        if version != _VERSION:
            raise der.DerError(f"version {version}, known is {_VERSION}")
        if iterations not in _ITERATIONS_ALLOWED or len(salt) != _SALT:
            raise der.DerError("iterations or salt that we would never write")
    except der.DerError as error:
        raise SecurityError(
            f"not a CA's key file: {error}", code="HG-6212", reason=str(error)
        ) from None
    return iterations, salt, sealed


def _stretched(passphrase: str, salt: bytes, iterations: int) -> bytes:
    # The same characters typed on another keyboard must give the same key.
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    kdf = PBKDF2HMAC(SM3(), length=SM4_KEY_SIZE, salt=salt, iterations=iterations)
    return kdf.derive(text)
