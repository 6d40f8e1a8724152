"""Receipts: how the platform lets the gateway forget.

Source: docs/reference/uplink.md, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import Sm2PrivateKey, Sm2PublicKey
from headgate.envelope.wire import (
    MAX_RECEIPT,
    RECEIPT,
    Bytes8,
    Counter,
    GatewayId,
    decode,
    frame,
    unframe,
)
from headgate.errors import EnvelopeError, SignatureInvalid

RECEIPT_LABEL: Final = "headgate-receipt-v1"
MAX_RANGES: Final = 512
MAX_VERDICTS: Final = 512
MAX_DETAIL: Final = 120
MAX_RETIRED: Final = 64
MAX_SIGNATURES: Final = 4

Range = tuple[Counter, Counter]


class VerdictCode(IntEnum):
    """What a platform says of one record that it did not store."""

    REFUSED = 1
    NEED_GRANT = 2
    NEED_TABLE = 3
    NOT_OPENED = 4


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """About record `n`: `detail` says why (text), or names the key id or the table (bytes).

    `code` is a plain number: a receiver may be newer than this gateway. Unknown codes settle
    nothing.
    """

    n: Counter
    code: int
    detail: str | bytes = ""


class _Verdict(msgspec.Struct, array_like=True):
    n: Counter
    code: int
    # msgspec cannot tell str from bytes inside a union: `_verdict` looks.
    detail: Any = ""


class Receipt(msgspec.Struct, frozen=True):
    """What the platform has of one epoch: every n below `floor`, and the ranges `stored`.

    `retire` names record keys under which nothing more is to be sealed. A key that was retired never
    comes back, so an ask that is repeated on the way does nothing.
    """

    gateway: str
    epoch: bytes
    serial: int
    floor: int
    stored: tuple[tuple[int, int], ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    resend: tuple[tuple[int, int], ...] = ()
    retire: tuple[bytes, ...] = ()


class _Body(msgspec.Struct, array_like=True):
    label: str
    gateway: GatewayId
    epoch: Bytes8
    serial: Counter
    floor: Counter
    stored: Annotated[tuple[Range, ...], Meta(max_length=MAX_RANGES)]
    verdicts: Annotated[tuple[_Verdict, ...], Meta(max_length=MAX_VERDICTS)]
    resend: Annotated[tuple[Range, ...], Meta(max_length=MAX_RANGES)]
    retire: Annotated[tuple[Bytes8, ...], Meta(max_length=MAX_RETIRED)] = ()


_Signature = Annotated[bytes, Meta(max_length=80)]


class _Message(msgspec.Struct, array_like=True):
    body: bytes
    signature: _Signature
    others: Annotated[tuple[_Signature, ...], Meta(max_length=MAX_SIGNATURES - 1)] = ()


_body = msgspec.msgpack.Decoder(_Body)
_message = msgspec.msgpack.Decoder(_Message)
_encoder = msgspec.msgpack.Encoder()


def encode_body(receipt: Receipt) -> bytes:
    """The bytes that the platform's receipt key signs.

    Raises:
        ValueError: more ranges or verdicts than one receipt may carry.
    """
    ranges = max(len(receipt.stored), len(receipt.resend))
    if ranges > MAX_RANGES or len(receipt.verdicts) > MAX_VERDICTS:
        raise ValueError("too many ranges or verdicts for one receipt")
    if len(receipt.retire) > MAX_RETIRED:
        raise ValueError("too many keys to retire for one receipt")
    retire = (receipt.retire,) if receipt.retire else ()
    return _encoder.encode((
        RECEIPT_LABEL, receipt.gateway, receipt.epoch, receipt.serial, receipt.floor,
        receipt.stored, receipt.verdicts, receipt.resend, *retire,
    ))  # fmt: skip


def join_receipt(body: bytes, signature: bytes, *others: bytes) -> bytes:
    """A receipt message of a body and its signature, wherever that was made (an HSM, say).

    `others` are signatures by further receipt keys: while a platform changes from one to the next, a
    gateway may have pinned either.
    """
    more = (others,) if others else ()
    return frame(RECEIPT, _encoder.encode((body, signature, *more)))


def make_receipt(receipt: Receipt, key: Sm2PrivateKey) -> bytes:
    """A receipt message, signed by a key at hand."""
    body = encode_body(receipt)
    return join_receipt(body, key.sign(body))


def verify_receipt(
    message: bytes, key: Sm2PublicKey | Sequence[Sm2PublicKey], gateway: str
) -> Receipt:
    """A receipt for this gateway, signed by the pinned receipt key, or by one of them.

    Raises:
        EnvelopeError: not a receipt of a form and size we accept.
        SignatureInvalid: signed by another key, or for another gateway.
    """
    sent = decode(_message, unframe(RECEIPT, message, MAX_RECEIPT), "receipt")
    # Nothing in a body is looked at before its signature holds.
    pinned = key if isinstance(key, Sequence) else (key,)
    signatures = (sent.signature, *sent.others)
    if not any(one.verify(signature, sent.body) for one in pinned for signature in signatures):
        raise SignatureInvalid("the receipt's signature is not the pinned receipt key's")
    body = decode(_body, sent.body, "body of the receipt")
    if body.label != RECEIPT_LABEL:
        raise EnvelopeError(f"labelled {body.label[:40]!r}, not {RECEIPT_LABEL!r}")
    if body.gateway != gateway:
        raise SignatureInvalid(f"a receipt for {body.gateway!r}, this is {gateway!r}")
    if any(first > last for first, last in (*body.stored, *body.resend)):
        raise EnvelopeError("a range that ends before it starts")
    verdicts = tuple(map(_verdict, body.verdicts))
    return Receipt(
        body.gateway, body.epoch, body.serial, body.floor, body.stored, verdicts, body.resend,
        body.retire,
    )  # fmt: skip


def _verdict(sent: _Verdict) -> Verdict:
    if not isinstance(sent.detail, (str, bytes)) or len(sent.detail) > MAX_DETAIL:
        raise EnvelopeError("the detail of a verdict is neither short text nor bytes")
    return Verdict(sent.n, sent.code, sent.detail)
