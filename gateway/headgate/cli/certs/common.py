"""What the commands about certificates share: the CA and its passphrase, files named by a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.terminal import both, reader
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.messages import say

if TYPE_CHECKING:
    from headgate.crypto.authority import CertificateAuthority
    from headgate.crypto.x509 import Role

# A key file is a few hundred bytes, a bundle some tens of kilobytes, a revocation list up to 2 MiB.
_MAX_FILE = 4 * 1024 * 1024

CaFolder = Annotated[Path, typer.Argument(metavar="CA", help=both("The CA's folder.", "CA 目录。"))]
Passphrase = Annotated[
    str | None,
    typer.Option(
        "--passphrase",
        metavar="REF",
        help=both(
            "Where the CA's passphrase is: env:NAME, file:PATH, systemd:NAME. Asked for otherwise.",
            "CA 口令的来源，不给出则提示输入。",
        ),
    ),
]
Days = Annotated[
    int | None,
    typer.Option(
        "--days", min=1, max=36600, help=both("Life, instead of the role's own.", "有效天数。")
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="PATH", help=both("Where to write.", "写入的位置。")),
]


def provider_of(env: Env) -> CryptoProvider:
    """The SM algorithms, by the library that the environment names."""
    return default_provider(env.variable(LIBCRYPTO_VARIABLE))


def passphrase_of(env: Env, reference: str | None, *, twice: bool) -> str:
    """The passphrase behind a reference, or asked for at the terminal (twice for a new one).

    Raises:
        SecurityError: the reference is none, or leads nowhere.
    """
    from headgate.config import SecretRef, resolve_secret

    if reference is None:
        answer: str = typer.prompt(
            say("HG-6260", reader()), hide_input=True, confirmation_prompt=twice, err=True
        )
        return answer
    try:
        parsed = SecretRef.parse(reference)
    except ValueError:
        raise SecurityError("not a reference to a secret", code="HG-6261") from None
    return resolve_secret(env, parsed)


def open_ca(env: Env, folder: Path, reference: str | None) -> CertificateAuthority:
    """The CA in a folder with its key, ready to issue."""
    from headgate.crypto.authority import CertificateAuthority, unlock

    provider = provider_of(env)
    CertificateAuthority(
        env, folder, provider
    )  # is there one? nobody types a passphrase for nothing
    key = unlock(env.files, folder, passphrase_of(env, reference, twice=False), provider)
    return CertificateAuthority(env, folder, provider, key)


def role_of(text: str) -> Role:
    """A role as a person writes it: with or without its "headgate-".

    Raises:
        SecurityError: no such role; says which there are.
    """
    from headgate.crypto.x509 import Role

    for role in Role:
        if text in (role.value, role.value.removeprefix("headgate-")):
            return role
    known = ", ".join(role.value.removeprefix("headgate-") for role in Role)
    raise SecurityError(f"no role {text!r}", code="HG-6262", role=text, known=known)


def serial_of(text: str) -> int:
    """A serial number as `list` and `openssl` write it: hexadecimal, colons or not.

    Raises:
        SecurityError: not one.
    """
    try:
        return int(text.replace(":", ""), 16)
    except ValueError:
        raise SecurityError(f"no serial number: {text!r}", code="HG-6227", serial=text) from None


def read(env: Env, path: Path) -> bytes:
    """A file named by a person."""
    try:
        return env.files.read(path, 0, _MAX_FILE)
    except OSError as error:
        raise unusable(path, error) from None


def check_new(env: Env, path: Path) -> None:
    """Return when there is no such file yet.

    Raises:
        SecurityError: there is.
    """
    try:
        there = env.files.size(path) is not None
    except OSError as error:
        raise unusable(path, error) from None
    if there:
        raise SecurityError(f"{path} exists", code="HG-6010", path=str(path))


def write_new(env: Env, path: Path, content: bytes, mode: int = 0o644) -> None:
    """A file named by a person that is not there yet.

    Raises:
        SecurityError: it is there, or cannot be written.
    """
    check_new(env, path)
    try:
        env.files.make_folder(path.parent)
        env.files.replace(path, content, mode)
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> SecurityError:
    """A file or folder that cannot be read or written."""
    reason = error.strerror or str(error)
    return SecurityError(f"{path}: {reason}", code="HG-6014", path=str(path), reason=reason)
