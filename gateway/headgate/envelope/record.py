"""Sealed records: compressed, padded, SM4-GCM under a record key; signed too where the key asks for it.

Source: docs/reference/uplink.md, section 5.
"""

from __future__ import annotations

from typing import Final

import msgspec
import zstandard

from headgate.crypto.provider import CryptoProvider, Sm2PublicKey
from headgate.envelope.chain import LINK_SIZE, MAX_SIGNATURE, Chain, Proof, Sealed, check
from headgate.envelope.wire import (
    MAGIC,
    MAX_INT,
    MAX_PAYLOAD,
    MAX_RECORD,
    RECORD,
    SIGNED_RECORD,
    SUITE_SM,
    VERSION,
)
from headgate.errors import EnvelopeError, SignatureInvalid

HEADER_SIZE: Final = 32
TAG_SIZE: Final = 16
_LENGTHS_SIZE = 8
#: What stands before the frame of a signed record, at most.
_PROOF_SIZE = _LENGTHS_SIZE + 1 + LINK_SIZE + MAX_SIGNATURE
_PREFIX = MAGIC + bytes((RECORD, VERSION, SUITE_SM, 0, 0, 0))
_SIGNED_PREFIX = MAGIC + bytes((SIGNED_RECORD, VERSION, SUITE_SM, 0, 0, 0))

# RFC 8878 section 3.1.1.1.2 asks every decoder for at least 8 MiB; more is refused.
_MAX_WINDOW = 8 * 1024 * 1024


class RecordKey(msgspec.Struct, frozen=True):
    """The working key of a grant. Its `repr` does not show it.

    `core` is the SM3 of the grant's core where every record of this key must be signed, else None.
    """

    key_id: bytes
    salt: bytes
    key: bytes
    core: bytes | None = None

    def __repr__(self) -> str:
        return f"<record key {self.key_id.hex()}>"


class Header(msgspec.Struct, frozen=True):
    """The clear head of a record: under which key to look, and the record's place."""

    key_id: bytes
    epoch: bytes
    n: int
    signed: bool = False


def parse_header(data: bytes) -> Header:
    """The header of a record; nothing in it is proved until the record opens.

    Raises:
        EnvelopeError: not a record of a form and size we accept.
    """
    if len(data) > MAX_RECORD:
        raise EnvelopeError(f"a record of {len(data)} bytes, {MAX_RECORD} allowed")
    if len(data) < HEADER_SIZE + _LENGTHS_SIZE + TAG_SIZE:
        raise EnvelopeError(f"a record of {len(data)} bytes is cut short")
    signed = data[:8] == _SIGNED_PREFIX
    if not signed and data[:8] != _PREFIX:
        raise EnvelopeError("not a record, or of a version or suite that we do not speak")
    n = int.from_bytes(data[24:32], "big")
    if n > MAX_INT:
        raise EnvelopeError("n does not fit 63 bits")
    return Header(bytes(data[8:16]), bytes(data[16:24]), n, signed)


