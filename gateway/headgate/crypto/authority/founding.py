"""How a CA comes to be: a root by itself, an issuing CA by a root that may be on another machine.

    offline:  found_root(...)                          root folder, kept in a safe
    online:   request = prepare(...)                   key and request, carried to the root
    offline:  root.issue(request, Role.CA, name)       certificate, carried back with the root's own
    online:   install(...)                             now `CertificateAuthority` opens the folder

Nothing that exists is overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from headgate.crypto.authority.folder import CERTIFICATE_FILE, CHAIN_FILE, CaFolder
from headgate.crypto.authority.keyfile import ITERATIONS, KEY_FILE, seal_key_file
from headgate.crypto.authority.register import FILE as REGISTER_FILE
from headgate.crypto.authority.register import Founded, Register
from headgate.crypto.authority.rules import BACKDATED
from headgate.crypto.issue import CA_USAGE, issue_certificate, make_request, subject_name
from headgate.crypto.policy import ROOT_LIFE, may_bear
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.requests import Request, load_request
from headgate.crypto.verify import verify_ca
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.errors import SecurityError

REQUEST_FILE: Final = "ca.csr"
SETTINGS_FILE: Final = "ca.json"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a CA is called, and what it writes into the names of everything it issues."""

    name: str
    organization: str
    country: str = "CN"
    crl_url: str | None = None
    """Where its revocation list can be had, written into every certificate; http, ASCII."""


def found_root(
    env: Env,
    folder: Path,
    settings: Settings,
    provider: CryptoProvider,
    *,
    passphrase: str | None = None,
    key: Sm2PrivateKey | None = None,
    path_length: int = 1,
    life: timedelta = ROOT_LIFE,
    iterations: int = ITERATIONS,
) -> Certificate:
    """A self-signed root in a new folder; its certificate.

    Args:
        env: clock, randomness and files.
        folder: holds no CA yet.
        settings: names.
        provider: the SM algorithms.
        passphrase: 12 characters or more, for a key made here; without it the root is lost.
        key: instead, one that lives in a module; the folder then holds no key.
        path_length: how many CAs may follow below it.
        life: from now.
        iterations: of the passphrase's derivation.

    Raises:
        SecurityError: a CA is there, a name that none can bear, or a passphrase that is too short.
    """
    own = key or provider.sm2_generate()
    subject = _subject(settings)
    now = _now(env)
    root = issue_certificate(
        subject=subject,
        spki=own.public.spki,
        issuer=None,
        issuer_key=own,
        key_usage=CA_USAGE,
        not_before=now - BACKDATED,
        not_after=now + life,
        path_length=path_length,
        provider=provider,
    )
    sealed = None if key else _sealed(env, provider, own, passphrase, iterations)
    made = _begin_folder(env, folder, sealed)
    made.write(CHAIN_FILE, root.pem())
    made.write(CERTIFICATE_FILE, root.pem())
    _register(env, folder, settings, now)
    return root


def prepare(
    env: Env,
    folder: Path,
    settings: Settings,
    provider: CryptoProvider,
    *,
    passphrase: str | None = None,
    key: Sm2PrivateKey | None = None,
    iterations: int = ITERATIONS,
) -> Request:
    """A request, and the sealed key it is for, in a new folder; a CA above signs it.

    Passphrase or key as in `found_root`.

    Raises:
        SecurityError: as `found_root`.
    """
    own = key or provider.sm2_generate()
    request = make_request(_subject(settings), own)
    sealed = None if key else _sealed(env, provider, own, passphrase, iterations)
    made = _begin_folder(env, folder, sealed)
    made.write(SETTINGS_FILE, msgspec.json.encode(settings) + b"\n")
    made.write(REQUEST_FILE, request.pem())
    return request


def install(
    env: Env, folder: Path, certificates: Sequence[Certificate], provider: CryptoProvider
) -> Certificate:
    """The CA's certificate, put where `prepare` was; also a renewed one, later.

    Args:
        env: clock and files.
        folder: made by `prepare`.
        certificates: the CA's own and all above it, up to the root, in any order.
        provider: the SM algorithms.

    Raises:
        SecurityError: none of them is for this CA's key, or they do not lead to a root.
    """
    there = CaFolder(env.files, folder)
    spki = load_request(there.read(REQUEST_FILE), provider).spki
    own = [certificate for certificate in certificates if certificate.spki == spki]
    roots = [certificate for certificate in certificates if certificate.self_issued]
    if not own or not roots:
        raise SecurityError(
            "a certificate for this CA's key and those above it, up to the root, are needed",
            code="HG-6232", path=str(folder / REQUEST_FILE),
        )  # fmt: skip
    newest = max(own, key=lambda certificate: certificate.not_after)
    now = _now(env)
    chain = verify_ca(newest, certificates, roots, at=now, provider=provider)
    if not there.has(REGISTER_FILE):
        _register(env, folder, _settings(there), now)
    there.write(CHAIN_FILE, b"".join(each.pem() for each in chain))
    there.write(CERTIFICATE_FILE, newest.pem())
    return newest


def _settings(there: CaFolder) -> Settings:
    try:
        return msgspec.json.decode(there.read(SETTINGS_FILE), type=Settings)
    except msgspec.DecodeError:
        path = str(there.path / SETTINGS_FILE)
        raise SecurityError(f"{path} is damaged", code="HG-6213", path=path, line=1) from None


def _subject(settings: Settings) -> bytes:
    try:
        if not may_bear(Role.CA, settings.name):
            raise ValueError(f"not a name: {settings.name!r}")
        return subject_name(settings.name, Role.CA, settings.organization, settings.country)
    except ValueError as error:
        raise SecurityError(str(error), code="HG-6233", reason=str(error)) from None


def _register(env: Env, folder: Path, settings: Settings, now: datetime) -> None:
    founded = Founded(
        at=now,
        name=settings.name,
        organization=settings.organization,
        country=settings.country,
        crl_url=settings.crl_url,
    )
    Register.begin(env.files, folder, founded)


def _sealed(
    env: Env, provider: CryptoProvider, key: Sm2PrivateKey, passphrase: str | None, iterations: int
) -> bytes:
    if passphrase is None:
        raise ValueError("a key that is made here needs a passphrase")
    return seal_key_file(provider, key, passphrase, env.random, iterations)


def _begin_folder(env: Env, folder: Path, sealed: bytes | None) -> CaFolder:
    """The new folder with its sealed key. The key first: a certificate on disk then has its key."""
    made = CaFolder(env.files, folder)
    for name in (KEY_FILE, CERTIFICATE_FILE, REQUEST_FILE):
        if made.has(name):
            path = str(folder / name)
            raise SecurityError(f"{path} exists; nothing was written", code="HG-6010", path=path)
    made.make()
    if sealed is not None:
        made.write(KEY_FILE, sealed, 0o600)
    return made


def _now(env: Env) -> datetime:
    return datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
