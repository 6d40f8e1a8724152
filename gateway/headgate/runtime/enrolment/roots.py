"""Whom to trust of what was brought: roots, the CAs below them, and their revocation lists. Pure.

A root counts because it is known already or because a person compared its fingerprint with paper; a CA
because it leads to such a root; a list because such a CA signed it. A stranger's CA with a name of ours
proves nothing, and its list replaces none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto.crl import RevocationList, check_signature
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import MAX_INTERMEDIATES, verify_ca
from headgate.crypto.x509 import Certificate
from headgate.errors import CertificateRefused, Problem
from headgate.runtime.enrolment.bag import Bag
from headgate.runtime.enrolment.papers import Papers, loaded

#: Digits of a fingerprint that a person must have compared at least (128 bits).
LEAST_FINGERPRINT: Final = 32


class Standing(msgspec.Struct, frozen=True):
    """What the box is and has, when something is brought to it.

    `held` are the public halves of the keys in custody. `at` is now by a trusted clock, or None: then
    no date is judged. `anchors` are roots trusted already; `trust` is a fingerprint that a person
    compared with paper (hex, SM3 of the root certificate).
    """

    gateway: str
    papers: Papers
    held: frozenset[bytes]
    anchors: tuple[Certificate, ...]
    at: datetime | None
    trust: str = ""
    #: Roots that something else has proved: the online service, by its own fingerprint.
    vouched: tuple[Certificate, ...] = ()


class Told:
    """What is wrong, what is worth a word, and what is new: collected while everything is looked at."""

    def __init__(self, bag: Bag) -> None:
        self.mistakes: list[Problem] = list(bag.mistakes)
        self.notes: list[Problem] = list(bag.notes)
        self.gained: list[str] = []

    def mistake(self, code: str, file: str, **fields: str | int) -> None:
        """Something that stops the import."""
        self.mistakes.append(Problem(file, code, {"file": file, **fields}))

    def note(self, code: str, file: str, **fields: str | int) -> None:
        """Something that does not."""
        self.notes.append(Problem(file, code, {"file": file, **fields}))


class Roots:
    """Trusted roots, proved CAs below them, and the newest list of each."""

    def __init__(self, bag: Bag, standing: Standing, provider: CryptoProvider, told: Told) -> None:
        self._bag = bag
        self._standing = standing
        self._provider = provider
        self._told = told
        self.anchors = self._find_anchors()
        self.between = self._proved()
        self.crls = self._newest()

    @property
    def new(self) -> tuple[bytes, ...]:
        """Roots (DER) that were not trusted before."""
        installed = {each.der for each in self._standing.anchors}
        return tuple(each.der for each in self.anchors if each.der not in installed)

    def _find_anchors(self) -> tuple[Certificate, ...]:
        """Roots known already, and those in the bag that a person vouches for."""
        standing, told = self._standing, self._told
        known = {each.der: each for each in (*standing.anchors, *standing.vouched)}
        roots = [found for found in self._bag.cas if found.certificate.self_issued]
        wanted = "".join(standing.trust.split()).replace(":", "").lower()
        if wanted and len(wanted) < LEAST_FINGERPRINT:
            told.mistake("HG-6171", "-", least=LEAST_FINGERPRINT)
            return tuple(known.values())
        matched = not wanted
        for found in roots:
            fingerprint = found.certificate.fingerprint.hex()
            named = bool(wanted) and fingerprint.startswith(wanted)
            matched = matched or named
            if found.certificate.der in known:
                continue
            if named:
                known[found.certificate.der] = found.certificate
                told.gained.append(f"ca {found.certificate.subject_cn}")
            elif known:
                installed = ", ".join(each.fingerprint.hex()[:16] for each in known.values())
                told.mistake(
                    "HG-6159", found.file, name=str(found.certificate.subject_cn),
                    fingerprint=fingerprint, installed=installed,
                )  # fmt: skip
            elif not wanted:
                told.mistake("HG-6160", found.file, fingerprint=fingerprint)
        if not matched:
            seen = ", ".join(found.certificate.fingerprint.hex() for found in roots)
            told.mistake("HG-6170", "-", given=wanted, found=seen or "-")
        return tuple(known.values())

    def _proved(self) -> tuple[Certificate, ...]:
        """CAs below the roots, of the bag and of the papers, that lead to one of them."""
        papers = self._standing.papers
        own = (*papers.sign[1:], *papers.encryption[1:], *papers.link[1:])
        kept = loaded(dict.fromkeys((*papers.between, *own)))
        brought = [found.certificate for found in self._bag.cas]
        below = [each for each in (*brought, *kept) if not each.self_issued]
        found: list[Certificate] = []
        for each in below:
            others = [other for other in below if other.der != each.der][:MAX_INTERMEDIATES]
            try:
                verify_ca(each, others, self.anchors, at=None, provider=self._provider)
            except CertificateRefused:
                continue
            if each not in found:
                found.append(each)
        return tuple(found[:MAX_INTERMEDIATES])

    def _newest(self) -> tuple[RevocationList, ...]:
        """The newest list of each CA: those kept, and those in the bag that a CA of ours signed."""
        kept = self._standing.papers.revocations()
        newest = {(each.issuer, each.issuer_key_id): each for each in kept}
        for file, crl in self._bag.crls:
            reason = self._unsigned(crl)
            key = crl.issuer, crl.issuer_key_id
            if reason:
                self._told.mistake("HG-6168", file, reason=reason)
            elif key not in newest or crl.is_newer_than(newest[key]):
                newest[key] = crl
                self._told.gained.append(f"crl {crl.issuer_cn} {crl.number}")
            elif crl.der != newest[key].der:
                older = newest[key].number
                self._told.mistake("HG-6173", file, number=crl.number, kept=older)
        return tuple(newest.values())

    def _unsigned(self, crl: RevocationList) -> str:
        """Why a list counts for nothing; empty when a CA of ours signed it."""
        reason = "its CA is not known here"
        for ca in (*self.anchors, *self.between):
            if ca.subject != crl.issuer:
                continue
            try:
                check_signature(crl, ca, self._provider)
                return ""
            except CertificateRefused as error:
                reason = str(error)
        return reason
