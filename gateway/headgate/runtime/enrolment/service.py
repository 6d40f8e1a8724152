"""The enrolment service of a lab or a district: tokens in, certificates out, over a CA in a folder.

Every decision is one call (`answer`) that touches no socket; `server` carries it over HTTPS. Everything
it does or refuses is in its audit log, and whoever guesses is slowed down.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from headgate.audit import Audit, Entry
from headgate.crypto import enveloped
from headgate.crypto.authority import CertificateAuthority
from headgate.crypto.authority.ca import Pair
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.requests import Request, load_request
from headgate.crypto.x509 import Certificate, Role
from headgate.env import Env
from headgate.errors import SecurityError
from headgate.runtime.enrolment import protocol
from headgate.runtime.enrolment.tokens import Tokens

NONCE_US: Final = 60 * 1_000_000
_MOST_NONCES: Final = 4096
#: Refusals an address may collect, and how fast they are forgiven.
_PATIENCE: Final = 10
_FORGIVEN_US: Final = 30 * 1_000_000
_MOST_ADDRESSES: Final = 4096


class Reply(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Refused(Exception):
    """A request that gets a refusal; `error` is a word of the protocol."""

    def __init__(self, status: int, error: str, text: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.text = status, error, text


class Service:
    """One service over one CA.

    Args:
        bundle: what `GET /ca` gives; its fingerprint is on the paper.
        lists: further files for every gateway: the platform's certificates, lists of CAs above.
    """

    def __init__(
        self,
        env: Env,
        provider: CryptoProvider,
        authority: CertificateAuthority,
        tokens: Tokens,
        audit: Audit,
        bundle: protocol.Bundle,
        lists: Callable[[], Mapping[str, str]],
    ) -> None:
        self._env = env
        self._provider = provider
        self._authority = authority
        self._tokens = tokens
        self._audit = audit
        self._bundle = bundle
        self._lists = lists
        self._nonces: OrderedDict[str, int] = OrderedDict()
        self._guesses: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def answer(self, peer: str, method: str, path: str, body: bytes) -> Reply:
        """One request. Never raises."""
        try:
            return await self._answer(peer, method, path, body)
        except Refused as refused:
            if refused.status in (401, 403):
                self._count(peer)
            what = f"{path.lstrip('/')}: {refused.error}"
            await self._note("enrolment-refused", peer, what, "refused")
            return Reply(
                refused.status, protocol.encode(protocol.Refusal(refused.error, refused.text))
            )

    async def _answer(self, peer: str, method: str, path: str, body: bytes) -> Reply:
        if method == "GET" and path == protocol.CA:
            return Reply(200, protocol.encode(self._bundle))
        if method == "GET" and path == protocol.LISTS:
            return Reply(200, protocol.encode(protocol.Files(self._files({}))))
        if self._slowed(peer):
            raise Refused(429, "slow", "too many refusals from this address; wait half a minute")
        if method == "GET" and path == protocol.NONCE:
            return Reply(200, protocol.encode(protocol.Nonce(self._nonce())))
        if method == "POST" and path == protocol.ENROLL:
            return await self._enroll(peer, _decoded(protocol.Enroll, body))
        if method == "POST" and path == protocol.RENEW:
            return await self._renew(peer, _decoded(protocol.Renew, body))
        raise Refused(404, "path")

    # ------------------------------------------------------------ the first time

    async def _enroll(self, peer: str, asked: protocol.Enroll) -> Reply:
        sign, link = self._requests(asked.sign, asked.link)
        # Both keys: else whoever has a used token and the public request gets a link certificate of his own.
        key = self._provider.sm3(sign.spki + link.spki).hex()
        now = self._authority.now()
        if not self._tokens.use(asked.token, asked.gateway, key, now):
            raise Refused(401, "token")
        try:
            pair, other = self._issued(
                lambda: (
                    self._authority.issue_pair(sign, asked.gateway),
                    self._link(asked.gateway, link),
                )
            )
        except Refused:
            # Nothing was given for it: the installer asks again with another request.
            self._tokens.give_back(asked.token, key)
            raise
        await self._note("enrolled", peer, f"{asked.gateway} {pair.signing.serial:x}", "ok")
        return self._given(pair, other)

    # ------------------------------------------------------------ later

    async def _renew(self, peer: str, asked: protocol.Renew) -> Reply:
        now_us = self._env.clock.boottime_us()
        born = self._nonces.pop(asked.nonce, None)
        if born is None or now_us - born > NONCE_US:
            raise Refused(401, "nonce")
        old = self._authority.register.find(asked.serial)
        if old is None or old.name != asked.gateway or old.role is not Role.GATEWAY:
            raise Refused(401, "certificate")
        sign, link = self._requests(asked.sign, asked.link)
        text = protocol.renewal_text(
            self._provider, asked.gateway, asked.serial, asked.nonce, (sign.der, link.der)
        )
        certificate = self._authority.certificate_of(old)
        key = self._provider.sm2_load_public(certificate.spki)
        if not key.verify(bytes.fromhex(_even(asked.signature)), text):
            raise Refused(401, "signature")
        if old not in self._authority.valid(asked.gateway, Role.GATEWAY):
            raise Refused(403, "not-valid", "expired or revoked; a token is needed")
        pair, other = self._issued(
            lambda: (
                self._authority.renew_pair(certificate.serial, sign),
                self._link(asked.gateway, link),
            )
        )
        await self._note("renewed", peer, f"{asked.gateway} {pair.signing.serial:x}", "ok")
        return self._given(pair, other)

    # ------------------------------------------------------------ common

    def _requests(self, *pems: str) -> tuple[Request, Request]:
        try:
            sign, link = (load_request(each.encode(), self._provider) for each in pems)
        except SecurityError as error:
            raise Refused(400, "request", str(error)[:200]) from None
        if sign.spki == link.spki:
            raise Refused(400, "request", "one key for two purposes")
        return sign, link

    def _link(self, gateway: str, request: Request) -> Certificate:
        """A link certificate; the successor of the one that the gateway still holds, if any."""
        held = self._authority.valid(gateway, Role.GATEWAY_LINK)
        if held:
            return self._authority.renew(int(held[-1].serial, 16), request)
        return self._authority.issue(request, Role.GATEWAY_LINK, gateway)

    def _issued(self, issue: Callable[[], tuple[Pair, Certificate]]) -> tuple[Pair, Certificate]:
        try:
            return issue()
        except SecurityError as error:
            raise Refused(409, "not-issued", str(error)[:300]) from None

    def _given(self, pair: Pair, link: Certificate) -> Reply:
        own = {
            "sign.crt": pair.signing.pem().decode(),
            "encryption.crt": pair.encryption.pem().decode(),
            "encryption.key.enveloped": enveloped.to_pem(pair.enveloped).decode(),
            "link.crt": link.pem().decode(),
        }
        return Reply(200, protocol.encode(protocol.Files(self._files(own))))

    def _files(self, own: Mapping[str, str]) -> dict[str, str]:
        chain = "".join(each.pem().decode() for each in self._authority.chain)
        return {**own, "ca.crt": chain, **self._lists()}

    def _nonce(self) -> str:
        now_us = self._env.clock.boottime_us()
        while self._nonces and next(iter(self._nonces.values())) < now_us - NONCE_US:
            self._nonces.popitem(last=False)
        if len(self._nonces) >= _MOST_NONCES:
            raise Refused(429, "slow")
        nonce = self._env.random.token(16).hex()
        self._nonces[nonce] = now_us
        return nonce

    def _count(self, peer: str) -> None:
        count, _ = self._guesses.pop(peer, (0, 0))
        self._guesses[peer] = count + 1, self._env.clock.boottime_us()
        while len(self._guesses) > _MOST_ADDRESSES:
            self._guesses.popitem(last=False)

    def _slowed(self, peer: str) -> bool:
        count, last_us = self._guesses.get(peer, (0, 0))
        forgiven = (self._env.clock.boottime_us() - last_us) // _FORGIVEN_US
        return count - forgiven >= _PATIENCE

    async def _note(self, kind: str, who: str, what: str, result: str) -> None:
        await self._audit.note(Entry(kind=kind, who=f"peer:{who}", what=what, result=result))


def bundle_of(anchors: Sequence[Certificate], roots: Sequence[bytes]) -> protocol.Bundle:
    """What a service says of its roots."""
    return protocol.Bundle(
        tuple(each.pem().decode() for each in anchors if each.self_issued),
        tuple(each.decode() for each in roots),
    )


def _decoded(kind: type[protocol.T], body: bytes) -> protocol.T:
    try:
        return protocol.decode(kind, body)
    except SecurityError as error:
        raise Refused(400, "form", str(error)[:200]) from None


def _even(digits: str) -> str:
    return digits if len(digits) % 2 == 0 else ""
