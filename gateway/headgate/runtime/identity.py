"""Who this gateway is to the platform: its signing key, its certificate, and whom it seals for.

A box is often installed weeks before it has a certificate. It then makes its own signing key, seals with
keys that are wrapped to itself, and grants them to the platform once both certificates are there. The
same holds for a box whose certificate has run out or was revoked.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

import msgspec

from headgate.config import Site, resolve_secret
from headgate.crypto.custody import is_sealed, sealed_spki
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey, Sm2PublicKey
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.runtime.enrolment.certified import Certified, gather, newest_of_each
from headgate.runtime.enrolment.custody import FIRST, Custody, FileCustody, ModuleCustody
from headgate.runtime.enrolment.kek import Made, OwnKey, own_key, unreadable
from headgate.runtime.enrolment.modules import open_module
from headgate.runtime.enrolment.papers import Folder, Papers
from headgate.runtime.twins import Look, read_twins, write_twins

__all__ = ["CERTIFICATES", "Identity", "Made", "check_identity", "load_identity", "newest_of_each"]

log = logging.getLogger(__name__)

#: Keys of [identity] that name a file of certificates.
CERTIFICATES = ("certificate", "ca", "platform_encryption", "platform_receipt", "revocation")


class Identity(msgspec.Struct, frozen=True):
    """Keys and certificates, loaded and checked.

    `recipients` is empty before enrolment; then it is one encryption certificate a platform. `receipt_keys`
    are pinned, several while the platform changes from one to the next. `kek` is None when this box keeps
    no local wrap: only then does a stolen box yield nothing, and only the platform can open what it has
    stored. `signs_records`: whether each record is signed (envelope/chain.py).
    """

    gateway: str
    signing_key: Sm2PrivateKey
    chain: tuple[Certificate, ...]
    recipients: tuple[Certificate, ...]
    receipt_keys: tuple[Sm2PublicKey, ...]
    kek: bytes | None
    #: What was made and could not be written yet, because the disk refuses: see `save_made`.
    unsaved: tuple[Made, ...] = ()
    signs_records: bool = False
    #: Where the private keys are; None only in tests.
    custody: Custody | None = None
    papers: Papers | None = None
    certified: Certified = Certified()
    #: An older copy of the box's own key lies in the state folder beside the credential.
    left_behind: bool = False

    @property
    def enrolled(self) -> bool:
        """Whether grants can be made that a platform accepts."""
        return bool(self.chain and self.recipients and not self.certified.barred)

    @property
    def encryption_key(self) -> Sm2PrivateKey | None:
        """The key that opens what is sealed to this gateway; None before the key centre gave one."""
        return self._of(self.certified.encryption)

    @property
    def link_key(self) -> Sm2PrivateKey | None:
        """The key shown in TLS handshakes; its chain is `certified.link`."""
        return self._of(self.certified.link)

    def _of(self, chain: tuple[Certificate, ...]) -> Sm2PrivateKey | None:
        return self.custody.find(chain[0].spki) if chain and self.custody else None

    def __repr__(self) -> str:
        return f"<identity {self.gateway}{'' if self.enrolled else ' (not enrolled)'}>"


def load_identity(
    env: Env, site: Site, provider: CryptoProvider, at: datetime | None = None
) -> Identity:
    """The identity of a site: what its file names, and what enrolment brought; a key is made where none is.

    Args:
        at: now, by a trusted clock; None judges no dates.

    Raises:
        SecurityError: a key or certificate that does not fit, with the file's name.
    """
    unsaved: list[Made] = []
    papers = Folder(env, provider, site.state_folder).load(site.gateway.id)
    own = own_key(env, site, unsaved)
    assert own is not None  # one was made
    custody = open_custody(env, site, provider, own, unsaved)
    signing_key = _signing_key(env, site, provider, custody, papers)
    keeps_wrap = site.identity.keep_local_wrap
    certified = gather(env, site, provider, papers, at, keep_ended=not keeps_wrap)
    _check_pair(site, certified.chain, signing_key.public.spki)
    kek = own.secret if keeps_wrap else None
    if kek is None and not (certified.chain and certified.recipients):
        raise SecurityError("nobody could ever open what would be stored", code="HG-6103")
    return Identity(
        gateway=site.gateway.id,
        signing_key=signing_key,
        chain=certified.chain,
        recipients=certified.recipients,
        receipt_keys=tuple(provider.sm2_load_public(each.spki) for each in certified.receipts),
        kek=kek,
        unsaved=tuple(unsaved),
        signs_records=bool(site.identity.sign_records) or len(certified.recipients) > 1,
        custody=custody,
        papers=papers,
        certified=certified,
        left_behind=own.left_behind,
    )


def open_custody(
    env: Env, site: Site, provider: CryptoProvider, own: OwnKey, unsaved: list[Made]
) -> Custody:
    """Where this site's private keys are.

    Raises:
        SecurityError: the module that it names is not there or does not open.
    """
    if site.identity.module is not None:
        return ModuleCustody(open_module(env, site, provider, site.identity.module), provider)
    return FileCustody(env, provider, site.state_folder, own, unsaved)


def save_made(env: Env, identity: Identity) -> bool:
    """Write what could not be written at the start; False while the disk refuses. Never over another's."""
    try:
        for made in identity.unsaved:
            if env.files.size(made.path) is None:
                write_twins(env.files, made.path, made.content)
    except OSError as error:
        log.debug("keys of this box not written", extra={"error": str(error)})
        return False
    return True


