"""What `headgate enroll` asks for: how things stand, a request, and taking in what came back.

One desk a gateway. It never changes a running identity by itself: it writes keys and papers, then has
`take_over` load them; whatever fails before that leaves the old identity whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from headgate.audit import Audit, Entry
from headgate.config import Site
from headgate.crypto.names import write_name
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.requests import Request, make_request
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.errors import ConfigError, SecurityError
from headgate.runtime.enrolment.certified import Certified, gather
from headgate.runtime.enrolment.custody import Custody
from headgate.runtime.enrolment.papers import Asked, Folder, Papers, Service
from headgate.runtime.identity import Identity

if TYPE_CHECKING:
    from headgate.runtime.enrolment.judge import Verdict

log = logging.getLogger(__name__)

COUNTRY = "CN"


class Requests(msgspec.Struct, frozen=True):
    """What goes to the CA: one request a role."""

    gateway: str
    sign: Request
    link: Request


class Desk:
    """Enrolment of one gateway.

    Args:
        site: the site as it is now.
        identity: the identity as it is now.
        now: the time by a trusted clock; None while there is none.
        take_over: loads what was written into the running gateway.
    """

    def __init__(
        self,
        env: Env,
        site: Callable[[], Site],
        provider: CryptoProvider,
        identity: Callable[[], Identity],
        audit: Audit,
        now: Callable[[], datetime | None],
        take_over: Callable[[], Awaitable[None]],
    ) -> None:
        self.env = env
        self._site = site
        self.provider = provider
        self._identity = identity
        self._audit = audit
        self.now = now
        self._take_over = take_over
        self._busy = asyncio.Lock()

    @property
    def folder(self) -> Folder:
        """Where the papers lie."""
        return Folder(self.env, self.provider, self._site().state_folder)

    def papers(self) -> Papers:
        """The papers as they lie there."""
        return self.folder.load(self._site().gateway.id)

    @property
    def identity(self) -> Identity:
        """What the gateway is now."""
        return self._identity()

    @property
    def custody(self) -> Custody:
        """Where the private keys are."""
        custody = self._identity().custody
        assert custody is not None
        return custody

    def certified(self, at: datetime | None) -> Certified:
        """What counts at an instant, as it lies on disk now.

        Raises:
            SecurityError: a file that the site names does not fit any more.
        """
        site = self._site()
        ended = not site.identity.keep_local_wrap
        return gather(self.env, site, self.provider, self.papers(), at, keep_ended=ended)

    def fingerprint(self, spki: bytes) -> str:
        """What a person compares a key by: the first half of SM3 of its SPKI, in groups of four."""
        digits = self.provider.sm3(spki).hex()[:32]
        return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))

    def renewal_due(self, at: datetime) -> bool:
        """Whether one of our own certificates ends within `renew_before`, and a service may be asked."""
        spec = self._site().identity
        papers = self.papers()
        if spec.renew != "online" or papers.service is None or spec.certificate is not None:
            return False
        own = [papers.chain(role)[:1] for role in (Role.GATEWAY, Role.GATEWAY_LINK)]
        limit = at + timedelta(microseconds=spec.renew_before.us)
        return any(each.not_after <= limit for chain in own for each in chain)

    # ------------------------------------------------------------ asking

    async def request(
        self, who: str, *, anew: bool = False, organization: str | None = None
    ) -> Requests:
        """The requests for our signing and our link certificate.

        The same again while one is open. `anew` makes fresh keys: after a key was lost or revoked.

        Raises:
            SecurityError: the site file keeps certificate or key itself, or no key can be kept.
        """
        async with self._busy:
            self._check_ours()
            papers = self.papers()
            asked = papers.asked
            if asked is None or anew or self._lost(asked) or self._answered(asked, papers):
                asked = self._new_keys(papers, anew=anew)
                papers = self._save(msgspec.structs.replace(papers, asked=asked))
                what = self.provider.sm3(asked.sign)[:8].hex()
                await self._note("identity-made", who, f"key {what}", "ok")
            return self._requests(asked, organization)

    def _check_ours(self) -> None:
        spec = self._site().identity
        for key in ("certificate", "key"):
            if getattr(spec, key) is not None:
                raise SecurityError("kept by the site file", code="HG-6179", key=key)

    def _answered(self, asked: Asked, papers: Papers) -> bool:
        """Whether its signing key is certified already; the link certificate may still be on its way."""
        signs = papers.chain(Role.GATEWAY)
        links = papers.chain(Role.GATEWAY_LINK)
        return bool(signs and links and signs[0].spki == asked.sign)

    def _lost(self, asked: Asked) -> bool:
        held = set(self.custody.held())
        return asked.sign not in held or asked.link not in held

    def _new_keys(self, papers: Papers, *, anew: bool) -> Asked:
        custody = self.custody
        try:
            # Before the first certificate the key that already seals is certified: what it granted to
            # nobody yet is granted by the certificate that comes.
            fresh = anew or papers.sign
            sign = custody.generate() if fresh else self._identity().signing_key
            link = custody.generate()
        except OSError as error:
            raise self._unwritten(error) from error
        return Asked(sign.public.spki, link.public.spki, self.env.clock.wall_us())

    def _requests(self, asked: Asked, organization: str | None) -> Requests:
        gateway = self._site().gateway.id

        def one(role: Role, spki: bytes) -> Request:
            key = self.custody.find(spki)
            if key is None:
                raise SecurityError("a key is gone", code="HG-6131", keeper=self.custody.keeper)
            return make_request(write_name(gateway, role.value, organization, COUNTRY), key)

        return Requests(gateway, one(Role.GATEWAY, asked.sign), one(Role.GATEWAY_LINK, asked.link))

    # ------------------------------------------------------------ taking in

    async def bring(
        self,
        files: Mapping[str, bytes],
        who: str,
        *,
        trust: str = "",
        vouched: tuple[Certificate, ...] = (),
        service: Service | None = None,
    ) -> Verdict:
        """Take in what the CA gave: all of it, or nothing.

        Args:
            files: by name, which is for people alone.
            who: for the audit log.
            trust: the fingerprint of a root that a person compared with paper.
            vouched: roots that were proved otherwise.
            service: where to renew from now on.

        Raises:
            ConfigError: every mistake found.
            SecurityError: the wrapped key does not open, or the disk refuses.
        """
        async with self._busy:
            try:
                verdict = await self._bring(files, who, trust, vouched, service)
            except ConfigError as error:
                code = error.problems[0].code
                what = ", ".join(sorted({problem.where for problem in error.problems}))
                await self.refused(who, what, code)
                raise
            except SecurityError as error:
                what = ", ".join(sorted(files))
                await self.refused(who, what, error.code)
                raise
        return verdict

    async def _bring(
        self,
        files: Mapping[str, bytes],
        who: str,
        trust: str,
        vouched: tuple[Certificate, ...],
        service: Service | None,
    ) -> Verdict:
        from headgate.runtime.enrolment.judge import judge  # on the day of an import alone
        from headgate.runtime.enrolment.roots import Standing

        papers, site = self.papers(), self._site()
        at = self.now()
        anchors = self.certified(None).anchors
        held = frozenset((*self.custody.held(), self._identity().signing_key.public.spki))
        standing = Standing(site.gateway.id, papers, held, anchors, at, trust, vouched)
        verdict = judge(files, standing, self.provider)
        if verdict.papers is None:
            raise ConfigError(verdict.mistakes)
        if verdict.papers.sign != papers.sign:
            self._check_ours()
        if verdict.enveloped is not None:
            self._open(verdict)
        new = verdict.papers
        if service is not None:
            new = msgspec.structs.replace(new, service=service)
        if new == papers:
            return verdict
        saved = self._save(new)
        try:
            await self._take_over()
        except SecurityError:
            # What runs is the old identity: what lies on disk must say the same.
            self._save(papers)
            raise
        for kind, what in _gains(papers, verdict.gained):
            await self._note(kind, who, what, "ok", number=saved.number)
        self._forget_keys(papers, saved)
        return verdict

    async def refused(self, who: str, what: str, code: str) -> None:
        """Write down that somebody's enrolment came to nothing."""
        await self._note("enrolment-refused", who, what, "refused", code)

    def _open(self, verdict: Verdict) -> None:
        """The encryption key into custody. An import that fails after this leaves an unused key."""
        assert verdict.enveloped is not None
        signing = self.custody.find(verdict.opener) if verdict.opener else None
        if signing is None:
            raise SecurityError("no signing key for the wrapped key", code="HG-6165")
        try:
            self.custody.take_in(signing, verdict.enveloped)
        except OSError as error:
            raise self._unwritten(error) from error
        except SecurityError as error:
            if error.code.startswith("HG-62"):
                raise  # the form of the wrapped key: said as what it is
            raise SecurityError(str(error), code="HG-6165") from error

    def _forget_keys(self, before: Papers, after: Papers) -> None:
        """After a renewal: keys that nothing names any more (replaced, or of requests given up)."""
        if before.sign == after.sign or not after.sign:
            return
        named = [*after.sign[:1], *after.encryption[:1], *after.link[:1], *after.retired]
        wanted = {_spki(each) for each in named} | {self._identity().signing_key.public.spki}
        if after.asked is not None:
            wanted |= {after.asked.sign, after.asked.link}
        for spki in self.custody.held():
            if spki not in wanted:
                self.custody.remove(spki)

    def _save(self, papers: Papers) -> Papers:
        try:
            return self.folder.save(papers)
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> SecurityError:
        folder = self._site().state_folder
        return SecurityError(
            f"{folder}: {error}", code="HG-4006", folder=str(folder), cause=str(error)
        )

    async def _note(
        self, kind: str, who: str, what: str, result: str, code: str = "", **fields: int
    ) -> None:
        await self._audit.note(
            Entry(kind=kind, who=who, what=what, result=result, code=code, fields={**fields})
        )


def _gains(before: Papers, gained: tuple[str, ...]) -> list[tuple[str, str]]:
    """What to write down: the first certificate enrols, a further one renews, the platform's rotates."""
    said = []
    for what in gained:
        role = what.split(" ")[0]
        if role.startswith("headgate-gateway"):
            kind = "renewed" if before.sign else "enrolled"
        else:
            kind = "key-rotated"
        said.append((kind, what))
    return said


def _spki(der: bytes) -> bytes:
    return Certificate.load(der).spki
