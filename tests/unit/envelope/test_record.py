from __future__ import annotations

import os

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.envelope.record import (
    Header,
    RecordKey,
    Sealer,
    open_record,
    padded_size,
    parse_header,
    seal,
)
from headgate.envelope.wire import MAX_PAYLOAD, MAX_RECORD
from headgate.errors import EnvelopeError, SealBroken

KEY = RecordKey(b"key-id-1", b"salt", b"sixteen bytes k.")
EPOCH = b"epoch--1"
HEADER = b"HG\x01\x01\x01\0\0\0" + b"key-id-1" + EPOCH


def enclose(provider: CryptoProvider, plaintext: bytes, n: int = 5) -> bytes:
    """A record around a plaintext that `seal` would not make."""
    counter = n.to_bytes(8, "big")
    header = HEADER + counter
    return header + provider.sm4_gcm_seal(KEY.key, KEY.salt + counter, plaintext, header)


def plain(frame: bytes, size: int, packed: int | None = None, padding: bytes = b"") -> bytes:
    length = len(frame) if packed is None else packed
    return length.to_bytes(4, "big") + size.to_bytes(4, "big") + frame + padding


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=5000), st.integers(0, 2**63 - 1))
def test_what_was_sealed_opens(payload: bytes, n: int) -> None:
    provider = default_provider()
    record = seal(provider, KEY, EPOCH, n, payload)
    assert open_record(provider, KEY, record) == payload
    assert parse_header(record) == Header(KEY.key_id, EPOCH, n)


def test_the_same_record_number_gives_the_same_bytes(provider: CryptoProvider) -> None:
    sealer = Sealer(provider)
    assert sealer.seal(KEY, EPOCH, 7, b"x" * 999) == seal(provider, KEY, EPOCH, 7, b"x" * 999)


@pytest.mark.parametrize(
    ("size", "padded"),
    [(1, 256), (256, 256), (257, 512), (4096, 4096), (4097, 5120), (16384, 16384), (16385, 20480)],
)
def test_sizes_tell_little(size: int, padded: int) -> None:
    assert padded_size(size) == padded


def test_every_altered_byte_is_noticed(provider: CryptoProvider) -> None:
    record = seal(provider, KEY, EPOCH, 7, b"reading")
    for at in range(len(record)):
        altered = bytearray(record)
        altered[at] ^= 0x40
        with pytest.raises((SealBroken, EnvelopeError)):
            open_record(provider, KEY, bytes(altered))


def test_every_cut_is_noticed(provider: CryptoProvider) -> None:
    record = seal(provider, KEY, EPOCH, 7, b"reading")
    for size in range(len(record)):
        with pytest.raises((SealBroken, EnvelopeError)):
            open_record(provider, KEY, record[:size])
    with pytest.raises(SealBroken):
        open_record(provider, KEY, record + b"\0")


@pytest.mark.parametrize("field", ["key", "salt"])
def test_another_key_does_not_open_it(provider: CryptoProvider, field: str) -> None:
    record = seal(provider, KEY, EPOCH, 7, b"reading")
    other = msgspec.structs.replace(KEY, **{field: bytes(len(getattr(KEY, field)))})
    with pytest.raises(SealBroken):
        open_record(provider, other, record)


def test_the_key_does_not_show_in_a_log() -> None:
    assert "sixteen" not in repr(KEY)


def test_a_frame_that_declares_more_than_the_record_does_is_refused(
    provider: CryptoProvider,
) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(5_000_000))
    for declared in (10, MAX_PAYLOAD):
        with pytest.raises(EnvelopeError, match="another size"):
            open_record(provider, KEY, enclose(provider, plain(frame, declared)))


def test_a_frame_without_a_size_may_not_outgrow_what_the_record_declares(
    provider: CryptoProvider,
) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100_000))
    assert open_record(provider, KEY, enclose(provider, plain(frame, 100_000))) == bytes(100_000)
    for declared in (0, 99_999, 100_001):
        with pytest.raises(EnvelopeError):
            open_record(provider, KEY, enclose(provider, plain(frame, declared)))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0\0\0",
        plain(b"", 0),
        plain(b"not zstd", 8),
        plain(zstandard.compress(b"x"), MAX_PAYLOAD + 1),
        plain(zstandard.compress(b"x"), 1, packed=4_000_000_000),
        plain(zstandard.compress(b"x"), 1, padding=b"\0\0\1\0"),
        plain(zstandard.compress(b"x") + b"more", 1),
        plain(zstandard.compress(b"x") * 2, 1),
    ],
)
def test_a_plaintext_of_another_form_is_refused(provider: CryptoProvider, plaintext: bytes) -> None:
    with pytest.raises(EnvelopeError):
        open_record(provider, KEY, enclose(provider, plaintext))


def test_what_is_too_large_is_refused_before_it_is_sealed(provider: CryptoProvider) -> None:
    with pytest.raises(ValueError, match="allowed"):
        seal(provider, KEY, EPOCH, 0, bytes(MAX_PAYLOAD + 1))
    with pytest.raises(ValueError, match="fit a record"):
        seal(provider, KEY, EPOCH, 0, os.urandom(MAX_RECORD))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused(tail: bytes, headed: bool) -> None:
    with pytest.raises((EnvelopeError, SealBroken)):
        open_record(default_provider(), KEY, (HEADER if headed else b"") + tail)
