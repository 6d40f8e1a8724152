"""The box's own key (KEK): where it comes from, and what that protects against.

A systemd credential named `headgate-kek` is used where there is one (it may be bound to a TPM:
`systemd-creds encrypt --with-key=tpm2`), else what `kek` under [identity] names, else a file in the
state folder that only the service can read, made at the first start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import msgspec

from headgate.config import SecretRef, Site, resolve_secret
from headgate.crypto.custody import is_sealed
from headgate.crypto.provider import SM4_KEY_SIZE
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.runtime.twins import Look, read_twins, write_twins
from headgate.spool.refusal import may_pass

log = logging.getLogger(__name__)

#: The credential's name (systemd.exec(5), LoadCredentialEncrypted=).
CREDENTIAL = "headgate-kek"


class Keeper(Enum):
    """Who keeps the box's own key."""

    SYSTEMD = "systemd"
    """A credential of the service; sealed to the TPM or to the host's own secret."""
    SECRET = "secret"  # noqa: S105 - a word, not one
    """A file or variable that the site file names."""
    FILE = "file"
    """A file in the state folder, beside what it seals."""


class Made(msgspec.Struct, frozen=True):
    """A secret that this box made for itself, and the file it belongs in."""

    path: Path
    content: bytes


class OwnKey(msgspec.Struct, frozen=True):
    """The box's own key. Never printed."""

    secret: bytes
    keeper: Keeper
    #: An older copy still lies in the state folder: what the credential protects, the file gives away.
    left_behind: bool = False

    def __repr__(self) -> str:
        return f"<own key from {self.keeper.value}>"


def own_key(env: Env, site: Site, unsaved: list[Made] | None) -> OwnKey | None:
    """The box's own key; made where there is none, unless `unsaved` is None (then None).

    Raises:
        SecurityError: it cannot be read, is not 16 bytes, or a credential and a file disagree.
    """
    path = site.state_folder / "kek"
    reference = site.identity.kek
    keeper = Keeper.SECRET
    if reference is None and _credential(env) is not None:
        reference, keeper = SecretRef("systemd", CREDENTIAL), Keeper.SYSTEMD
    if reference is not None:
        keeper = Keeper.SYSTEMD if reference.kind == "systemd" else keeper
        secret = _parsed(resolve_secret(env, reference, Path(site.base)))
        older = _lying(env, path)
        if older is not None and older != secret:
            raise SecurityError(
                "two different local keys", code="HG-6123", reference=str(reference), file=str(path)
            )
        return OwnKey(secret, keeper, older is not None)
    if unsaved is None:
        lying = None if env.files.size(path) is None else _lying(env, path)
        return None if lying is None else OwnKey(lying, Keeper.FILE)
    if _lost(env, site.state_folder):
        raise SecurityError(
            "the box's own key is not here, and keys are sealed under it", code="HG-6127",
            file=str(path),
        )  # fmt: skip
    secret = keep_own(env, path, lambda: env.random.token(SM4_KEY_SIZE), _bare, unsaved)
    if len(secret) != SM4_KEY_SIZE:
        raise SecurityError("the local key must be 16 bytes", code="HG-6107")
    return OwnKey(secret, Keeper.FILE)


def keep_own(
    env: Env,
    path: Path,
    make: Callable[[], bytes],
    look: Callable[[bytes], Look],
    unsaved: list[Made],
) -> bytes:
    """A secret of this box, made where there is none; in memory only while the disk refuses."""
    files = env.files
    made: bytes | None = None
    try:
        kept = read_twins(files, path, look)
        if kept is None:
            made = kept = make()
            write_twins(files, path, made)
        return kept
    except OSError as error:
        if not may_pass(error):
            raise unreadable(path, error) from error
        log.warning("a key of this box is not on disk", extra={"error": str(error)})
        unsaved.append(Made(path, made or make()))
        return unsaved[-1].content


def unreadable(path: Path, error: OSError) -> SecurityError:
    """A file that cannot be read, as a sentence."""
    reason = str(error.strerror)
    return SecurityError(f"{path}: {reason}", code="HG-6106", file=str(path), reason=reason)


def _credential(env: Env) -> Path | None:
    folder = env.variable("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / CREDENTIAL
    return None if env.files.size(path) is None else path


def _parsed(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != SM4_KEY_SIZE:
        raise SecurityError("the local key must be 16 bytes", code="HG-6107")
    return secret


def _lying(env: Env, path: Path) -> bytes | None:
    try:
        secret = read_twins(env.files, path, _bare, mend=False)
    except OSError as error:
        raise unreadable(path, error) from error
    return secret if secret is not None and len(secret) == SM4_KEY_SIZE else None


def _lost(env: Env, folder: Path) -> bool:
    """Whether keys lie here that only a key which is not here opens: a new one would lose them for good."""
    files = env.files
    if any(files.size(folder / name) is not None for name in ("kek", "kek.twin")):
        return False
    for name in ("identity.key", "identity.key.twin"):
        path = folder / name
        try:
            # A twin has its checksum in front.
            if files.size(path) and is_sealed(files.read(path)[4 * name.endswith(".twin") :]):
                return True
        except OSError:
            continue
    return bool(files.list(folder / "keys"))


def _bare(key: bytes) -> Look:
    return Look.PLAUSIBLE if len(key) == SM4_KEY_SIZE else Look.DAMAGED
