from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey, default_provider
from headgate.envelope.receipt import (
    MAX_RANGES,
    Receipt,
    Verdict,
    encode_body,
    join_receipt,
    make_receipt,
    verify_receipt,
)
from headgate.errors import EnvelopeError, SignatureInvalid

RECEIPT = Receipt(
    "gauge-house-7",
    b"epoch--1",
    3,
    40,
    ((42, 50), (60, 60)),
    (Verdict(51, 1, "why"), Verdict(52, 2, b"key-id-1"), Verdict(53, 3, bytes(32))),
    ((1, 9),),
)
KEY = default_provider().sm2_generate()


def test_the_gateway_reads_what_the_platform_said() -> None:
    assert verify_receipt(make_receipt(RECEIPT, KEY), KEY.public, "gauge-house-7") == RECEIPT


def test_a_receipt_may_be_signed_somewhere_else() -> None:
    body = encode_body(RECEIPT)
    assert (
        verify_receipt(join_receipt(body, KEY.sign(body)), KEY.public, RECEIPT.gateway) == RECEIPT
    )


def test_a_receipt_of_another_key_is_refused(provider: CryptoProvider) -> None:
    forged = make_receipt(RECEIPT, provider.sm2_generate())
    with pytest.raises(SignatureInvalid):
        verify_receipt(forged, KEY.public, "gauge-house-7")


def test_a_receipt_for_another_gateway_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="gauge-house-7"):
        verify_receipt(make_receipt(RECEIPT, KEY), KEY.public, "gauge-house-8")


def test_every_altered_byte_of_a_receipt_is_noticed() -> None:
    message = make_receipt(RECEIPT, KEY)
    for at in range(len(message)):
        altered = bytearray(message)
        altered[at] ^= 1
        with pytest.raises((EnvelopeError, SignatureInvalid)):
            verify_receipt(bytes(altered), KEY.public, "gauge-house-7")
        with pytest.raises((EnvelopeError, SignatureInvalid)):
            verify_receipt(message[:at], KEY.public, "gauge-house-7")


def signed(key: Sm2PrivateKey, *body: Any) -> bytes:
    raw = msgspec.msgpack.encode(body)
    return join_receipt(raw, key.sign(raw))


@pytest.mark.parametrize(
    "change",
    [
        {0: "headgate-receipt-v2"},
        {2: b"short"},
        {4: -1},
        {4: 2**63},
        {5: [[5, 4]]},
        {5: [[1, 2]] * (MAX_RANGES + 1)},
        {5: [[1]]},
        {6: [[1, 1, "x" * 500]]},
        {6: [[1, 1, 5]]},
        {6: [[1, 1, ["x"]]]},
        {7: [[9, 8]]},
    ],
)
def test_a_signed_receipt_of_another_form_is_refused(change: dict[int, Any]) -> None:
    body: list[Any] = ["headgate-receipt-v1", "gauge-house-7", b"epoch--1", 0, 0, [], [], []]
    assert verify_receipt(signed(KEY, *body), KEY.public, "gauge-house-7").floor == 0
    for at, value in change.items():
        body[at] = value
    with pytest.raises(EnvelopeError):
        verify_receipt(signed(KEY, *body), KEY.public, "gauge-house-7")


def test_a_verdict_code_from_the_future_is_kept() -> None:
    body = ["headgate-receipt-v1", "gauge-house-7", b"epoch--1", 0, 0, [], [[5, 99, "new"]], []]
    receipt = verify_receipt(signed(KEY, *body), KEY.public, "gauge-house-7")
    assert receipt.verdicts == (Verdict(5, 99, "new"),)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused(noise: bytes, framed: bool) -> None:
    with pytest.raises((EnvelopeError, SignatureInvalid)):
        verify_receipt((b"HG\x03\x01" if framed else b"") + noise, KEY.public, "gauge-house-7")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_signed_bytes_are_refused(body: bytes) -> None:
    with pytest.raises((EnvelopeError, SignatureInvalid)):
        verify_receipt(join_receipt(body, KEY.sign(body)), KEY.public, "gauge-house-7")
