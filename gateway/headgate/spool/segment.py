"""The bytes of a segment file, pure: encode, and scan what a disk gives back, whatever that is.

Specified in `docs/reference/spool.md`. Every checksum is seeded with the log's name and the segment's
number, and a record's also with its place in the file, so that a stale block that the file system hands
us after a power cut never passes for a record that belongs there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from headgate.model import Lane
from headgate.spool.records import Account, ClearIndex, SealedRecord

VERSION: Final = 1
LANES: Final = 3
ZERO: Final[tuple[int, ...]] = (0,) * (2 * LANES)

_FILE_MAGIC = b"HGSEGMNT"
# magic, version, reserved, log id, segment number, body length, checksum
_FILE = struct.Struct(">8sB3x8sQII")
_RECORD_MAGIC = b"\xa9HGr"
# magic, lane, pad, index size, sealed size, epoch, n, key, serial, index crc, sealed crc; last the header crc
_RECORD = struct.Struct(">4sB3xII8sQ8sQII")
_CRC = struct.Struct(">I")
FILE_HEADER: Final = _FILE.size
RECORD_HEADER: Final = _RECORD.size + _CRC.size
_LARGEST_INDEX = 1 << 20
_LARGEST_SEALED = 4 << 20
_LARGEST_BODY = 1 << 22
_WINDOW, _WIDEST = 8 << 10, 1 << 20
# A damaged stretch is searched for the next record; this many false starts and the rest is given up.
_MOST_TRIES = 100_000

_LANES = tuple(Lane)

_pack = msgspec.msgpack.Encoder().encode
_unpack_index = msgspec.msgpack.Decoder(ClearIndex).decode


class _Brief(msgspec.Struct, array_like=True, gc=False):
    # A start looks at every record: what grows with the number of devices is stepped over, not decoded.
    readings: int
    first_us: int
    last_us: int
    boot: bytes
    devices: msgspec.Raw
    origins: msgspec.Raw
    accounts: tuple[Account, ...]
    totals: tuple[int, ...]


_unpack_brief = msgspec.msgpack.Decoder(_Brief).decode


class SegmentHeader(msgspec.Struct, frozen=True):
    """Start of a segment: its log and number, first serial and totals before it, a copy of the ledger."""

    log_id: bytes
    number: int
    serial: int
    totals: tuple[int, ...]
    ledger: bytes
    size: int = 0


class NewerFormat(Exception):
    """An intact segment of a version we do not know."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Entry(msgspec.Struct, gc=False):
    """One record found: where, whose, and what its clear index says (None: that part is damaged)."""

    offset: int
    size: int
    lane: Lane
    epoch: bytes
    n: int
    key_id: bytes
    serial: int
    index_size: int
    sealed_crc: int
    index: ClearIndex | None

    @property
    def sealed_offset(self) -> int:
        """Where the sealed bytes begin."""
        return self.offset + RECORD_HEADER + self.index_size

    @property
    def sealed_size(self) -> int:
        """How many sealed bytes there are."""
        return self.size - RECORD_HEADER - self.index_size


class Damage(msgspec.Struct, frozen=True):
    """A stretch [offset, end) without a readable record. At the end of a file, often a torn write."""

    offset: int
    end: int


Read = Callable[[int, int], bytes]


def seed(log_id: bytes, number: int) -> int:
    """What every checksum of a segment starts from."""
    return zlib.crc32(log_id + number.to_bytes(8, "big"))


def encode_header(header: SegmentHeader) -> bytes:
    """The bytes a segment file begins with."""
    body = _pack([header.serial, header.totals, header.ledger])
    start = _FILE.pack(_FILE_MAGIC, VERSION, header.log_id, header.number, len(body), 0)[:-4]
    return start + _CRC.pack(zlib.crc32(body, zlib.crc32(start))) + body


def decode_header(data: bytes) -> SegmentHeader | None:
    """The header, None when it is damaged. Raises NewerFormat when it is intact and newer than us."""
    if len(data) < FILE_HEADER:
        return None
    magic, version, log_id, number, size, crc = _FILE.unpack_from(data)
    body = data[FILE_HEADER : FILE_HEADER + size]
    if magic != _FILE_MAGIC or len(body) != size:
        return None
    if zlib.crc32(body, zlib.crc32(data[: FILE_HEADER - 4])) != crc:
        return None
    if version > VERSION:
        raise NewerFormat(version)
    try:
        serial, totals, ledger = msgspec.msgpack.decode(
            body, type=tuple[int, tuple[int, ...], bytes]
        )
    except msgspec.MsgspecError:
        return None
    if version != VERSION or len(totals) != len(ZERO):
        return None
    return SegmentHeader(log_id, number, serial, totals, ledger, FILE_HEADER + size)


def header_size(data: bytes) -> int:
    """How many bytes the header says it has; 0 when these are no header."""
    if len(data) < FILE_HEADER or not data.startswith(_FILE_MAGIC):
        return 0
    size = int(_FILE.unpack_from(data)[4])
    return FILE_HEADER + size if size <= _LARGEST_BODY else 0


