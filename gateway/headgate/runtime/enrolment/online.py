"""A box and an enrolment service: the first time by a token, later by the key it has.

The service proves itself first: what it says of its roots must have the fingerprint that the CA gave on
paper, and the next connection must be by those roots. Only then does the token leave. What comes back is
judged like files from a stick: it must be for our keys, our name, and lead to the proved root.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TypeVar

from headgate.crypto.x509 import Certificate, Role
from headgate.errors import HeadgateError, SecurityError
from headgate.link.service import first_look_context, proved_context
from headgate.runtime.enrolment import protocol
from headgate.runtime.enrolment.desk import Desk, Requests
from headgate.runtime.enrolment.http import Address, Answer, address_of, ask
from headgate.runtime.enrolment.judge import Verdict
from headgate.runtime.enrolment.papers import Service
from headgate.runtime.enrolment.roots import LEAST_FINGERPRINT

T = TypeVar("T")

#: Words of a refusal, and what a person is told.
_REFUSALS = {"token": "HG-6193"}


async def enroll_online(desk: Desk, url: str, token: str, trust: str, who: str) -> Verdict:
    """Enrol with a service.

    Args:
        token: one-time, for this gateway; never logged.
        trust: the service's fingerprint from the paper (hex, at least its first 32 digits).

    Raises:
        ConfigError: what was issued does not fit this box; every reason.
        SecurityError: the service does not prove itself, refuses, or answers nonsense.
        UplinkUnavailable: nobody there.
    """
    try:
        bundle, service, files = await _fetched(desk, url, token, trust, who)
    except HeadgateError as error:
        # What comes later is written down by the desk itself.
        await desk.refused(who, url[:200], error.code)
        raise
    vouched = tuple(Certificate.load(each.encode()) for each in bundle.anchors)
    return await desk.bring(files, who, vouched=vouched, service=service)


async def _fetched(
    desk: Desk, url: str, token: str, trust: str, who: str
) -> tuple[protocol.Bundle, Service, Mapping[str, bytes]]:
    to = address_of(url)
    if not token:
        raise SecurityError("no token", code="HG-6196")
    bundle = await _proved_bundle(desk, to, trust)
    service = _service(to, bundle)
    made = await desk.request(who)
    body = protocol.Enroll(made.gateway, token, made.sign.pem().decode(), made.link.pem().decode())
    answer = await _ask(desk, to, service, "POST", protocol.ENROLL, protocol.encode(body))
    return bundle, service, protocol.as_files(_told(answer, protocol.Files))


async def renew_online(desk: Desk) -> bool:
    """New certificates for new keys, asked for with the key that is still good. True when they came.

    Raises:
        ConfigError, SecurityError, UplinkUnavailable: as `enroll_online`; everything stays as it was.
    """
    papers = desk.papers()
    service, chain = papers.service, papers.chain(Role.GATEWAY)
    if service is None or not chain:
        return False
    to = address_of(service.url)
    made = await desk.request("gateway")
    nonce = _told(await _ask(desk, to, service, "GET", protocol.NONCE), protocol.Nonce).nonce
    answer = await _ask(
        desk, to, service, "POST", protocol.RENEW, _renewal(desk, made, chain[0], nonce)
    )
    files = protocol.as_files(_told(answer, protocol.Files))
    return bool((await desk.bring(files, "gateway")).gained)


async def refresh_online(desk: Desk) -> bool:
    """Revocation lists and the platform's newest certificates. True when the service answered.

    Raises:
        ConfigError, SecurityError, UplinkUnavailable: as `enroll_online`.
    """
    service = desk.papers().service
    if service is None:
        return False
    answer = await _ask(desk, address_of(service.url), service, "GET", protocol.LISTS)
    files = protocol.as_files(_told(answer, protocol.Files))
    if files:
        await desk.bring(files, "gateway")
    return True


def _renewal(desk: Desk, made: Requests, old: Certificate, nonce: str) -> bytes:
    key = desk.custody.find(old.spki)
    if key is None:
        raise SecurityError("the key is gone", code="HG-6131", keeper=desk.custody.keeper)
    serial = f"{old.serial:x}"
    requests = (made.sign.der, made.link.der)
    text = protocol.renewal_text(desk.provider, made.gateway, serial, nonce, requests)
    return protocol.encode(
        protocol.Renew(
            made.gateway, serial, nonce, made.sign.pem().decode(), made.link.pem().decode(),
            key.sign(text).hex(),
        )
    )  # fmt: skip


async def _proved_bundle(desk: Desk, to: Address, trust: str) -> protocol.Bundle:
    wanted = "".join(trust.split()).replace(":", "").replace("-", "").lower()
    if not wanted:
        raise SecurityError("no fingerprint", code="HG-6199")
    if len(wanted) < LEAST_FINGERPRINT:
        raise SecurityError("a short fingerprint", code="HG-6171", least=LEAST_FINGERPRINT)
    answer = await ask(desk.env, to, first_look_context(), "GET", protocol.CA)
    bundle = _told(answer, protocol.Bundle)
    found = protocol.fingerprint(desk.provider, bundle)
    if not found.startswith(wanted):
        raise SecurityError(
            f"{to.url}: another fingerprint", code="HG-6192", url=to.url, found=found
        )
    return bundle


def _service(to: Address, bundle: protocol.Bundle) -> Service:
    return Service(to.url, tuple(protocol.one_der(each) for each in bundle.roots))


async def _ask(
    desk: Desk, to: Address, service: Service, method: str, path: str, body: bytes = b""
) -> Answer:
    roots = "".join(ssl.DER_cert_to_PEM_cert(each) for each in service.roots)
    try:
        tls = proved_context(roots, desk.env.clock)
    except ssl.SSLError as error:
        raise SecurityError(
            f"{to.url}: {error}", code="HG-6191", url=to.url, reason=str(error)
        ) from error
    return await ask(desk.env, to, tls, method, path, body)


def _told(answer: Answer, kind: type[T]) -> T:
    """The body of a good answer.

    Raises:
        SecurityError: a refusal, a wait, or nonsense.
    """
    if answer.status == 200:
        return protocol.decode(kind, answer.body)
    if answer.status == 202:
        after = protocol.decode(protocol.Wait, answer.body).after_s
        raise SecurityError("the CA has not decided", code="HG-6195", after=after)
    try:
        refusal = protocol.decode(protocol.Refusal, answer.body)
    except SecurityError:
        refusal = protocol.Refusal(f"status {answer.status}")
    code = _REFUSALS.get(refusal.error, "HG-6198")
    reason = ": ".join(filter(None, (refusal.error, refusal.text)))
    raise SecurityError(f"the service refuses: {reason}", code=code, reason=reason)