def padded_size(size: int) -> int:
    """The size of a plaintext with its padding: sizes should tell little."""
    step = 256 if size <= 4096 else 1024 if size <= 16_384 else 4096
    return -(-size // step) * step


class Sealer:
    """Seals payloads one after another, reusing the compressor. One owner at a time.

    There is no cached cipher context: making one costs 4 us of the 160 us of a 16 KiB record.
    """

    def __init__(self, provider: CryptoProvider) -> None:
        self._provider = provider
        self._compress = zstandard.ZstdCompressor(level=1, write_content_size=True).compress

    def seal(self, key: RecordKey, epoch: bytes, n: int, payload: bytes) -> bytes:
        """One record. `(key, n)` must never come twice: n is spent by this call.

        Raises:
            ValueError: more payload than the format allows.
        """
        # The hot path: one call, two joins.
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload of {len(payload)} bytes, {MAX_PAYLOAD} allowed")
        frame = self._compress(payload)
        used = _LENGTHS_SIZE + len(frame)
        size = padded_size(used)
        if HEADER_SIZE + size + TAG_SIZE > MAX_RECORD:
            raise ValueError(f"{len(frame)} bytes compressed do not fit a record")
        plaintext = b"".join((
            len(frame).to_bytes(4, "big"), len(payload).to_bytes(4, "big"), frame,
            bytes(size - used),
        ))  # fmt: skip
        counter = n.to_bytes(8, "big")
        header = b"".join((_PREFIX, key.key_id, epoch, counter))
        return header + self._provider.sm4_gcm_seal(key.key, key.salt + counter, plaintext, header)

    def seal_signed(
        self, key: RecordKey, epoch: bytes, n: int, payload: bytes, chain: Chain
    ) -> bytes:
        """As `seal`, under a key whose records are signed: the next link of the epoch's chain.

        Raises:
            ValueError: more payload than the format allows.
        """
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload of {len(payload)} bytes, {MAX_PAYLOAD} allowed")
        frame = self._compress(payload)
        if HEADER_SIZE + padded_size(_PROOF_SIZE + len(frame)) + TAG_SIZE > MAX_RECORD:
            raise ValueError(f"{len(frame)} bytes compressed do not fit a record")
        lengths = len(frame).to_bytes(4, "big") + len(payload).to_bytes(4, "big")
        counter = n.to_bytes(8, "big")
        header = b"".join((_SIGNED_PREFIX, key.key_id, epoch, counter))
        proof = chain.sign(key.core or b"", Sealed(header, lengths, frame))
        size = bytes((len(proof.signature),))
        plaintext = b"".join((lengths, size, proof.previous, proof.signature, frame))
        plaintext += bytes(padded_size(len(plaintext)) - len(plaintext))
        return header + self._provider.sm4_gcm_seal(key.key, key.salt + counter, plaintext, header)


def seal(provider: CryptoProvider, key: RecordKey, epoch: bytes, n: int, payload: bytes) -> bytes:
    """One record, for callers that seal few; `Sealer` is for those that seal many."""
    return Sealer(provider).seal(key, epoch, n, payload)


class Opened(msgspec.Struct, frozen=True):
    """An opened record. Where its key asks for signatures, `proof` has been checked and `link` names it."""

    payload: bytes
    sealed: Sealed
    proof: Proof | None = None
    link: bytes | None = None


def open_record(provider: CryptoProvider, key: RecordKey, data: bytes) -> bytes:
    """The payload of a record, for who made it himself: a signature is not looked at.

    Raises:
        EnvelopeError: not a record of a form and size we accept.
        SealBroken: altered, cut, or sealed under another key.
        SignatureInvalid: bare, under a key whose records are signed; or the other way round.
    """
    plaintext = _plaintext(provider, key, data)
    start = _proof(plaintext)[0] if key.core is not None else _LENGTHS_SIZE
    return _inflate(plaintext, _frame_of(plaintext, start))


def open_proven(
    provider: CryptoProvider, key: RecordKey, data: bytes, signer: Sm2PublicKey | None
) -> Opened:
    """A record, opened, and its signature checked where its key asks for one (else no `signer` is needed).

    Nothing is decompressed before that: what only another holder of the key vouches for is no
    malformed record of the gateway, it is none of the gateway's.

    Raises:
        EnvelopeError: not a record of a form and size we accept; after the tag: the gateway's own word.
        SealBroken: altered, cut, or sealed under another key.
        SignatureInvalid: sealed by somebody who has the key, and not proved to be the gateway.
    """
    plaintext = _plaintext(provider, key, data)
    header, lengths = bytes(data[:HEADER_SIZE]), plaintext[:_LENGTHS_SIZE]
    if key.core is None:
        frame = _frame_of(plaintext, _LENGTHS_SIZE)
        return Opened(_inflate(plaintext, frame), Sealed(header, lengths, frame))
    if signer is None:
        raise SignatureInvalid("nobody knows the key that signed it")
    try:
        start, proof = _proof(plaintext)
        sealed = Sealed(header, lengths, _frame_of(plaintext, start))
    except EnvelopeError as error:
        raise SignatureInvalid(f"not signed: {error}") from None
    link = check(provider, key.core, sealed, proof, signer)
    return Opened(_inflate(plaintext, sealed.frame), sealed, proof, link)


def _plaintext(provider: CryptoProvider, key: RecordKey, data: bytes) -> bytes:
    header = parse_header(data)
    if header.key_id != key.key_id:
        raise EnvelopeError("a record of another key")
    nonce = key.salt + data[24:32]
    plaintext = provider.sm4_gcm_open(key.key, nonce, data[HEADER_SIZE:], data[:HEADER_SIZE])
    # After the tag: that it is bare is then the word of somebody who has the key.
    if header.signed is not (key.core is not None):
        raise SignatureInvalid("a record that is not signed as its key demands")
    return plaintext


def _proof(plaintext: bytes) -> tuple[int, Proof]:
    start = _LENGTHS_SIZE + 1 + LINK_SIZE
    size = plaintext[_LENGTHS_SIZE] if len(plaintext) >= start else 0
    if not 1 <= size <= MAX_SIGNATURE:
        raise EnvelopeError(f"a signature of {size} bytes")
    previous = plaintext[_LENGTHS_SIZE + 1 : start]
    return start + size, Proof(previous, plaintext[start : start + size])


def _frame_of(plaintext: bytes, start: int) -> bytes:
    """The compressed payload, which begins at `start`."""
    end = start + int.from_bytes(plaintext[:4], "big")
    if end > len(plaintext):
        raise EnvelopeError("the compressed payload is longer than the record")
    if plaintext.count(0, end) != len(plaintext) - end:
        raise EnvelopeError("the padding is not zeros")
    return plaintext[start:end]


def _inflate(plaintext: bytes, frame: bytes) -> bytes:
    size = int.from_bytes(plaintext[4:8], "big")
    if size > MAX_PAYLOAD:
        raise EnvelopeError(f"a payload of {size} bytes is declared, {MAX_PAYLOAD} allowed")
    try:
        # A frame may declare a size of its own, and the decoder would believe it first.
        if zstandard.frame_content_size(frame) not in (size, -1):
            raise EnvelopeError("the compressed frame declares another size")
        # A new decompressor a record costs a microsecond, and none is ever shared by two threads.
        payload = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(
            frame, max_output_size=size or 1, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise EnvelopeError(f"the payload does not decompress: {error}") from None
    if len(payload) != size:
        raise EnvelopeError(f"{len(payload)} bytes decompressed, {size} declared")
    return payload