def encode_record(
    record: SealedRecord, index: bytes, serial: int, offset: int, start: int
) -> bytes:
    """One record for place `offset` of the segment whose `seed` is `start`."""
    data = record.data
    head = _RECORD.pack(
        _RECORD_MAGIC, record.lane, len(index), len(data), record.epoch, record.n, record.key_id, serial,
        zlib.crc32(index, start), zlib.crc32(data, start),
    )  # fmt: skip
    return b"".join((head, _CRC.pack(_header_crc(head, offset, start)), index, data))


def scan(
    read: Read, offset: int, size: int, start: int, *, brief: bool = False
) -> Iterator[Entry | Damage]:
    """Every record from `offset` to `size` in file order, and every stretch where there is none.

    Reads headers and clear indexes, not the sealed bytes: a gigabyte of backlog opens in the time of
    some thousand small reads. `brief` leaves devices and origins out of the clear indexes.
    Hostile bytes give `Damage`, never an exception; `read` may raise OSError.
    """
    window = _Window(read, size)
    damaged: int | None = None
    while offset < size:
        entry = _entry(window, offset, size, start, brief)
        if entry is None:
            damaged = offset if damaged is None else damaged
            offset = _next_start(window, offset + 1, size, start)
            continue
        if damaged is not None:
            yield Damage(damaged, offset)
            damaged = None
        yield entry
        offset += entry.size
    if damaged is not None:
        yield Damage(damaged, size)


def sealed_intact(entry: Entry, data: bytes, start: int) -> bool:
    """Whether these are the sealed bytes that were written."""
    return len(data) == entry.sealed_size and zlib.crc32(data, start) == entry.sealed_crc


def check_record(data: bytes, offset: int, start: int) -> bytes | None:
    """The sealed bytes of a whole record, None when header or sealed bytes are not what was written."""
    entry = _header(data[:RECORD_HEADER], offset, offset + len(data), start)
    if entry is None or entry.size != len(data):
        return None
    sealed = data[RECORD_HEADER + entry.index_size :]
    return sealed if zlib.crc32(sealed, start) == entry.sealed_crc else None


def _header_crc(head: bytes, offset: int, start: int) -> int:
    return zlib.crc32(head, zlib.crc32(offset.to_bytes(8, "big"), start))


def _header(head: bytes, offset: int, size: int, start: int) -> Entry | None:
    if len(head) < RECORD_HEADER or not head.startswith(_RECORD_MAGIC):
        return None
    if _CRC.unpack_from(head, _RECORD.size)[0] != _header_crc(head[: _RECORD.size], offset, start):
        return None
    _, lane, index_size, sealed_size, epoch, n, key_id, serial, _, sealed_crc = _RECORD.unpack_from(
        head
    )
    length = RECORD_HEADER + index_size + sealed_size
    if (
        lane >= LANES
        or index_size > _LARGEST_INDEX
        or sealed_size > _LARGEST_SEALED
        or offset + length > size
    ):
        return None
    return Entry(
        offset, length, _LANES[lane], epoch, n, key_id, serial, index_size, sealed_crc, None
    )


def _entry(window: _Window, offset: int, size: int, start: int, brief: bool) -> Entry | None:
    head = window.get(offset, RECORD_HEADER)
    entry = _header(head, offset, size, start)
    if entry is None:
        return None
    packed = window.get(offset + RECORD_HEADER, entry.index_size)
    if zlib.crc32(packed, start) == _RECORD.unpack_from(head)[8]:
        try:
            index = _brief(packed) if brief else _unpack_index(packed)
        except msgspec.MsgspecError:
            return entry
        if len(index.totals) == len(ZERO):
            entry.index = index
    return entry


def _brief(packed: bytes) -> ClearIndex:
    it = _unpack_brief(packed)
    return ClearIndex(it.readings, it.first_us, it.last_us, it.boot, (), (), it.accounts, it.totals)


def _next_start(window: _Window, offset: int, size: int, start: int) -> int:
    """Where the next record with a sound header begins, or `size`."""
    tries = 0
    while offset < size and tries < _MOST_TRIES:
        chunk = window.get(offset, _WIDEST)
        at = chunk.find(_RECORD_MAGIC)
        while at >= 0 and tries < _MOST_TRIES:
            tries += 1
            if _header(window.get(offset + at, RECORD_HEADER), offset + at, size, start):
                return offset + at
            at = chunk.find(_RECORD_MAGIC, at + 1)
        if offset + len(chunk) >= size or not chunk:
            return size
        offset += len(chunk) - len(_RECORD_MAGIC) + 1
    return size


class _Window:
    """Reads ahead while records are small, and only where headers are while they are large."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._data = b""
        self._at = 0
        self._width = _WINDOW

    def get(self, offset: int, size: int) -> bytes:
        begin = offset - self._at
        if begin >= 0 and begin + size <= len(self._data):
            return self._data[begin : begin + size]
        near = self._data and offset <= self._at + len(self._data) + self._width
        self._width = min(self._width * 2, _WIDEST) if near else _WINDOW
        self._data = self._read(offset, min(max(size, self._width), self._size - offset))
        self._at = offset
        return self._data[:size]
