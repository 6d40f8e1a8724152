"""The certificates that a box was given: one file, which a power cut leaves old or new, never mixed.

`identity.papers` in the state folder holds what `headgate enroll` took in and nothing secret; the
private keys are in custody and named here by their public halves. What the site file names itself
counts before it. Kept twice (runtime/twins.py), written whole, numbered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.crypto.crl import RevocationList
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.runtime.enrolment.kek import unreadable
from headgate.runtime.twins import Look, read_twins, write_twins

FILE: Final = "identity.papers"
_MAGIC: Final = b"HGPAPERS\x01"
_DIGEST: Final = 32
#: Own identities that were replaced and whose grants may still be under way.
MAX_RETIRED: Final = 8

Der = Annotated[bytes, Meta(max_length=16 * 1024)]
OWN_ROLES: Final = (Role.GATEWAY, Role.GATEWAY_ENCRYPTION, Role.GATEWAY_LINK)


class Asked(msgspec.Struct, frozen=True):
    """A request that went out and was not answered yet: the public halves of the keys in it."""

    sign: bytes
    link: bytes
    at_us: int
    """Wall time when it was made; a label."""


class Service(msgspec.Struct, frozen=True):
    """Where the box was enrolled online, and the TLS roots that this service was proved with."""

    url: Annotated[str, Meta(max_length=2000)]
    roots: tuple[Der, ...]


class Papers(msgspec.Struct, frozen=True, kw_only=True):
    """Everything certified that this box holds. Certificates are DER, our own before their CAs."""

    gateway: str
    number: int = 0
    """Rises with every change."""
    sign: tuple[Der, ...] = ()
    encryption: tuple[Der, ...] = ()
    link: tuple[Der, ...] = ()
    retired: tuple[Der, ...] = ()
    """Signing certificates that were renewed, the newest first."""
    anchors: tuple[Der, ...] = ()
    platform: tuple[Der, ...] = ()
    between: tuple[Der, ...] = ()
    """CAs between the anchors and what was taken in, proved: a platform's certificate comes without them."""
    crls: tuple[bytes, ...] = ()
    asked: Asked | None = None
    service: Service | None = None

    def chain(self, role: Role) -> tuple[Certificate, ...]:
        """Our certificate of a role and the CAs that came with it; empty when there is none."""
        found = {
            Role.GATEWAY: self.sign,
            Role.GATEWAY_ENCRYPTION: self.encryption,
            Role.GATEWAY_LINK: self.link,
        }[role]
        return loaded(found)

    def platforms(self, role: Role) -> tuple[Certificate, ...]:
        """The platform's certificates of a role, in the order in which they came."""
        return tuple(each for each in loaded(self.platform) if each.role is role)

    def revocations(self) -> tuple[RevocationList, ...]:
        """The lists that were taken in."""
        return tuple(RevocationList.load(each) for each in self.crls)


def loaded(found: Iterable[bytes]) -> tuple[Certificate, ...]:
    """Certificates from their DER."""
    return tuple(Certificate.load(each) for each in found)


def ended(certificates: Sequence[Certificate], at: datetime) -> bool:
    """Whether one of a chain has run out."""
    return any(at > each.not_after for each in certificates)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Papers)


def encode(provider: CryptoProvider, papers: Papers) -> bytes:
    """The file's bytes: label and version, SM3 of the body, body (msgpack)."""
    body = _encoder.encode(papers)
    return _MAGIC + provider.sm3(body) + body


def decode(provider: CryptoProvider, data: bytes) -> Papers:
    """Papers from a file's bytes.

    Raises:
        SecurityError: not such a file, or not whole.
    """
    head = len(_MAGIC) + _DIGEST
    body = data[head:]
    if not data.startswith(_MAGIC) or provider.sm3(body) != data[len(_MAGIC) : head]:
        raise SecurityError("the papers of this box are damaged", code="HG-6130")
    try:
        papers = _decoder.decode(body)
        for each in (*papers.sign, *papers.encryption, *papers.link, *papers.anchors):
            Certificate.load(each)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SecurityError(
            f"the papers of this box are damaged: {error}", code="HG-6130"
        ) from None
    return papers


class Folder:
    """The file in its folder."""

    def __init__(self, env: Env, provider: CryptoProvider, folder: Path) -> None:
        self._env = env
        self._provider = provider
        self.path = folder / FILE

    def load(self, gateway: str, *, mend: bool = True) -> Papers:
        """What is there; empty papers when there is no file.

        Raises:
            SecurityError: damaged (both copies), unreadable, or another gateway's: a copied folder.
        """
        try:
            data = read_twins(self._env.files, self.path, self._look, mend=mend)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if data is None:
            return Papers(gateway=gateway)
        papers = decode(self._provider, data)
        if papers.gateway != gateway:
            raise SecurityError(
                "papers of another gateway", code="HG-6101", file=str(self.path),
                named=papers.gateway, gateway=gateway,
            )  # fmt: skip
        return papers

    def save(self, papers: Papers) -> Papers:
        """Write them, numbered one up. Raises OSError; the old ones count then."""
        numbered = msgspec.structs.replace(papers, number=papers.number + 1)
        write_twins(self._env.files, self.path, encode(self._provider, numbered))
        return numbered

    def _look(self, data: bytes) -> Look:
        try:
            decode(self._provider, data)
        except SecurityError:
            return Look.DAMAGED
        return Look.WHOLE
