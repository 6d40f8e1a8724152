"""Everything that can be wrong with what came back on a USB stick, told at once. Pure.

Files are known by what is in them, never by their names, so that a person may rename and swap them.
The verdict is either a list of mistakes, or new papers that are whole; nothing in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from headgate.crypto.enveloped import enveloped_spki
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.errors import CertificateRefused, Problem, SecurityError
from headgate.runtime.enrolment.bag import Bag, Found, sort_out
from headgate.runtime.enrolment.papers import MAX_RETIRED, OWN_ROLES, Papers, loaded
from headgate.runtime.enrolment.roots import Roots, Standing, Told

_USAGES: Final = {
    Role.GATEWAY: Usage.SIGN,
    Role.GATEWAY_LINK: Usage.SIGN,
    Role.GATEWAY_ENCRYPTION: Usage.ENCRYPT,
    Role.PLATFORM_ENCRYPTION: Usage.ENCRYPT,
    Role.PLATFORM_RECEIPT: Usage.SIGN,
    Role.PLATFORM_LINK: Usage.SIGN,
}
_PLATFORM: Final = (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT)


class Verdict(msgspec.Struct, frozen=True):
    """New papers and what has to be opened for them, or every mistake. `notes` are no mistakes."""

    papers: Papers | None
    mistakes: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    #: SM2EnvelopedKey to open with our signing key of this SPKI, giving the key of that certificate.
    enveloped: bytes | None = None
    opener: bytes | None = None
    gained: tuple[str, ...] = ()


def judge(files: Mapping[str, bytes], standing: Standing, provider: CryptoProvider) -> Verdict:
    """What these files amount to for this box."""
    return _Judge(sort_out(files), standing, provider).verdict()


class _Judge:
    def __init__(self, bag: Bag, standing: Standing, provider: CryptoProvider) -> None:
        self._bag = bag
        self._standing = standing
        self._provider = provider
        self._told = Told(bag)
        self._roots = Roots(bag, standing, provider, self._told)

    def verdict(self) -> Verdict:
        """Look at everything, and only then decide."""
        own: dict[Role, tuple[bytes, ...]] = {}
        for found in self._bag.leaves:
            role = found.certificate.role
            if role in OWN_ROLES:
                if self._own(found):
                    own[role] = self._with_cas(found.certificate)
            elif role in _PLATFORM:
                # One that is known already and no longer counts is the status's affair, no mistake.
                if found.certificate.der not in self._standing.papers.platform:
                    self._fits(found)
            elif role is None:
                unit = found.certificate.subject_ou or "-"
                self._told.mistake("HG-6157", found.file, role=unit)
            else:
                self._told.note("HG-6172", found.file, role=role.value)
        self._no_ca_for_us()
        enveloped = self._enveloped(own)
        self._one_purpose(own)
        if not (self._bag.leaves or self._bag.crls or self._bag.cas or self._told.mistakes):
            self._told.mistake("HG-6169", "-")
        if self._told.mistakes:
            return Verdict(None, tuple(self._told.mistakes), tuple(self._told.notes))
        opener = own.get(Role.GATEWAY, self._standing.papers.sign)
        return Verdict(
            self._new(own),
            (),
            tuple(self._told.notes),
            enveloped,
            Certificate.load(opener[0]).spki if enveloped and opener else None,
            tuple(self._told.gained),
        )

    # ------------------------------------------------------------ certificates

    def _own(self, found: Found) -> bool:
        """Whether one of our own certificates is right: name, key, age, chain, dates."""
        certificate, standing = found.certificate, self._standing
        role = certificate.role
        assert role is not None
        if certificate.subject_cn != standing.gateway:
            self._told.mistake(
                "HG-6155", found.file, named=str(certificate.subject_cn), gateway=standing.gateway
            )
            return False
        current = standing.papers.chain(role)
        if current and certificate.not_before < current[0].not_before:
            self._told.mistake(
                "HG-6161", found.file, began=f"{certificate.not_before:%Y-%m-%d %H:%M}",
                current=f"{current[0].not_before:%Y-%m-%d %H:%M}",
            )  # fmt: skip
            return False
        if role is not Role.GATEWAY_ENCRYPTION and certificate.spki not in standing.held:
            self._told.mistake("HG-6156", found.file, role=role.value)
            return False
        if not self._right_key(certificate, role):
            self._told.mistake("HG-6174", found.file, role=role.value)
            return False
        if not self._fits(found):
            return False
        if not current or certificate.der != current[0].der:
            self._told.gained.append(f"{role.value} {certificate.serial:x}")
        return True

    def _right_key(self, certificate: Certificate, role: Role) -> bool:
        """Whether the CA put the key we asked a role for into that role, not into another."""
        papers = self._standing.papers
        signs = {each.spki for each in papers.chain(Role.GATEWAY)}
        links = {each.spki for each in papers.chain(Role.GATEWAY_LINK)}
        if papers.asked is not None:
            signs.add(papers.asked.sign)
            links.add(papers.asked.link)
        wrong = {
            Role.GATEWAY: links,
            Role.GATEWAY_LINK: signs,
            Role.GATEWAY_ENCRYPTION: signs | links,
        }[role]
        return certificate.spki not in wrong

    def _fits(self, found: Found) -> bool:
        """Whether the chain holds, for this role, now, and nobody took it back."""
        role = found.certificate.role
        assert role is not None
        if not self._roots.anchors:
            # Said already of the root, unless there is none at all.
            if not self._bag.cas:
                self._told.mistake("HG-6175", found.file)
            return False
        try:
            verify_chain(
                found.certificate, self._roots.between, self._roots.anchors,
                usage=_USAGES[role], at=self._standing.at, provider=self._provider, role=role,
                crls=self._roots.crls,
            )  # fmt: skip
        except CertificateRefused as error:
            reason = str(error.fields.get("reason", error))
            self._told.mistake("HG-6158", found.file, role=role.value, reason=reason)
            return False
        return True

    def _with_cas(self, leaf: Certificate) -> tuple[bytes, ...]:
        """A certificate and the CAs between it and the root, which grants carry along."""
        role = leaf.role
        assert role is not None
        chain = verify_chain(
            leaf,
            self._roots.between,
            self._roots.anchors,
            usage=_USAGES[role],
            at=None,
            provider=self._provider,
            role=role,
        )
        return tuple(each.der for each in chain[:-1])

    def _no_ca_for_us(self) -> None:
        """A CA certificate for one of our keys, or with one of our roles: a CA's slip, and a grave one."""
        for found in self._bag.cas:
            role = found.certificate.role
            ours = found.certificate.spki in self._standing.held
            if ours or (role is not None and role is not Role.CA):
                reason = "it is a CA certificate and signs nothing but certificates"
                unit = str(found.certificate.subject_ou)
                self._told.mistake("HG-6158", found.file, role=unit, reason=reason)

    # ------------------------------------------------------------ the encryption pair

    def _enveloped(self, own: Mapping[Role, tuple[bytes, ...]]) -> bytes | None:
        """The wrapped key, when it belongs to the encryption certificate that came with it."""
        found, keys = own.get(Role.GATEWAY_ENCRYPTION), self._bag.enveloped
        rejected = any(
            each.certificate.role is Role.GATEWAY_ENCRYPTION for each in self._bag.leaves
        )
        if found is None:
            if keys and not rejected:
                self._told.mistake("HG-6163", keys[0][0])
            return None
        certificate = Certificate.load(found[0])
        if certificate.spki in self._standing.held:
            return None
        for file, data in keys:
            try:
                if enveloped_spki(data) == certificate.spki:
                    return data
            except SecurityError as error:
                self._told.mistake("HG-6151", file, reason=str(error))
                return None
        if keys:
            self._told.mistake("HG-6166", keys[0][0])
        else:
            file = next(
                e.file for e in self._bag.leaves if e.certificate.role is Role.GATEWAY_ENCRYPTION
            )
            self._told.mistake("HG-6164", file)
        return None

    def _one_purpose(self, own: Mapping[Role, tuple[bytes, ...]]) -> None:
        """No key for two roles, ours or the platform's."""
        mine = {role: Certificate.load(chain[0]) for role, chain in own.items()}
        everyone = [*mine.values()]
        everyone += [e.certificate for e in self._bag.leaves if e.certificate.role in _PLATFORM]
        everyone += [
            each for each in loaded(self._standing.papers.platform) if each not in everyone
        ]
        seen: dict[bytes, Role | None] = {}
        for each in everyone:
            if seen.setdefault(each.spki, each.role) is not each.role:
                self._told.mistake("HG-6167", "-", name=str(each.subject_cn))

    # ------------------------------------------------------------ the new papers

    def _new(self, own: Mapping[Role, tuple[bytes, ...]]) -> Papers:
        old = self._standing.papers
        sign = own.get(Role.GATEWAY, old.sign)
        retired = old.retired
        if old.sign and sign[0] != old.sign[0]:
            retired = (old.sign[0], *retired)[:MAX_RETIRED]
        link = own.get(Role.GATEWAY_LINK, old.link)
        asked = old.asked
        # Both, for the two may come on two sticks, and a key that nothing names is destroyed one day.
        if asked is not None and sign and link:
            held = (Certificate.load(sign[0]).spki, Certificate.load(link[0]).spki)
            asked = None if held == (asked.sign, asked.link) else asked
        platform = list(old.platform)
        for found in self._bag.leaves:
            if found.certificate.role in _PLATFORM and found.certificate.der not in platform:
                platform.append(found.certificate.der)
                role = found.certificate.role
                assert role is not None
                self._told.gained.append(f"{role.value} {found.certificate.subject_cn}")
        return msgspec.structs.replace(
            old,
            sign=sign,
            encryption=own.get(Role.GATEWAY_ENCRYPTION, old.encryption),
            link=link,
            retired=retired,
            anchors=tuple(dict.fromkeys((*old.anchors, *self._roots.new))),
            platform=tuple(platform[-16:]),
            between=tuple(each.der for each in self._roots.between),
            crls=tuple(each.der for each in self._roots.crls),
            asked=asked,
        )
