"""Who this gateway is to the platform: its signing key, its certificate, and whom it seals for.

A box is often installed weeks before it has a certificate. It then makes its own signing key, seals with
keys that are wrapped to itself, and grants them to the platform once both certificates are there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from headgate.config import SecretRef, Site, resolve_secret
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey, Sm2PublicKey
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Env
from headgate.envelope.grant import MAX_RECIPIENTS
from headgate.errors import CertificateRefused, SecurityError
from headgate.runtime.twins import Look, read_twins, write_twins
from headgate.spool.refusal import may_pass

log = logging.getLogger(__name__)

KEK_SIZE = 16
#: Keys of [identity] that name a file of certificates.
CERTIFICATES = ("certificate", "ca", "platform_encryption", "platform_receipt")


class Made(msgspec.Struct, frozen=True):
    """A secret that this box made for itself, and the file it belongs in."""

    path: Path
    content: bytes


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

    @property
    def enrolled(self) -> bool:
        """Whether grants can be made."""
        return bool(self.chain and self.recipients)

    def __repr__(self) -> str:
        return f"<identity {self.gateway}{'' if self.enrolled else ' (not enrolled)'}>"


def load_identity(env: Env, site: Site, provider: CryptoProvider) -> Identity:
    """The identity that a site file names; what it lacks is made in the state folder.

    Raises:
        SecurityError: a key or certificate that does not fit, with the file's name.
    """
    unsaved: list[Made] = []
    signing_key = _signing_key(env, site, provider, unsaved)
    chain, recipients, receipt = _papers(env, site, signing_key, provider)
    kek = _kek(env, site, unsaved) if site.identity.keep_local_wrap else None
    if kek is None and not (chain and recipients):
        raise SecurityError("nobody could ever open what would be stored", code="HG-6103")
    return Identity(
        gateway=site.gateway.id,
        signing_key=signing_key,
        chain=chain,
        recipients=recipients,
        receipt_keys=tuple(provider.sm2_load_public(each.spki) for each in receipt),
        kek=kek,
        unsaved=tuple(unsaved),
        signs_records=bool(site.identity.sign_records) or len(recipients) > 1,
    )


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
    path = site.state_folder / "kek"
    try:
        if not site.identity.keep_local_wrap or (
            site.identity.kek is None and env.files.size(path) is None
        ):
            return None
        return _kek(env, site, [])
    except (OSError, SecurityError):
        return None


def check_identity(env: Env, site: Site, provider: CryptoProvider) -> None:
    """Look at what a site file names as `load_identity` would, and make nothing.

    Raises:
        SecurityError: what the start would refuse.
    """
    named = site.identity.key is not None
    if named:
        signing_key: Sm2PrivateKey | None = _signing_key(env, site, provider, [])
    else:
        path = site.state_folder / "identity.key"
        try:
            made = read_twins(env.files, path, lambda pem: _pem(provider, pem), mend=False)
        except OSError as error:
            raise _unreadable(path, error) from error
        signing_key = None if made is None else provider.sm2_load_private(made)
    _papers(env, site, signing_key, provider)


def _papers(
    env: Env, site: Site, signing_key: Sm2PrivateKey | None, provider: CryptoProvider
) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...], tuple[Certificate, ...]]:
    """Our own certificates, the platform's for encryption and the one for receipts, checked."""
    spec = site.identity
    chain = _certificates(env, site, spec.certificate)
    anchors = _certificates(env, site, spec.ca)
    encryption = _certificates(env, site, spec.platform_encryption)
    receipt = _certificates(env, site, spec.platform_receipt)
    if chain:
        if signing_key is not None and chain[0].spki != signing_key.public.spki:
            raise SecurityError(
                "certificate and key do not belong together",
                code="HG-6100",
                file=str(spec.certificate),
            )
        if chain[0].subject_cn != site.gateway.id:
            raise SecurityError(
                "the certificate names another gateway", code="HG-6101",
                file=str(spec.certificate), named=str(chain[0].subject_cn), gateway=site.gateway.id,
            )  # fmt: skip
    for certificate, usage, role in (
        *((c, Usage.ENCRYPT, Role.PLATFORM_ENCRYPTION) for c in encryption),
        *((c, Usage.SIGN, Role.PLATFORM_RECEIPT) for c in receipt),
    ):
        _check(certificate, anchors, usage, role, provider)
    if {each.spki for each in encryption} & {each.spki for each in receipt}:
        raise SecurityError("one key for two purposes", code="HG-6102")
    recipients = newest_of_each(encryption)
    if len(recipients) > MAX_RECIPIENTS:
        raise SecurityError(
            "too many platforms", code="HG-6113", count=len(recipients), most=MAX_RECIPIENTS
        )
    if len(recipients) > 1 and spec.sign_records is False:
        # Each of them has the record key then, and could seal records that pass for ours.
        names = ", ".join(str(each.subject_cn) for each in recipients)
        raise SecurityError("several platforms and no signatures", code="HG-6112", platforms=names)
    return chain, recipients, receipt


