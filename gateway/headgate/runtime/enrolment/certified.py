"""What is certified of this box and its platform, from the site file and from the papers, judged.

What the site file names counts; the rest comes from the papers that `headgate enroll` took in. A
certificate that is *wrong* (another key, another gateway, another role, no chain) refuses the start.
One that merely no longer *counts* (run out, revoked) does not: the box seals and buffers on, grants
nothing by it, and says so. Dates are judged only when a trusted clock gives `at`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from headgate.config import Site
from headgate.crypto.crl import RevocationList
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import MAX_INTERMEDIATES, Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Env
from headgate.envelope.grant import MAX_RECIPIENTS
from headgate.errors import CertificateRefused, Problem, SecurityError
from headgate.runtime.enrolment.kek import unreadable
from headgate.runtime.enrolment.papers import Papers, loaded

_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_USAGES = {
    Role.GATEWAY: Usage.SIGN,
    Role.GATEWAY_LINK: Usage.SIGN,
    Role.GATEWAY_ENCRYPTION: Usage.ENCRYPT,
    Role.PLATFORM_ENCRYPTION: Usage.ENCRYPT,
    Role.PLATFORM_RECEIPT: Usage.SIGN,
}


class Certified(msgspec.Struct, frozen=True):
    """Certificates that fit; those that no longer count are named in `concerns` and left out.

    `barred` is the code that says why our own signing certificate does not count now; empty while it does.
    `chain` is there all the same: records are sealed on, and granted again after a renewal.
    """

    chain: tuple[Certificate, ...] = ()
    encryption: tuple[Certificate, ...] = ()
    link: tuple[Certificate, ...] = ()
    retired: tuple[Certificate, ...] = ()
    anchors: tuple[Certificate, ...] = ()
    recipients: tuple[Certificate, ...] = ()
    receipts: tuple[Certificate, ...] = ()
    crls: tuple[RevocationList, ...] = ()
    barred: str = ""
    #: Earlier signing certificates (DER) that a platform would still believe.
    standing: frozenset[bytes] = frozenset()
    concerns: tuple[Problem, ...] = ()


def gather(
    env: Env,
    site: Site,
    provider: CryptoProvider,
    papers: Papers,
    at: datetime | None = None,
    *,
    keep_ended: bool = False,
) -> Certified:
    """Everything certified, as of `at`.

    Args:
        keep_ended: seal for a platform's certificate that has run out when there is no other: for a box
            that keeps no local wrap, the alternative is data that nobody can ever open.

    Raises:
        SecurityError: a certificate that is wrong, with the file's name.
    """
    spec = site.identity
    chain = _named(env, site, spec.certificate) or papers.chain(Role.GATEWAY)
    anchors = (*_named(env, site, spec.ca), *loaded(papers.anchors))
    crls = (*_lists(env, site), *papers.revocations())
    named_encryption, above_encryption = _parted(_named(env, site, spec.platform_encryption))
    named_receipts, above_receipts = _parted(_named(env, site, spec.platform_receipt))
    encryption = named_encryption or papers.platforms(Role.PLATFORM_ENCRYPTION)
    receipts = named_receipts or papers.platforms(Role.PLATFORM_RECEIPT)
    # A platform's certificate is kept without its CAs: those that came with anything else serve it, too.
    kept = (*papers.between, *papers.sign[1:], *papers.encryption[1:], *papers.link[1:])
    between = (*above_encryption, *above_receipts, *chain[1:], *loaded(kept))
    if chain and chain[0].subject_cn != site.gateway.id:
        raise SecurityError(
            "the certificate names another gateway", code="HG-6101",
            file=str(spec.certificate), named=str(chain[0].subject_cn), gateway=site.gateway.id,
        )  # fmt: skip
    judge = _Judge(anchors, between, crls, at, provider)
    own = judge.own(chain) if chain else ""
    for each in encryption:
        judge.fits(each, Role.PLATFORM_ENCRYPTION)
    for each in receipts:
        judge.fits(each, Role.PLATFORM_RECEIPT)
    if {each.spki for each in encryption} & {each.spki for each in receipts}:
        raise SecurityError("one key for two purposes", code="HG-6102")
    good = newest_of_each([each for each in encryption if judge.counts(each)])
    if not good and keep_ended:
        good = newest_of_each([each for each in encryption if not judge.revoked(each)])
    counting = tuple(each for each in receipts if judge.counts(each))
    _check_count(good, signed=spec.sign_records)
    _check_uplinks(site, good)
    return Certified(
        chain=chain,
        encryption=papers.chain(Role.GATEWAY_ENCRYPTION),
        link=papers.chain(Role.GATEWAY_LINK),
        retired=loaded(papers.retired),
        anchors=anchors,
        recipients=good,
        receipts=counting,
        crls=crls,
        barred=own,
        standing=frozenset(
            each.der for each in loaded(papers.retired) if judge.stands(each, chain)
        ),
        concerns=judge.worth_telling((*good, *counting)),
    )


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


class _Judge:
    """Asks each question once, and remembers what to tell."""

    def __init__(
        self,
        anchors: Sequence[Certificate],
        between: Sequence[Certificate],
        crls: Sequence[RevocationList],
        at: datetime | None,
        provider: CryptoProvider,
    ) -> None:
        self._anchors = anchors
        self._between = tuple(between)
        self._crls = crls
        self._at = at
        self._provider = provider
        self._told: set[tuple[str, bytes]] = set()
        self.concerns: list[Problem] = []

    def fits(self, certificate: Certificate, role: Role) -> None:
        """Raise unless a platform's certificate is what it is given as, dates and lists aside."""
        if not self._anchors:
            raise SecurityError(
                "platform certificates need the root they are checked against", code="HG-6104"
            )
        try:
            self._verify(certificate, (), (), role)
        except CertificateRefused as error:
            raise SecurityError(
                f"platform certificate refused: {error}", code="HG-6105",
                role=role.value, reason=str(error),
            ) from error  # fmt: skip

    def counts(self, certificate: Certificate) -> bool:
        """Whether a platform's certificate may be used now."""
        name, role = str(certificate.subject_cn), str(certificate.subject_ou)
        if self.revoked(certificate):
            self._tell("HG-6143", certificate, name=name, role=role)
            return False
        if self._at is None:
            return True
        if self._at > certificate.not_after:
            end = f"{certificate.not_after:%Y-%m-%d}"
            self._tell("HG-6142", certificate, name=name, role=role, end=end)
            return False
        # A successor that is not in force yet is kept for its day.
        return self._at >= certificate.not_before

    def revoked(self, certificate: Certificate, others: Sequence[Certificate] = ()) -> bool:
        """Whether a list takes it, or a CA above it, back."""
        if not self._crls:
            return False
        try:
            self._verify(certificate, others, self._crls)
        except CertificateRefused:
            return not self._refused(certificate, others)
        return False

    def stands(self, former: Certificate, chain: Sequence[Certificate]) -> bool:
        """Whether an earlier certificate of ours has neither run out nor been revoked."""
        ended = self._at is not None and self._at > former.not_after
        return not ended and not self.revoked(former, chain[1:])

    def own(self, chain: Sequence[Certificate]) -> str:
        """Why our own certificate does not count; empty when it does."""
        leaf, *others = chain
        if self._anchors and self.revoked(leaf, others):
            return self._tell("HG-6141", leaf, serial=f"{leaf.serial:x}")
        if self._at is not None and self._at > leaf.not_after:
            return self._tell("HG-6140", leaf, end=f"{leaf.not_after:%Y-%m-%d}")
        return ""

    def _refused(self, certificate: Certificate, others: Sequence[Certificate]) -> bool:
        try:
            self._verify(certificate, others, ())
        except CertificateRefused:
            return True
        return False

    def _verify(
        self,
        certificate: Certificate,
        others: Sequence[Certificate],
        crls: Sequence[RevocationList],
        role: Role | None = None,
    ) -> None:
        """Chain, use, role and lists; dates apart, for they only decide whether it counts now."""
        role = role or certificate.role
        usage = _USAGES.get(role, Usage.SIGN) if role else Usage.SIGN
        between = {each.der: each for each in (*others, *self._between)}
        above = list(between.values())[:MAX_INTERMEDIATES]
        verify_chain(
            certificate, above, self._anchors, usage=usage, at=None, provider=self._provider,
            role=role, crls=crls,
        )  # fmt: skip

    def worth_telling(self, counting: Sequence[Certificate]) -> tuple[Problem, ...]:
        """What was found, but for certificates that a good one of the same name and role has followed."""
        followed = {(str(each.subject_cn), str(each.subject_ou)) for each in counting}
        return tuple(
            each
            for each in self.concerns
            if (each.fields.get("name"), each.fields.get("role")) not in followed
        )

    def _tell(self, code: str, certificate: Certificate, **fields: str) -> str:
        if (code, certificate.der) not in self._told:
            self._told.add((code, certificate.der))
            self.concerns.append(Problem("identity", code, {**fields}))
        return code


