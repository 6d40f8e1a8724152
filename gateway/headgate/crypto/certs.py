"""A development PKI: the city's key layout with a root anybody can make.

Made for a desk, a test and the demo. The root's key lies beside everything else, so nothing it
signs proves anything to a stranger; `certs/README.md` says what a real one looks like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from headgate.crypto.issue import issue_certificate, subject_name
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.env import Files
from headgate.errors import SecurityError

ROOT_LIFE: Final = timedelta(days=3652)
LEAF_LIFE: Final = timedelta(days=731)
# A box whose clock is a little behind accepts what was made a minute ago.
_BACKDATED: Final = timedelta(days=1)
_ORGANIZATION: Final = "Development only"
# A topic level and a file name (docs/reference/uplink.md, section 1).
_GATEWAY_ID: Final = re.compile(r"[a-z0-9-]{1,64}")

_PLATFORM: Final = (
    (Role.PLATFORM_ENCRYPTION, "platform-encryption"),
    (Role.PLATFORM_RECEIPT, "platform-receipt"),
    (Role.PLATFORM_LINK, "platform-link"),
)
# Two operators: some points want the approval of a second person.
_PEOPLE: Final = (
    (Role.OPERATOR, "operator"),
    (Role.OPERATOR, "operator-2"),
    (Role.TECHNICIAN, "technician"),
    (Role.PUBLISHER, "publisher"),
)
# What one gateway has, by what its files are called after its id.
_OF_A_GATEWAY: Final = (
    (Role.GATEWAY, ""),
    (Role.GATEWAY_ENCRYPTION, "-encryption"),
    (Role.GATEWAY_LINK, "-link"),
)
#: What the platform's end of a link is called on a desk.
HERE: Final = Names(("localhost",), ("127.0.0.1", "::1"))


class Kind(Enum):
    """The two files of a pair."""

    KEY = "key"
    CERTIFICATE = "crt"


class PkiFile(msgspec.Struct, frozen=True):
    """One file to be written: where below the folder, what, for whom."""

    path: PurePosixPath
    content: bytes
    role: Role
    kind: Kind

    @property
    def mode(self) -> int:
        """Keys are for their owner alone."""
        return 0o600 if self.kind is Kind.KEY else 0o644


class Authority(msgspec.Struct, frozen=True):
    """A CA that can issue: its certificate and its key."""

    certificate: Certificate
    key: Sm2PrivateKey


def make_pair(
    role: Role,
    name: str,
    authority: Authority | None,
    *,
    now: datetime,
    provider: CryptoProvider,
    names: Names | None = None,
) -> tuple[Certificate, Sm2PrivateKey]:
    """A fresh key and its certificate; without an authority, a self-signed root.

    `names` are for a platform's link alone.
    """
    key = provider.sm2_generate()
    certificate = issue_certificate(
        subject=subject_name(name, role, _ORGANIZATION),
        spki=key.public.spki,
        issuer=authority.certificate if authority else None,
        issuer_key=authority.key if authority else key,
        key_usage=TERMS[role].key_usage,
        not_before=now - _BACKDATED,
        not_after=now + (LEAF_LIFE if authority else ROOT_LIFE),
        path_length=0 if role is Role.CA else None,
        purposes=TERMS[role].purposes,
        names=names,
        provider=provider,
    )
    return certificate, key


def make_development_pki(
    gateways: Sequence[str],
    *,
    now: datetime,
    provider: CryptoProvider,
    authority: Authority | None = None,
    names: Names = HERE,
) -> tuple[PkiFile, ...]:
    """Root, platform, people and gateways; with an authority, only the gateways' own.

    Raises:
        SecurityError: a gateway id that cannot be a file name and a topic level.
    """
    for gateway in gateways:
        if not _GATEWAY_ID.fullmatch(gateway):
            raise SecurityError(
                f"gateway id {gateway!r}: 1 to 64 characters of a-z, 0-9 and '-'",
                code="HG-6012",
                gateway=gateway,
            )
    made: list[PkiFile] = []

    def add(role: Role, name: str, stem: str, issuer: Authority | None) -> Authority:
        if any(file.path.with_suffix("") == PurePosixPath(stem) for file in made):
            # "gw" and "gw-link" would share a file: the link of one is the other's own.
            raise SecurityError(
                f"gateway id {name!r}: its files would be another gateway's",
                code="HG-6012",
                gateway=name,
            )
        hosts = names if role is Role.PLATFORM_LINK else None
        certificate, key = make_pair(role, name, issuer, now=now, provider=provider, names=hosts)
        # The key first: a certificate on disk then always has its key.
        for kind, content in ((Kind.KEY, key.pem()), (Kind.CERTIFICATE, certificate.pem())):
            made.append(PkiFile(PurePosixPath(f"{stem}.{kind.value}"), content, role, kind))
        return Authority(certificate, key)

    if authority is None:
        authority = add(Role.CA, "Headgate development root", "ca", None)
        for role, stem in (*_PLATFORM, *_PEOPLE):
            add(role, stem, stem, authority)
    for gateway in dict.fromkeys(gateways):
        for role, suffix in _OF_A_GATEWAY:
            add(role, gateway, f"gateways/{gateway}{suffix}", authority)
    return tuple(made)


def write_development_pki(
    folder: Path,
    gateways: Sequence[str],
    *,
    now: datetime,
    provider: CryptoProvider,
    files: Files,
    names: Names = HERE,
) -> tuple[PkiFile, ...]:
    """Make the PKI in `folder`, or add gateways to the one that is there; nothing is overwritten.

    `names` is where gateways meet the platform's end of a link.

    Raises:
        SecurityError: a file to be written exists, or the folder holds half an authority.
        OSError: the folder cannot be read or written.
    """
    authority = _read_authority(folder, provider, files)
    made = make_development_pki(
        gateways, now=now, provider=provider, authority=authority, names=names
    )
    if not made:
        raise _exists(folder / "ca.crt")
    for file in made:
        if files.size(folder / file.path) is not None:
            raise _exists(folder / file.path)
    files.make_folder(folder, 0o755)
    for file in made:
        files.make_folder((folder / file.path).parent, 0o755)
        files.replace(folder / file.path, file.content, file.mode)
    return made


def _read_authority(folder: Path, provider: CryptoProvider, files: Files) -> Authority | None:
    paths = folder / "ca.crt", folder / "ca.key"
    there = [files.size(path) is not None for path in paths]
    if not any(there):
        return None
    if not all(there):
        missing = paths[there.index(False)]
        raise SecurityError(
            f"{missing} is missing beside its other half", code="HG-6011", path=str(missing)
        )
    certificate = Certificate.load(files.read(paths[0]))
    key = provider.sm2_load_private(files.read(paths[1]))
    if key.public.spki != certificate.spki or certificate.role is not Role.CA:
        raise SecurityError(
            f"{paths[1]} is not the key of the development root {paths[0]}",
            code="HG-6013",
            path=str(paths[1]),
        )
    return Authority(certificate, key)


def _exists(path: Path) -> SecurityError:
    return SecurityError(f"{path} exists; nothing was written", code="HG-6010", path=str(path))
