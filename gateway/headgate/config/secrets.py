"""Fetches a secret that a site file refers to. The secret is returned, and said nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headgate.config.values import SecretRef
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.logs import keep_out

_LIMIT = 65536


def resolve_secret(env: Env, reference: SecretRef, base: Path = Path()) -> str:
    """The secret behind a reference, without the line break at its end.

    `base` is where relative `file:` paths start: `Path(site.base)`.

    Raises:
        SecurityError: it is not there, cannot be read, or is empty. Never holds the secret.
    """
    if reference.kind == "env":
        text = env.variable(reference.name)
        if text is None:
            raise _error("HG-1300", reference)
    else:
        text = _read(env, reference, _file(env, reference, base))
    text = text.rstrip("\r\n")
    if not text or len(text) > _LIMIT:
        raise _error("HG-1302", reference, limit=_LIMIT)
    keep_out(text)
    return text


def resolve_options(env: Env, value: Any, base: Path = Path()) -> Any:
    """A plugin's options with every reference in them replaced by its secret, however deep it lies.

    Raises:
        SecurityError: as `resolve_secret`.
    """
    if isinstance(value, SecretRef):
        return resolve_secret(env, value, base)
    if isinstance(value, dict):
        return {key: resolve_options(env, part, base) for key, part in value.items()}
    if isinstance(value, list):
        return [resolve_options(env, part, base) for part in value]
    return value


def _file(env: Env, reference: SecretRef, base: Path) -> Path:
    if reference.kind == "file":
        return base / reference.name
    # systemd.exec(5), LoadCredential=: credentials lie in a folder that only the service sees.
    folder = env.variable("CREDENTIALS_DIRECTORY")
    if not folder:
        raise _error("HG-1300", reference)
    return Path(folder) / reference.name


def _read(env: Env, reference: SecretRef, path: Path) -> str:
    try:
        return env.files.read(path, 0, _LIMIT + 1).decode("utf-8")
    except FileNotFoundError:
        raise _error("HG-1300", reference) from None
    except OSError as error:
        raise _error("HG-1301", reference, reason=error.strerror or type(error).__name__) from None
    except UnicodeDecodeError:
        # The decoder's own error carries the bytes.
        raise _error("HG-1301", reference, reason="not UTF-8") from None


def _error(code: str, reference: SecretRef, **fields: object) -> SecurityError:
    return SecurityError(
        f"secret {reference}: {code}", code=code, reference=str(reference), **fields
    )