def _check_count(recipients: Sequence[Certificate], *, signed: bool | None) -> None:
    if len(recipients) > MAX_RECIPIENTS:
        raise SecurityError(
            "too many platforms", code="HG-6113", count=len(recipients), most=MAX_RECIPIENTS
        )
    if len(recipients) > 1 and signed is False:
        # Each of them has the record key then, and could seal records that pass for ours.
        names = ", ".join(str(each.subject_cn) for each in recipients)
        raise SecurityError("several platforms and no signatures", code="HG-6112", platforms=names)


def _check_uplinks(site: Site, recipients: Sequence[Certificate]) -> None:
    """With several platforms, each uplink says whose receipts free its data: no other may."""
    for uplink in site.uplink if len(recipients) > 1 else ():
        if uplink.enabled and uplink.ack == "platform" and uplink.receipts_from is None:
            raise SecurityError(
                "any platform could free what is kept for another", code="HG-6115", uplink=uplink.id
            )


def _named(env: Env, site: Site, written: str | None) -> tuple[Certificate, ...]:
    if written is None:
        return ()
    return load_certificates(_read(env, site, written))


def _parted(
    found: tuple[Certificate, ...],
) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:
    """A file's own certificates, and the CAs that lie behind them in it."""
    return (
        tuple(each for each in found if not each.is_ca),
        tuple(each for each in found if each.is_ca),
    )


def _lists(env: Env, site: Site) -> tuple[RevocationList, ...]:
    if site.identity.revocation is None:
        return ()
    data = _read(env, site, site.identity.revocation)
    blocks = _CRL.findall(data) or [data]
    return tuple(RevocationList.load(block) for block in blocks)


def _read(env: Env, site: Site, written: str) -> bytes:
    path = site.path(written)
    try:
        return env.files.read(path)
    except OSError as error:
        raise unreadable(path, error) from error
