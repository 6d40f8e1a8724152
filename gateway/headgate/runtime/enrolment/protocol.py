"""The words between a box and an enrolment service: JSON over HTTPS. Pure.

JSON, because a city's CA speaks it in any language and an engineer reads it with curl; the certificates
in it are PEM, as they would lie on a stick, and are judged by the same code.
Source: docs/reference/enrolment.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from headgate.crypto import der, encoding
from headgate.crypto.provider import CryptoProvider
from headgate.errors import SecurityError

T = TypeVar("T")

VERSION: Final = 1
ROOT: Final = "/headgate/enrolment/v1"
CA, NONCE, ENROLL, RENEW, LISTS = "/ca", "/nonce", "/enroll", "/renew", "/lists"
MAX_ASK: Final = 32 * 1024
MAX_ANSWER: Final = 4 * 1024 * 1024

_BUNDLE_LABEL: Final = b"headgate-enrolment-ca-v1"
_RENEW_LABEL: Final = "headgate-renew-v1"

Pem = Annotated[str, Meta(max_length=16 * 1024)]
Gateway = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}\Z")]


class Bundle(msgspec.Struct, frozen=True):
    """Answer to `GET /ca`: the PKI's roots (SM2), and those that the service's TLS is checked against."""

    anchors: Annotated[tuple[Pem, ...], Meta(min_length=1, max_length=8)]
    roots: Annotated[tuple[Pem, ...], Meta(min_length=1, max_length=8)]
    version: int = VERSION


class Nonce(msgspec.Struct, frozen=True):
    """Answer to `GET /nonce`: good once, for a minute."""

    nonce: Hex
    version: int = VERSION


class Enroll(msgspec.Struct, frozen=True):
    """`POST /enroll`: requests (PKCS #10, PEM) and the token that the CA gave for this gateway."""

    gateway: Gateway
    token: Annotated[str, Meta(min_length=8, max_length=200)]
    sign: Pem
    link: Pem
    version: int = VERSION

    def __repr__(self) -> str:
        return f"<enroll {self.gateway}>"


class Renew(msgspec.Struct, frozen=True):
    """`POST /renew`: requests for new keys, signed by the key of the certificate that is being renewed."""

    gateway: Gateway
    serial: Hex
    nonce: Hex
    sign: Pem
    link: Pem
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{2,160}\Z")]
    version: int = VERSION


class Files(msgspec.Struct, frozen=True):
    """What was issued, as files: names are for people, content decides."""

    files: Annotated[dict[str, str], Meta(max_length=64)]
    version: int = VERSION


class Wait(msgspec.Struct, frozen=True):
    """Status 202: a person has to decide first."""

    after_s: Annotated[int, Meta(ge=1, le=7 * 24 * 3600)]
    version: int = VERSION


class Refusal(msgspec.Struct, frozen=True):
    """Any status from 400 on. `error` is one of the words in the specification."""

    error: Annotated[str, Meta(max_length=40)]
    text: Annotated[str, Meta(max_length=400)] = ""
    version: int = VERSION


def encode(message: msgspec.Struct) -> bytes:
    """A body."""
    return msgspec.json.encode(message)


def decode(kind: type[T], body: bytes) -> T:
    """A body of this kind.

    Raises:
        SecurityError: another shape, too large, or another version.
    """
    if len(body) > MAX_ANSWER:
        raise _nonsense("too large")
    try:
        found = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _nonsense(str(error)[:200]) from None
    if getattr(found, "version", VERSION) != VERSION:
        raise _nonsense(f"version {getattr(found, 'version', '?')}")
    return found


def fingerprint(provider: CryptoProvider, bundle: Bundle) -> str:
    """What stands on the paper: SM3 over a label and every certificate of the bundle, in order.

    Raises:
        SecurityError: one of them is no PEM certificate.
    """
    body = bytearray(_BUNDLE_LABEL)
    for each in (*bundle.anchors, *bundle.roots):
        content = one_der(each)
        body += len(content).to_bytes(4, "big") + content
    return provider.sm3(bytes(body)).hex()


def one_der(pem: str) -> bytes:
    """The one certificate in a PEM text, of any algorithm.

    Raises:
        SecurityError: none, or several.
    """
    try:
        blocks = encoding.pem_blocks(pem.encode())
    except der.DerError as error:
        raise _nonsense(str(error)) from None
    if len(blocks) != 1 or blocks[0][0] != "CERTIFICATE":
        raise _nonsense("not one certificate")
    return blocks[0][1]


def renewal_text(
    provider: CryptoProvider, gateway: str, serial: str, nonce: str, requests: Sequence[bytes]
) -> bytes:
    """What the old key signs: lines of label, gateway, serial, nonce and the SM3 of each request (DER)."""
    digests = [provider.sm3(each).hex() for each in requests]
    return "\n".join((_RENEW_LABEL, gateway, serial, nonce, *digests)).encode()


def as_files(answer: Files) -> Mapping[str, bytes]:
    """What came, as the judge takes it."""
    return {name[:100]: text.encode() for name, text in answer.files.items()}


def _nonsense(reason: str) -> SecurityError:
    return SecurityError(f"not an answer of this protocol: {reason}", code="HG-6194", reason=reason)
