"""Answers: what a gateway says to whoever sent a command, signed.

An answer is the quick word; the durable one is the `CommandResult` item of the next record.
Source: docs/reference/commands.md, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.command import CommandValue, Step
from headgate.envelope.signers import Trust, verify_signer
from headgate.envelope.wire import Bytes16, Counter, Digest, GatewayId, decode, frame, unframe
from headgate.errors import EnvelopeError, SignatureInvalid

ANSWER: Final = 5
ANSWER_LABEL: Final = "headgate-answer-v1"
MAX_ANSWER: Final = 8 * 1024


class Answer(msgspec.Struct, frozen=True):
    """What came of one message.

    `request` is the SM3 of the command's body, so that nobody's answer passes for another's.
    `token` and `token_ms` come with "selected": what OPERATE signs, and how long it is good for.
    `value` is what was read back, in the point's unit. `lease_ms` is what is left of the lease.
    `code` names the sentence of the catalogue and `text` is that sentence in English.
    """

    gateway: str
    command: bytes
    step: Step
    request: bytes
    state: str
    code: str = ""
    text: str = ""
    token: bytes | None = None
    token_ms: int = 0
    value: CommandValue | None = None
    lease_ms: int = 0
    at_us: int = 0


class _Body(msgspec.Struct, array_like=True):
    label: str
    signer: Digest
    gateway: GatewayId
    command: Bytes16
    step: Step
    request: Digest
    state: Annotated[str, Meta(max_length=32)]
    code: Annotated[str, Meta(max_length=16)]
    text: Annotated[str, Meta(max_length=400)]
    token: Bytes16 | None
    token_ms: Counter
    value: Any
    lease_ms: Counter
    at: Counter


class _Message(msgspec.Struct, array_like=True):
    body: Annotated[bytes, Meta(max_length=2048)]
    signature: Annotated[bytes, Meta(max_length=80)]
    certificates: Annotated[
        tuple[Annotated[bytes, Meta(max_length=4096)], ...], Meta(min_length=1, max_length=4)
    ]


_body = msgspec.msgpack.Decoder(_Body)
_message = msgspec.msgpack.Decoder(_Message)
_encoder = msgspec.msgpack.Encoder()


def make_answer(answer: Answer, key: Sm2PrivateKey, certificates: Sequence[Certificate]) -> bytes:
    """An answer message, signed by the gateway. `certificates` is its own, then its intermediates."""
    signer = certificates[0].fingerprint
    body = _encoder.encode((
        ANSWER_LABEL, signer, answer.gateway, answer.command, answer.step, answer.request,
        answer.state, answer.code, answer.text, answer.token, answer.token_ms, answer.value,
        answer.lease_ms, answer.at_us,
    ))  # fmt: skip
    chain = [certificate.der for certificate in certificates]
    return frame(ANSWER, _encoder.encode((body, key.sign(body), chain)))


def verify_answer(provider: CryptoProvider, message: bytes, trust: Trust) -> Answer:
    """An answer, signed by the gateway that it names.

    Raises:
        EnvelopeError: not an answer of a form and size we accept.
        CertificateRefused: not a gateway's certificate that the anchors vouch for.
        SignatureInvalid: signed by another key, or for another gateway than its certificate's.
    """
    sent = decode(_message, unframe(ANSWER, message, MAX_ANSWER), "answer")
    body = decode(_body, sent.body, "body of the answer")
    if body.label != ANSWER_LABEL:
        raise EnvelopeError(f"labelled {body.label[:40]!r}, not {ANSWER_LABEL!r}")
    if body.value is not None and not isinstance(body.value, (bool, int, float, str)):
        raise EnvelopeError("a value that is no bool, number or text")
    leaf = verify_signer(
        provider, sent.certificates, body.signer, sent.body, sent.signature, trust, Role.GATEWAY
    )
    if leaf.subject_cn != body.gateway:
        raise SignatureInvalid(
            f"an answer of {body.gateway!r} under the certificate of {leaf.subject_cn!r}"
        )
    return Answer(
        body.gateway, body.command, body.step, body.request, body.state, body.code, body.text,
        body.token, body.token_ms, body.value, body.lease_ms, body.at,
    )  # fmt: skip
