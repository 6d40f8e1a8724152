"""Frames and limits that all kinds of message share, and msgpack read without trust."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from headgate.errors import EnvelopeError

T = TypeVar("T")

MAGIC: Final = b"HG"
VERSION: Final = 1
RECORD: Final = 1
GRANT: Final = 2
RECEIPT: Final = 3
SIGNED_RECORD: Final = 8
SUITE_SM: Final = 1

MAX_RECORD: Final = 2 * 1024 * 1024
MAX_PAYLOAD: Final = 4 * 1024 * 1024
MAX_GRANT: Final = 16 * 1024
MAX_RECEIPT: Final = 64 * 1024
MAX_TABLE: Final = 1024 * 1024

#: Counters and times fit a signed 64-bit integer, which every database has.
MAX_INT: Final = 2**63 - 1

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Bytes4 = Annotated[bytes, Meta(min_length=4, max_length=4)]
GatewayId = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z")]
Counter = Annotated[int, Meta(ge=0, le=MAX_INT)]


def frame(kind: int, body: bytes) -> bytes:
    """`"HG"`, kind and version before a body."""
    return MAGIC + bytes((kind, VERSION)) + body


def unframe(kind: int, message: bytes, limit: int) -> bytes:
    """The body of a message of this kind.

    Raises:
        EnvelopeError: larger than `limit`, another kind, or a version we do not speak.
    """
    if len(message) > limit:
        raise EnvelopeError(f"{len(message)} bytes, {limit} allowed")
    if len(message) < 4 or message[:2] != MAGIC:
        raise EnvelopeError("not a Headgate message")
    if message[2] != kind:
        raise EnvelopeError(f"a message of kind {message[2]}, not {kind}")
    if message[3] != VERSION:
        raise EnvelopeError(f"version {message[3]} of the format, we speak {VERSION}")
    return message[4:]


def decode(
    decoder: msgspec.msgpack.Decoder[T], data: bytes | memoryview | msgspec.Raw, what: str
) -> T:
    """What `decoder` reads in `data`, whole.

    Raises:
        EnvelopeError: not msgpack, of another shape, too deep, or with bytes left over.
    """
    try:
        return decoder.decode(data)
    # ValueError: text that is not UTF-8. RecursionError: arrays in arrays without end.
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EnvelopeError(f"{what}: {str(error)[:200]}") from None
