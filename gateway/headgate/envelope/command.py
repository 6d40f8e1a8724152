"""Commands: what a platform asks a gateway to move, who stands behind it, and the approvals of others.

Source: docs/reference/commands.md, sections 2 to 4. Pure: keys, random bytes and instants are
arguments. What a gateway then allows is not decided here (`headgate.runtime.commands`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import Sm2PrivateKey
from headgate.crypto.x509 import Certificate
from headgate.envelope.wire import Bytes16, Counter, Digest, GatewayId, decode, frame, unframe
from headgate.errors import EnvelopeError

COMMAND: Final = 4
APPROVAL: Final = 6
COMMAND_LABEL: Final = "headgate-command-v1"
APPROVAL_LABEL: Final = "headgate-approval-v1"

MAX_COMMAND: Final = 16 * 1024
MAX_APPROVAL: Final = 4 * 1024
MAX_BODY: Final = 1024
MAX_CERTIFICATES: Final = 4
MAX_APPROVALS: Final = 3
MAX_LEASE_S: Final = 86_400
#: How long a command and an approval may be good for at most, in microseconds.
MAX_WINDOW_US: Final = 86_400 * 1_000_000
MAX_APPROVAL_WINDOW_US: Final = 7 * MAX_WINDOW_US
_LARGEST_INT: Final = 2**63

#: A bool, an int, a binary64 or a text; which one it is belongs to the value.
CommandValue = bool | int | float | str


class Step(StrEnum):
    """What a message asks for."""

    SELECT = "select"
    OPERATE = "operate"
    CANCEL = "cancel"
    RENEW = "renew"


class Operation(StrEnum):
    """What is done with a point."""

    SET = "set"
    """Give it a value, for as long as the lease lasts."""
    RELEASE = "release"
    """End a lease now, by the rule that the gateway has for its end."""


class Content(msgspec.Struct, frozen=True):
    """What SELECT says and OPERATE, RENEW and CANCEL repeat, byte for byte.

    Times are unix microseconds. `lease_s` is how long the output may stay forced, 0 with RELEASE.
    """

    gateway: str
    device: str
    point: str
    operation: Operation
    value: CommandValue | None
    unit: str
    command: bytes
    not_before_us: int
    expiry_us: int
    lease_s: int


class Command(msgspec.Struct, frozen=True):
    """One step of one command. `signer` is the SM3 of the issuer's certificate."""

    step: Step
    content: Content
    signer: bytes
    counter: int
    token: bytes | None = None


class Approval(msgspec.Struct, frozen=True):
    """What another person agrees to: a command whose value lies in `low` to `high`.

    `token` is None for one that was gathered before SELECT, which counts on a trusted clock alone.
    """

    gateway: str
    device: str
    point: str
    operation: Operation
    low: CommandValue | None
    high: CommandValue | None
    unit: str
    command: bytes
    not_before_us: int
    expiry_us: int
    lease_s: int
    signer: bytes
    token: bytes | None = None


class Sent(msgspec.Struct, frozen=True):
    """A message as it came: form and size hold, nothing is proved."""

    command: Command
    body: bytes
    signature: bytes
    certificates: tuple[bytes, ...]
    approvals: tuple[bytes, ...]


class SentApproval(msgspec.Struct, frozen=True):
    """An approval as it came: form and size hold, nothing is proved."""

    approval: Approval
    body: bytes
    signature: bytes
    certificates: tuple[bytes, ...]


Instant = Counter
_Text = Annotated[str, Meta(min_length=1, max_length=64)]
_Unit = Annotated[str, Meta(max_length=32)]
_Lease = Annotated[int, Meta(ge=0, le=MAX_LEASE_S)]
_Signature = Annotated[bytes, Meta(min_length=8, max_length=80)]
_Der = Annotated[bytes, Meta(min_length=1, max_length=4096)]
_Chain = Annotated[tuple[_Der, ...], Meta(min_length=1, max_length=MAX_CERTIFICATES)]
#: msgspec has no strict union of bool, int, float and str with bounds: `_value` looks.
_Value = Any


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    label: str
    step: Step
    signer: Digest
    counter: Counter
    token: Bytes16 | None
    gateway: GatewayId
    device: _Text
    point: _Text
    operation: Operation
    value: _Value
    unit: _Unit
    command: Bytes16
    not_before: Instant
    expiry: Instant
    lease: _Lease


