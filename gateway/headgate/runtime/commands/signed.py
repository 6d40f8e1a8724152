"""Controls that two technicians have signed: a file beside the site file, checked before they count.

The file is TOML, one `[[signature]]` each: `who` for people, `certificate` (PEM, with its intermediates) and
`signature` (base64, SM2 over `headgate.config.controls_digest`). Dates of certificates are not looked at: a
signature that was good when a box was commissioned does not end at its signer's renewal. Revocation is.
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from headgate.config import Site, controls_digest
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Env, Files
from headgate.envelope.signers import Trust, distinct, verify_signer
from headgate.errors import Problem, SecurityError

MOST_SIGNATURES: Final = 16
MOST_BYTES: Final = 256 * 1024
PEOPLE: Final = 2


class Signature(msgspec.Struct, frozen=True):
    """One technician's word for the controls of a box."""

    who: str
    certificate: str
    signature: str


class _File(msgspec.Struct, frozen=True):
    signature: tuple[Signature, ...] = ()


def read_signatures(files: Files, path: Path) -> tuple[Signature, ...]:
    """The signatures in a file; none where there is no file.

    Raises:
        SecurityError: not such a file.
    """
    try:
        if files.size(path) is None:
            return ()
        text = files.read(path, 0, MOST_BYTES).decode()
        found = msgspec.convert(tomllib.loads(text), _File).signature
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise SecurityError(f"{path}: {error}", code="HG-6561", reason=str(error)) from None
    return found[:MOST_SIGNATURES]


def signers(
    provider: CryptoProvider, site: Site, signatures: Sequence[Signature], trust: Trust
) -> tuple[list[Certificate], list[str]]:
    """Who has signed the controls of this site as they are, and why the others do not count."""
    digest = controls_digest(site, provider.sm3)
    people: list[Certificate] = []
    doubts: list[str] = []
    timeless = msgspec.structs.replace(trust, at=None)
    for each in signatures:
        try:
            chain = load_certificates(each.certificate.encode())
            signature = base64.b64decode(each.signature, validate=True)
            people.append(
                verify_signer(
                    provider, [c.der for c in chain], chain[0].fingerprint, digest, signature,
                    timeless, Role.TECHNICIAN,
                )
            )  # fmt: skip
        except (SecurityError, ValueError, binascii.Error) as error:
            doubts.append(f"{each.who}: {error}")
    return people, doubts


def check_signed(provider: CryptoProvider, files: Files, site: Site, trust: Trust) -> None:
    """Raise SecurityError (HG-6561) unless two technicians stand behind the controls of a signed site."""
    if not site.controls.signed:
        return
    signatures = read_signatures(files, site.path(site.controls.signatures))
    people, doubts = signers(provider, site, signatures, trust)
    if distinct(people) >= PEOPLE:
        return
    have = ", ".join(str(c.subject_cn) for c in people) or "-"
    reason = f"{distinct(people)}/{PEOPLE}: {have}"
    if doubts:
        reason += f" ({'; '.join(doubts)[:300]})"
    raise SecurityError("the controls are not signed", code="HG-6561", reason=reason)


def objections(env: Env, provider: CryptoProvider, site: Site) -> Sequence[Problem]:
    """What the start would say of the signatures, as far as the root lies here: for `headgate check`."""
    if not site.controls.signed:
        return ()
    anchors: tuple[Certificate, ...] = ()
    try:
        if site.identity.ca is not None:
            anchors = load_certificates(env.files.read(site.path(site.identity.ca)))
        if anchors:
            check_signed(provider, env.files, site, Trust(anchors, None))
            return ()
        signatures = read_signatures(env.files, site.path(site.controls.signatures))
    except (SecurityError, OSError) as error:
        reason = str(getattr(error, "fields", {}).get("reason", error))
        return [Problem("controls", "HG-6561", {"reason": reason})]
    people = {each.who for each in signatures if is_of(provider, site, each)}
    if len(people) >= PEOPLE:
        return ()
    reason = f"{len(people)}/{PEOPLE}: {', '.join(sorted(people)) or '-'}"
    return [Problem("controls", "HG-6561", {"reason": reason})]


def is_of(provider: CryptoProvider, site: Site, signature: Signature) -> bool:
    """Whether a signature is over the controls of this site as they are, whoever made it."""
    try:
        leaf = load_certificates(signature.certificate.encode())[0]
        made = base64.b64decode(signature.signature, validate=True)
        key = provider.sm2_load_public(leaf.spki)
    except (SecurityError, ValueError, binascii.Error):
        return False
    return key.verify(made, controls_digest(site, provider.sm3))


def sign(
    provider: CryptoProvider, site: Site, key: Sm2PrivateKey, chain: Sequence[Certificate]
) -> Signature:
    """A technician's signature of the controls as they are."""
    signature = base64.b64encode(key.sign(controls_digest(site, provider.sm3))).decode()
    pem = b"".join(certificate.pem() for certificate in chain).decode()
    return Signature(str(chain[0].subject_cn), pem, signature)


def write_signatures(signatures: Sequence[Signature]) -> bytes:
    """The file of these signatures."""
    lines = []
    for each in signatures:
        who = each.who.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(
            f'[[signature]]\nwho = "{who}"\nsignature = "{each.signature}"\n'
            f'certificate = """\n{each.certificate.strip()}\n"""\n'
        )
    return "\n".join(lines).encode()
