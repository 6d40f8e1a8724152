"""Sealed records in a file, to be carried to the platform where no link reaches: pure.

    "HGCARRY1" ‖ u8 length ‖ gateway id ‖ frames
    frame = u8 kind (1 grant, 2 record) ‖ u32 length ‖ u32 CRC-32 ‖ bytes

Grants stand before the records that need them. Everything in it is sealed or signed as on the wire, so
that whoever finds the stick learns no more than whoever listens on the line.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, Literal

from headgate.errors import EnvelopeError

MAGIC: Final = b"HGCARRY1"
GRANT: Final = 1
RECORD: Final = 2
_FRAME = struct.Struct(">BII")
_LARGEST: Final = 4 << 20

Kind = Literal["grant", "record"]
_KINDS: Final[dict[int, Kind]] = {GRANT: "grant", RECORD: "record"}


def beginning(gateway: str) -> bytes:
    """What a file of this gateway begins with."""
    name = gateway.encode()
    return MAGIC + bytes([len(name)]) + name


def carrier(data: bytes) -> str:
    """The gateway that a file says it is of; who sealed its records is proven by themselves alone.

    Raises:
        EnvelopeError: this is no such file.
    """
    name = data[len(MAGIC) + 1 : _start(data)]
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise EnvelopeError("not a file of carried records", code="HG-7060") from None


def _start(data: bytes) -> int:
    start = len(MAGIC) + 1
    if not data.startswith(MAGIC) or len(data) < start:
        raise EnvelopeError("not a file of carried records", code="HG-7060")
    return start + data[start - 1]


def frame(kind: Kind, data: bytes) -> bytes:
    """One grant message or sealed record as it stands in the file."""
    number = GRANT if kind == "grant" else RECORD
    return _FRAME.pack(number, len(data), zlib.crc32(data)) + data


def frames(data: bytes) -> Iterator[tuple[Kind, bytes]]:
    """What a file holds, in order.

    Raises:
        EnvelopeError: this is no such file, or it is damaged or cut off from here on.
    """
    offset = _start(data)
    while offset < len(data):
        if len(data) - offset < _FRAME.size:
            raise EnvelopeError("the file is cut off", code="HG-7061", offset=offset)
        kind, size, crc = _FRAME.unpack_from(data, offset)
        body = data[offset + _FRAME.size : offset + _FRAME.size + size]
        if kind not in _KINDS or size > _LARGEST or len(body) != size or zlib.crc32(body) != crc:
            raise EnvelopeError("the file is damaged", code="HG-7061", offset=offset)
        yield _KINDS[kind], body
        offset += _FRAME.size + size
