"""Records, grants, receipts and payloads, as a receiver gets them from whoever reached the broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import zstandard

from fuzz.target import Target
from headgate.columns import readings
from headgate.crypto.provider import CryptoProvider, Sm2PublicKey, default_provider
from headgate.crypto.x509 import Certificate, load_certificates
from headgate.env import Files
from headgate.envelope.grant import check_grant, parse_core
from headgate.envelope.payload import decode_payload, decode_table
from headgate.envelope.receipt import join_receipt, verify_receipt
from headgate.envelope.record import RecordKey, open_proven, open_record, parse_header
from headgate.envelope.wire import MAX_PAYLOAD
from headgate.errors import ConfigError, EnvelopeError, SecurityError
from headgate.model import Block, PointTable
from headgate_receiver.keyservice.wire import (
    Frames,
    Request,
    Response,
    frame,
    read_description,
    read_request,
    read_response,
)
from headgate_receiver.revoked import read_revoked

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "envelope" / "vectors.json"
AT = datetime(2027, 1, 1, tzinfo=UTC)
GATEWAY = "gauge-house-7"


@cache
def vectors() -> dict[str, Any]:
    return dict(json.loads(VECTORS.read_text()))


def raw(name: str) -> bytes:
    return bytes.fromhex(vectors()[name])


@cache
def provider() -> CryptoProvider:
    return default_provider()


@cache
def tables() -> list[PointTable]:
    return [decode_table(raw("table"))]


def _packed_seeds() -> Iterable[bytes]:
    payload = raw("payload")
    packed = zstandard.compress(payload)
    yield len(packed).to_bytes(4, "big") + len(payload).to_bytes(4, "big") + packed + bytes(9)


def _seeds(*names: str, bad: str = "") -> Callable[[], Iterable[bytes]]:
    def seeds() -> Iterable[bytes]:
        yield from map(raw, names)
        yield from (bytes.fromhex(text) for text in vectors().get(bad, {}).values())

    return seeds


def _cases(*names: str, file: str) -> Callable[[], Iterable[bytes]]:
    """Seeds as `_seeds` gives them, and the messages to be refused of one file of cases."""

    def seeds() -> Iterable[bytes]:
        yield from map(raw, names)
        read = json.loads((VECTORS.parent / f"{file}.json").read_text(encoding="utf-8"))
        yield from (bytes.fromhex(case["message"]) for case in read["cases"])

    return seeds


def _refused(run: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """What is not good is refused by an error of ours, and nothing else happens."""

    def guarded(data: bytes) -> None:
        try:
            run(data)
        except SecurityError:
            return

    return guarded


def _record(data: bytes) -> None:
    key = RecordKey(raw("record")[8:16], raw("salt"), raw("record_key"))
    try:
        parse_header(data)
    except SecurityError:
        return
    open_record(provider(), key, data)


def _sealed(data: bytes, key: RecordKey, kind: int) -> None:
    header = b"HG" + bytes((kind, 1, 1, 0, 0, 0)) + key.key_id + bytes(16)
    sealed = provider().sm4_gcm_seal(key.key, key.salt + bytes(8), data, header)
    opened = open_proven(provider(), key, header + sealed, cast(Sm2PublicKey, _Anybody()))
    assert len(opened.payload) <= MAX_PAYLOAD


def _packed(data: bytes) -> None:
    """Past the seal: lengths, padding and the compressed frame are a stolen key's to choose."""
    _sealed(data, RecordKey(bytes(8), bytes(4), bytes(16)), 1)


def _signed(data: bytes) -> None:
    """Past seal and signature of a record that is signed."""
    _sealed(data, RecordKey(bytes(8), bytes(4), bytes(16), bytes(32)), 8)


def _signed_seeds() -> Iterable[bytes]:
    for packed in _packed_seeds():
        yield packed[:8] + bytes((71,)) + bytes(32) + bytes(71) + packed[8:]


def _payload(data: bytes) -> None:
    payload = decode_payload(data)
    list(payload.named())
    for item in payload.items:
        if isinstance(item, Block):
            for table in tables():
                try:
                    list(readings(item, table))
                except ValueError:
                    continue


def _table(data: bytes) -> None:
    decode_table(data)


def _grant(data: bytes) -> None:
    check_grant(provider(), data, [Certificate.load(raw("root_certificate"))], AT)


class _Anybody:
    """A receipt key whose every signature holds: what is behind it is what is fuzzed."""

    def verify(self, signature: bytes, data: bytes) -> bool:
        return True


def _receipt(data: bytes) -> None:
    verify_receipt(data, provider().sm2_load_public(raw("receipt_public_key")), GATEWAY)


def _receipt_body(data: bytes) -> None:
    """Past the signature."""
    verify_receipt(join_receipt(data, bytes(70)), cast(Sm2PublicKey, _Anybody()), GATEWAY)


def _receipt_bodies() -> Iterable[bytes]:
    body, _ = msgspec.msgpack.decode(raw("receipt")[4:])  # behind kind and version of the message
    yield body


def _key_service(data: bytes) -> None:
    """Both ends: what a stream is cut into, and what each frame says."""
    for body in Frames().feed(data):
        for read in (read_request, read_response):
            try:
                said = read(body)
            except EnvelopeError:
                continue
            if isinstance(said, Response):
                read_description(said.answer)


def _key_service_seeds() -> Iterable[bytes]:
    yield frame(Request(1, "describe"))
    yield frame(Request(2, "unwrap", (bytes(32), bytes(120)))) + frame(Request(3, "sign", (b"x",)))
    yield frame(Response(1, ((bytes(32), bytes(32)), ()))) + frame(Response(2, (bytes(32),)))
    yield frame(Response(3, (), "unavailable", "not now"))


class _OneFile:
    """The part of `Files` that reading one file needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def size(self, path: Path) -> int:
        return len(self._data)

    def read(self, path: Path) -> bytes:
        return self._data


def _revoked(data: bytes) -> None:
    anchors = [Certificate.load(raw("root_certificate"))]
    try:
        read_revoked(Path("revoked"), cast(Files, _OneFile(data)), anchors, provider())
    except ConfigError:
        return


def _revoked_seeds() -> Iterable[bytes]:
    yield b"# of today\n" + b"ab" * 32 + b"  # stolen\n\n"
    yield b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n" + b"cd" * 32


SEALED: dict[str, Target] = {
    "record": Target(_refused(_record), _cases("record", file="records")),
    "record-packed": Target(_refused(_packed), _packed_seeds),
    "record-signed": Target(_refused(_signed), _signed_seeds),
    "payload": Target(_refused(_payload), _seeds("payload"), 16384),
    "point-table": Target(_refused(_table), _seeds("table")),
    "grant": Target(_refused(_grant), _cases("grant", file="grants")),
    "grant-core": Target(_refused(parse_core), _seeds("core")),
    "receipt": Target(_refused(_receipt), _cases("receipt", file="receipts")),
    "receipt-body": Target(_refused(_receipt_body), _receipt_bodies),
    "key-service": Target(_refused(_key_service), _key_service_seeds),
    "revoked-file": Target(_refused(_revoked), _revoked_seeds),
    "certificate": Target(
        _refused(load_certificates), _seeds("gateway_certificate", "platform_certificate")
    ),
}
