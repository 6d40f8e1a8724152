"""What a box is given by hand, keeps of it, and hears from an enrolment service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache

from fuzz.papers import seed
from fuzz.sealed import provider
from fuzz.target import Target
from headgate.crypto import encoding
from headgate.crypto.custody import open_key, seal_key
from headgate.crypto.x509 import Certificate
from headgate.errors import SecurityError
from headgate.runtime.enrolment import papers, protocol
from headgate.runtime.enrolment.bag import sort_out
from headgate.runtime.enrolment.judge import judge
from headgate.runtime.enrolment.qr import join, parts
from headgate.runtime.enrolment.roots import Standing

_KEK = bytes(range(16))
_GATEWAY = "sz-gw-0001"


def _stick(data: bytes) -> None:
    """Whatever lies on a stick is a verdict; and nothing is taken in that the root does not prove."""
    files = {"one": data, "two": data[: len(data) // 2]}
    sort_out(files)
    ca = Certificate.load(seed("ca"))
    standing = Standing(_GATEWAY, papers.Papers(gateway=_GATEWAY), frozenset(), (ca,), None)
    verdict = judge(files, standing, provider())
    assert verdict.papers is None or not verdict.papers.sign, "a certificate for a key we never had"


def _sealed(data: bytes) -> None:
    try:
        open_key(provider(), _KEK, data)
    except SecurityError:
        return
    assert data == _sealed_key(), "only what was sealed here opens"


@cache
def _sealed_key() -> bytes:
    return seal_key(provider(), _KEK, provider().sm2_generate(), bytes(12))


def _refused(run: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def guarded(data: bytes) -> None:
        try:
            run(data)
        except SecurityError:
            return

    return guarded


def _bundle(data: bytes) -> None:
    found = protocol.decode(protocol.Bundle, data)
    assert len(protocol.fingerprint(provider(), found)) == 64


def _ask(data: bytes) -> None:
    for kind in (protocol.Enroll, protocol.Renew, protocol.Files, protocol.Refusal, protocol.Wait):
        try:
            protocol.decode(kind, data)
        except SecurityError:
            continue


def _code(data: bytes) -> None:
    join(data.decode("utf-8", "replace").splitlines())


def _certificates() -> Iterable[bytes]:
    for name in ("ca", "crl"):
        yield seed(name)
    yield encoding.to_pem("CERTIFICATE", seed("ca"))


def _papers() -> Iterable[bytes]:
    made = papers.Papers(gateway=_GATEWAY, anchors=(seed("ca"),), crls=(seed("crl"),))
    yield papers.encode(provider(), made)


def _messages() -> Iterable[bytes]:
    pem = encoding.to_pem("CERTIFICATE", seed("ca")).decode()
    yield protocol.encode(protocol.Bundle((pem,), (pem,)))
    yield protocol.encode(protocol.Enroll(_GATEWAY, "AAAAA-BBBBB", pem, pem))
    yield protocol.encode(protocol.Renew(_GATEWAY, "7e", "00", pem, pem, "3006"))
    yield json.dumps({"files": {"a": pem}, "version": 1}).encode()


def _codes() -> Iterable[bytes]:
    yield "\n".join(parts(_GATEWAY, "sign", seed("ca"), 180)).encode()


ENROLMENT: dict[str, Target] = {
    "enrolment-stick": Target(_stick, _certificates),
    "enrolment-ask": Target(_ask, _messages),
    "enrolment-ca": Target(_refused(_bundle), _messages),
    "enrolment-code": Target(_refused(_code), _codes),
    "sealed-key": Target(_sealed, lambda: [_sealed_key()]),
    "identity-papers": Target(_refused(lambda data: papers.decode(provider(), data)), _papers),
}
