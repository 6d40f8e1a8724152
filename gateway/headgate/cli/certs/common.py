"""What the commands about certificates share: the provider, and files named by a person."""

from __future__ import annotations

from pathlib import Path

from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.env import Env
from headgate.errors import SecurityError

# A key file is a few hundred bytes, a bundle some tens of kilobytes, a revocation list up to 2 MiB.
_MAX_FILE = 4 * 1024 * 1024


def provider_of(env: Env) -> CryptoProvider:
    """The SM algorithms, by the library that the environment names."""
    return default_provider(env.variable(LIBCRYPTO_VARIABLE))


def read(env: Env, path: Path) -> bytes:
    """A file named by a person."""
    try:
        return env.files.read(path, 0, _MAX_FILE)
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> SecurityError:
    """A file or folder that cannot be read or written."""
    reason = error.strerror or str(error)
    return SecurityError(f"{path}: {reason}", code="HG-6014", path=str(path), reason=reason)