class _Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    body: Annotated[bytes, Meta(max_length=MAX_BODY)]
    signature: _Signature
    certificates: _Chain
    approvals: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_APPROVAL)], ...], Meta(max_length=MAX_APPROVALS)
    ]


class _ApprovalBody(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    label: str
    signer: Digest
    token: Bytes16 | None
    gateway: GatewayId
    device: _Text
    point: _Text
    operation: Operation
    low: _Value
    high: _Value
    unit: _Unit
    command: Bytes16
    not_before: Instant
    expiry: Instant
    lease: _Lease


class _ApprovalMessage(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    body: Annotated[bytes, Meta(max_length=MAX_BODY)]
    signature: _Signature
    certificates: _Chain


_body = msgspec.msgpack.Decoder(_Body)
_message = msgspec.msgpack.Decoder(_Message)
_approval_body = msgspec.msgpack.Decoder(_ApprovalBody)
_approval_message = msgspec.msgpack.Decoder(_ApprovalMessage)
_encoder = msgspec.msgpack.Encoder()


# ---------------------------------------------------------------- making


def encode_command(command: Command) -> bytes:
    """The bytes that an operator's key signs.

    Raises:
        EnvelopeError: a command that no gateway would read.
    """
    content = command.content
    body = _encoder.encode((
        COMMAND_LABEL, command.step, command.signer, command.counter, command.token, content.gateway,
        content.device, content.point, content.operation, content.value, content.unit,
        content.command, content.not_before_us, content.expiry_us, content.lease_s,
    ))  # fmt: skip
    parse_body(body)
    return body


def join_command(
    body: bytes,
    signature: bytes,
    certificates: Sequence[Certificate],
    approvals: Sequence[bytes] = (),
) -> bytes:
    """A command message of a body and its signature, wherever that was made (a token, an HSM).

    `certificates` is the signer's own, then its intermediates; `approvals` are whole messages.
    """
    chain = [certificate.der for certificate in certificates]
    message = frame(COMMAND, _encoder.encode((body, signature, chain, list(approvals))))
    parse_command(message)
    return message


def make_command(
    command: Command,
    key: Sm2PrivateKey,
    certificates: Sequence[Certificate],
    approvals: Sequence[bytes] = (),
) -> bytes:
    """A command message, signed by a key at hand."""
    body = encode_command(command)
    return join_command(body, key.sign(body), certificates, approvals)


def encode_approval(approval: Approval) -> bytes:
    """The bytes that an approver's key signs. Raises EnvelopeError."""
    body = _encoder.encode((
        APPROVAL_LABEL, approval.signer, approval.token, approval.gateway, approval.device,
        approval.point, approval.operation, approval.low, approval.high, approval.unit,
        approval.command, approval.not_before_us, approval.expiry_us, approval.lease_s,
    ))  # fmt: skip
    _parse_approval_body(body)
    return body


def join_approval(body: bytes, signature: bytes, certificates: Sequence[Certificate]) -> bytes:
    """An approval message of a body and its signature."""
    chain = [certificate.der for certificate in certificates]
    message = frame(APPROVAL, _encoder.encode((body, signature, chain)))
    parse_approval(message)
    return message


def make_approval(
    approval: Approval, key: Sm2PrivateKey, certificates: Sequence[Certificate]
) -> bytes:
    """An approval message, signed by a key at hand."""
    body = encode_approval(approval)
    return join_approval(body, key.sign(body), certificates)


def approval_of(content: Content, signer: bytes, token: bytes | None = None) -> Approval:
    """The approval of exactly this content. Widen `low` and `high` for a range of values."""
    return Approval(
        content.gateway, content.device, content.point, content.operation, content.value,
        content.value, content.unit, content.command, content.not_before_us, content.expiry_us,
        content.lease_s, signer, token,
    )  # fmt: skip


# ---------------------------------------------------------------- reading


def parse_command(message: bytes) -> Sent:
    """A command message, read without trust: size, form, canonical bytes.

    Raises:
        EnvelopeError: not a command of a form and size we accept.
    """
    sent = _exact(_message, unframe(COMMAND, message, MAX_COMMAND), "command")
    return Sent(parse_body(sent.body), sent.body, sent.signature, sent.certificates, sent.approvals)


def parse_body(raw: bytes) -> Command:
    """What an operator signed. Raises EnvelopeError."""
    body = _exact(_body, raw, "body of the command")
    _labelled(body.label, COMMAND_LABEL)
    if (body.token is None) is not (body.step is Step.SELECT):
        raise EnvelopeError(f"{body.step} {'without' if body.token is None else 'with'} a token")
    _window(body.not_before, body.expiry, MAX_WINDOW_US)
    value = _value(body.value)
    _fits(body.operation, (value,), body.lease)
    content = Content(
        body.gateway, body.device, body.point, body.operation, value, body.unit, body.command,
        body.not_before, body.expiry, body.lease,
    )  # fmt: skip
    return Command(body.step, content, body.signer, body.counter, body.token)


def parse_approval(message: bytes) -> SentApproval:
    """An approval message, read without trust.

    Raises:
        EnvelopeError: not an approval of a form and size we accept.
    """
    sent = _exact(_approval_message, unframe(APPROVAL, message, MAX_APPROVAL), "approval")
    return SentApproval(
        _parse_approval_body(sent.body), sent.body, sent.signature, sent.certificates
    )


def _parse_approval_body(raw: bytes) -> Approval:
    body = _exact(_approval_body, raw, "body of the approval")
    _labelled(body.label, APPROVAL_LABEL)
    _window(body.not_before, body.expiry, MAX_APPROVAL_WINDOW_US)
    low, high = _value(body.low), _value(body.high)
    _fits(body.operation, (low, high), body.lease)
    return Approval(
        body.gateway, body.device, body.point, body.operation, low, high, body.unit, body.command,
        body.not_before, body.expiry, body.lease, body.signer, body.token,
    )  # fmt: skip


def _exact(decoder: msgspec.msgpack.Decoder[Any], data: bytes, what: str) -> Any:
    """What is decoded, when these bytes are the only ones that say it."""
    read = decode(decoder, data, what)
    try:
        again = _encoder.encode(read)
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError) as error:
        raise EnvelopeError(f"{what}: {str(error)[:100]}") from None
    if again != data:
        # Two encodings of one meaning: two readers could each see another command.
        raise EnvelopeError(f"{what}: not the shortest msgpack of what it says")
    return read


def _labelled(found: str, wanted: str) -> None:
    if found != wanted:
        raise EnvelopeError(f"labelled {found[:40]!r}, not {wanted!r}")


def _window(not_before: int, expiry: int, longest: int) -> None:
    if not 0 < expiry - not_before <= longest:
        raise EnvelopeError(f"good for {expiry - not_before} us, more than 0 and {longest} allowed")


def _value(value: object) -> CommandValue | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -_LARGEST_INT <= value < _LARGEST_INT:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= 64:
        return value
    raise EnvelopeError("a value that is no bool, integer, finite number or short text")


def _fits(operation: Operation, values: tuple[CommandValue | None, ...], lease: int) -> None:
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        raise EnvelopeError("bounds of two kinds")
    if operation is Operation.RELEASE:
        if kinds != {"nil"} or lease:
            raise EnvelopeError("a release has neither value nor lease")
    elif kinds == {"nil"} or not lease:
        raise EnvelopeError("what is set has a value and a lease")


def _kind(value: CommandValue | None) -> str:
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "number"


def within(low: CommandValue | None, value: CommandValue | None, high: CommandValue | None) -> bool:
    """Whether a value lies in the bounds of an approval: the same truth or text, or a number between."""
    if _kind(value) == _kind(low) == _kind(high) == "number":
        assert isinstance(low, (int, float))
        assert isinstance(high, (int, float))
        assert isinstance(value, (int, float))
        return low <= value <= high
    return _kind(low) == _kind(value) == _kind(high) and low == value == high