def stored_kek(env: Env, site: Site) -> bytes | None:
    """The local key as it lies there, for whoever only looks; None where there is none."""
    try:
        own = own_key(env, site, None) if site.identity.keep_local_wrap else None
    except (OSError, SecurityError):
        return None
    return None if own is None else own.secret


def check_identity(env: Env, site: Site, provider: CryptoProvider) -> None:
    """Look at what a site file names as `load_identity` would, and make nothing.

    Raises:
        SecurityError: what the start would refuse.
    """
    papers = Folder(env, provider, site.state_folder).load(site.gateway.id, mend=False)
    chain = gather(env, site, provider, papers).chain
    if site.identity.key is not None:
        _check_pair(site, chain, _given(env, site, provider).public.spki)
    elif site.identity.certificate is not None:
        spki = _lying(env, site.state_folder / FIRST, provider)
        if spki is not None:
            _check_pair(site, chain, spki)


def _check_pair(site: Site, chain: tuple[Certificate, ...], spki: bytes) -> None:
    if chain and chain[0].spki != spki:
        raise SecurityError(
            "certificate and key do not belong together",
            code="HG-6100",
            file=str(site.identity.certificate),
        )


def _signing_key(
    env: Env, site: Site, provider: CryptoProvider, custody: Custody, papers: Papers
) -> Sm2PrivateKey:
    if site.identity.key is not None:
        return _given(env, site, provider)
    if papers.sign and site.identity.certificate is None:
        wanted = papers.chain(Role.GATEWAY)[0].spki
        found = custody.find(wanted)
        if found is None:
            raise SecurityError(
                "the key of this box's certificate is gone", code="HG-6131", keeper=custody.keeper
            )
        return found
    # Asked for and not answered yet: what is sealed meanwhile is granted by the certificate that comes.
    asked = None if papers.asked is None else custody.find(papers.asked.sign)
    return asked or custody.first()


def _given(env: Env, site: Site, provider: CryptoProvider) -> Sm2PrivateKey:
    """The key that the site file names: kept by whoever named it."""
    assert site.identity.key is not None
    pem = resolve_secret(env, site.identity.key, Path(site.base))
    return provider.sm2_load_private(pem.encode())


def _lying(env: Env, path: Path, provider: CryptoProvider) -> bytes | None:
    """The public half of the box's own first key, without opening it."""

    def look(data: bytes) -> Look:
        try:
            _spki(data, provider)
        except SecurityError:
            return Look.DAMAGED
        return Look.PLAUSIBLE if is_sealed(data) else Look.WHOLE

    try:
        data = read_twins(env.files, path, look, mend=False)
    except OSError as error:
        raise unreadable(path, error) from error
    return None if data is None else _spki(data, provider)


def _spki(data: bytes, provider: CryptoProvider) -> bytes:
    return sealed_spki(data) if is_sealed(data) else provider.sm2_load_private(data).public.spki
