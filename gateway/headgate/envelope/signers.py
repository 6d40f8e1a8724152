"""Who stands behind a command: its signer, those who agreed, and whether they are different people.

Source: docs/reference/commands.md, sections 2 to 4. Pure: keys and instants are arguments.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto.crl import RevocationList
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.command import Approval, Content, Sent, parse_approval, within
from headgate.errors import CertificateRefused, SignatureInvalid


class Trust(msgspec.Struct, frozen=True):
    """What a signer is judged by.

    `at` is now where the clock is trusted, else None: then dates are not looked at. `crls` are the
    revocation lists at hand; `revoked` may name further certificates that are no longer good.
    """

    anchors: tuple[Certificate, ...]
    at: datetime | None
    crls: tuple[RevocationList, ...] = ()
    revoked: Callable[[Certificate], bool] = lambda certificate: False


#: Printable for Python, and yet nobody sees them: what Unicode calls Default_Ignorable_Code_Point, less
#: what names may not hold anyway. With one of them behind a name, one person would read as two.
_UNSEEN: Final = dict.fromkeys(
    (
        0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0,
        *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
    )
)  # fmt: skip


def person(certificate: Certificate) -> str:
    """Who a certificate names, as two certificates of one person would both say it."""
    name = unicodedata.normalize("NFKD", certificate.subject_cn or "").translate(_UNSEEN)
    folded = unicodedata.normalize("NFKC", name.casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def verify_signer(
    provider: CryptoProvider,
    certificates: Sequence[bytes],
    signer: bytes,
    body: bytes,
    signature: bytes,
    trust: Trust,
    role: Role = Role.OPERATOR,
) -> Certificate:
    """The certificate of whoever signed `body`, proved.

    Raises:
        CertificateRefused: not the named certificate, not vouched for, revoked, of another role,
            without a name, or (where the clock is trusted) out of its dates.
        SignatureInvalid: signed by another key.
    """
    leaf, *intermediates = (_certificate(each) for each in certificates)
    if leaf.fingerprint != signer:
        raise CertificateRefused(f"the certificate of {leaf.subject_cn!r} is not the one named")
    chain = verify_chain(
        leaf, intermediates, trust.anchors,
        usage=Usage.SIGN, at=trust.at, provider=provider, role=role, crls=trust.crls,
    )  # fmt: skip
    gone = next((each for each in chain if trust.revoked(each)), None)
    if gone is not None:
        raise CertificateRefused(f"the certificate of {gone.subject_cn!r} is revoked")
    if not person(leaf):
        raise CertificateRefused("a certificate that names nobody")
    if not provider.sm2_load_public(leaf.spki).verify(signature, body):
        raise SignatureInvalid(f"the signature is not {leaf.subject_cn!r}'s")
    return leaf


def verify_command(provider: CryptoProvider, sent: Sent, trust: Trust) -> Certificate:
    """The operator who signed a command. Raises CertificateRefused, SignatureInvalid."""
    return verify_signer(
        provider, sent.certificates, sent.command.signer, sent.body, sent.signature, trust
    )


def verify_approval(
    provider: CryptoProvider,
    message: bytes,
    content: Content,
    trust: Trust,
    token: bytes | None,
) -> Certificate:
    """The operator who agreed to this content.

    `token` is that of the OPERATE under way. An approval that signs it is as fresh as the command;
    one without a token counts within its dates, on a trusted clock.

    Raises:
        EnvelopeError, CertificateRefused: as for a command.
        SignatureInvalid: not signed by that key, for another content, out of its dates, or of an
            age that nobody here can tell.
    """
    sent = parse_approval(message)
    leaf = verify_signer(
        provider, sent.certificates, sent.approval.signer, sent.body, sent.signature, trust
    )
    wrong = disagreement(sent.approval, content, token, trust.at)
    if wrong:
        raise SignatureInvalid(f"the approval of {leaf.subject_cn!r}: {wrong}")
    return leaf


def disagreement(
    approval: Approval, content: Content, token: bytes | None, at: datetime | None
) -> str:
    """Why an approval is not one of this content, now; empty when it is."""
    for name in ("gateway", "command", "device", "point", "operation", "unit"):
        if getattr(approval, name) != getattr(content, name):
            return f"for another {name}"
    if not within(approval.low, content.value, approval.high):
        return "for other values"
    if content.lease_s > approval.lease_s:
        return "for a shorter lease"
    if approval.token is not None:
        return "" if approval.token == token else "for another selection"
    if at is None:
        return "without a token, and no trusted clock tells its age"
    now_us = int(at.timestamp() * 1_000_000)
    if not approval.not_before_us <= now_us < approval.expiry_us:
        return "out of its dates"
    return ""


def distinct(people: Sequence[Certificate]) -> int:
    """How many people these are: two count as one when they share a name or a key."""
    counted: list[Certificate] = []
    for each in people:
        if all(person(each) != person(o) and each.spki != o.spki for o in counted):
            counted.append(each)
    return len(counted)


def _certificate(data: bytes) -> Certificate:
    if data[:1] != b"\x30":
        raise CertificateRefused("a certificate of the command is not DER")
    return Certificate.load(data)