def newest_of_each(certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """One encryption certificate a platform: of those with one common name, the one issued last.

    In the order in which the platforms are first named. What an older certificate of a platform opens is
    the platform's affair; nothing new is sealed for it.
    """
    found: dict[str | None, Certificate] = {}
    for each in certificates:
        known = found.get(each.subject_cn)
        if known is None or each.not_before > known.not_before:
            found[each.subject_cn] = each
    return tuple(found.values())


def _check(
    certificate: Certificate,
    anchors: Sequence[Certificate],
    usage: Usage,
    role: Role,
    provider: CryptoProvider,
) -> None:
    if not anchors:
        raise SecurityError(
            "platform certificates need the root they are checked against", code="HG-6104"
        )
    try:
        # No dates: without a trusted clock they say nothing, and the box may have booted in 1970.
        verify_chain(certificate, (), anchors, usage=usage, at=None, provider=provider, role=role)
    except CertificateRefused as error:
        raise SecurityError(
            f"platform certificate refused: {error}",
            code="HG-6105",
            role=role.value,
            reason=str(error),
        ) from error


def _signing_key(
    env: Env, site: Site, provider: CryptoProvider, unsaved: list[Made]
) -> Sm2PrivateKey:
    if site.identity.key is not None:
        pem = resolve_secret(env, site.identity.key, Path(site.base))
        return provider.sm2_load_private(pem.encode())
    path = site.state_folder / "identity.key"
    return provider.sm2_load_private(
        _own(
            env, path, lambda: provider.sm2_generate().pem(), lambda pem: _pem(provider, pem), unsaved
        )
    )  # fmt: skip


def _pem(provider: CryptoProvider, pem: bytes) -> Look:
    try:
        provider.sm2_load_private(pem)
    except SecurityError:
        return Look.DAMAGED
    return Look.WHOLE


def _bare(key: bytes) -> Look:
    return Look.PLAUSIBLE if len(key) == KEK_SIZE else Look.DAMAGED


def _own(
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
            raise _unreadable(path, error) from error
        log.warning("a key of this box is not on disk", extra={"error": str(error)})
        unsaved.append(Made(path, made or make()))
        return unsaved[-1].content


def _certificates(env: Env, site: Site, written: str | None) -> tuple[Certificate, ...]:
    if written is None:
        return ()
    path = site.path(written)
    try:
        return load_certificates(env.files.read(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SecurityError:
    reason = str(error.strerror)
    return SecurityError(f"{path}: {reason}", code="HG-6106", file=str(path), reason=reason)


def _kek(env: Env, site: Site, unsaved: list[Made]) -> bytes:
    if site.identity.kek is not None:
        reference: SecretRef = site.identity.kek
        try:
            kek = bytes.fromhex(resolve_secret(env, reference, Path(site.base)).strip())
        except ValueError:
            kek = b""
    else:
        path = site.state_folder / "kek"
        kek = _own(env, path, lambda: env.random.token(KEK_SIZE), _bare, unsaved)
    if len(kek) != KEK_SIZE:
        raise SecurityError("the local key must be 16 bytes", code="HG-6107")
    return kek
