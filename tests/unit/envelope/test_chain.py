from __future__ import annotations

import pytest
from kit.pki import EPOCH, SECRET, Pki

from headgate.crypto.provider import CryptoProvider
from headgate.envelope.chain import BEGINNING, Chain, link, statement
from headgate.envelope.grant import derive
from headgate.envelope.record import (
    HEADER_SIZE,
    Opened,
    RecordKey,
    Sealer,
    open_proven,
    open_record,
    parse_header,
)
from headgate.errors import EnvelopeError, SealBroken, SignatureInvalid


class Signing:
    """A gateway that signs what it seals."""

    def __init__(self, pki: Pki) -> None:
        self.pki, self.provider = pki, pki.provider
        self.core = pki.core(signed=True)
        self.key = derive(self.provider, SECRET, self.core)
        self.chain = Chain(self.provider)
        self.chain.signed_by(pki.gateway.key)
        self.sealer = Sealer(self.provider)

    def seal(self, n: int, payload: bytes = b"reading") -> bytes:
        return self.sealer.seal_signed(self.key, EPOCH, n, payload, self.chain)

    def open(self, record: bytes) -> Opened:
        return open_proven(self.provider, self.key, record, self.pki.gateway.key.public)


@pytest.fixture
def signing(pki: Pki) -> Signing:
    return Signing(pki)


def reseal(
    provider: CryptoProvider, key: RecordKey, record: bytes, at: int, n: int | None = None
) -> bytes:
    """What another holder of the key makes of a true record: one byte of its plaintext changed."""
    header = record[:24] + (record[24:32] if n is None else n.to_bytes(8, "big"))
    plaintext = bytearray(
        provider.sm4_gcm_open(
            key.key, key.salt + record[24:32], record[HEADER_SIZE:], record[:HEADER_SIZE]
        )
    )
    if at >= 0:
        plaintext[at] ^= 1
    nonce = key.salt + header[24:]
    return header + provider.sm4_gcm_seal(key.key, nonce, bytes(plaintext), header)


def test_a_signed_record_proves_itself(signing: Signing) -> None:
    opened = signing.open(signing.seal(0))
    assert opened.payload == b"reading"
    assert opened.proof is not None
    assert opened.proof.previous == BEGINNING
    assert parse_header(signing.seal(1)).signed


def test_each_record_names_the_one_before(signing: Signing) -> None:
    first, second = signing.open(signing.seal(0)), signing.open(signing.seal(1))
    assert second.proof is not None and first.proof is not None and signing.key.core is not None
    stated = statement(signing.provider, signing.key.core, first.sealed, first.proof.previous)
    assert second.proof.previous == first.link == link(signing.provider, stated)


def test_no_byte_can_be_changed_by_another_holder_of_the_key(signing: Signing) -> None:
    record = signing.seal(0)
    size = len(record) - HEADER_SIZE - 16
    for at in range(size):
        # Not EnvelopeError: that would be the gateway's own word, and cost it its record.
        with pytest.raises(SignatureInvalid):
            signing.open(reseal(signing.provider, signing.key, record, at))


def test_a_record_cannot_be_moved_by_another_holder_of_the_key(signing: Signing) -> None:
    with pytest.raises(SignatureInvalid):
        signing.open(reseal(signing.provider, signing.key, signing.seal(0), -1, n=1))


def test_a_bare_record_under_a_signing_key_is_nobodys(signing: Signing) -> None:
    bare = signing.sealer.seal(signing.key, EPOCH, 0, b"forged")
    with pytest.raises(SignatureInvalid, match="not signed"):
        signing.open(bare)
    with pytest.raises(SignatureInvalid):
        open_record(signing.provider, signing.key, bare)


def test_a_signed_record_under_a_bare_key_is_refused(signing: Signing, pki: Pki) -> None:
    bare = derive(signing.provider, SECRET, pki.core())
    record = signing.sealer.seal_signed(bare, EPOCH, 0, b"reading", signing.chain)
    with pytest.raises(SignatureInvalid):
        open_proven(signing.provider, bare, record, pki.gateway.key.public)


def test_the_signature_of_another_gateway_proves_nothing(signing: Signing, pki: Pki) -> None:
    signing.chain.signed_by(pki.provider.sm2_generate())
    with pytest.raises(SignatureInvalid):
        signing.open(signing.seal(0))


def test_without_the_key_it_is_sealed_as_any_record(signing: Signing) -> None:
    record = signing.seal(3)
    for at in range(0, len(record), 5):
        altered = bytearray(record)
        altered[at] ^= 0x40
        with pytest.raises((SealBroken, EnvelopeError)):
            signing.open(bytes(altered))


def test_a_chain_needs_a_key_to_sign_with(signing: Signing) -> None:
    chain = Chain(signing.provider)
    with pytest.raises(ValueError, match="without a signing key"):
        signing.sealer.seal_signed(signing.key, EPOCH, 0, b"", chain)


def test_a_plaintext_too_short_for_a_signature_is_nobodys(signing: Signing) -> None:
    header = signing.seal(0)[:HEADER_SIZE]
    for plaintext in (bytes(8), bytes(41), bytes(8) + b"\xff" + bytes(40)):
        sealed = signing.provider.sm4_gcm_seal(
            signing.key.key, signing.key.salt + header[24:], plaintext, header
        )
        with pytest.raises(SignatureInvalid):
            signing.open(header + sealed)


def test_the_gateway_itself_opens_what_it_signed(signing: Signing) -> None:
    assert open_record(signing.provider, signing.key, signing.seal(0)) == b"reading"
