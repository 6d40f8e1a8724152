"""An SQLite database with its write-ahead log folded in, without SQLite: for a disk that cannot be written.

SQLite itself opens a log only where it can make or lock files beside it. On a disk that has turned
read-only the last flushes would be out of reach, and a box would begin with an older memory. Pure.

Source: sqlite.org/fileformat2.html, 4.1 to 4.4.
"""

from __future__ import annotations

import struct
from typing import Final

# magic, format, page size, checkpoint, salt 1, salt 2, checksum 1, checksum 2
_HEADER: Final = struct.Struct(">8I")
# page number, pages after a commit (0: no commit), salt 1, salt 2, checksum 1, checksum 2
_FRAME: Final = struct.Struct(">6I")
_FORMAT: Final = 3007000
#: By magic: in which order of bytes the checksum takes its words.
_ORDER: Final = {0x377F0682: "<", 0x377F0683: ">"}
_SMALLEST, _LARGEST = 512, 65536
_WORD: Final = 0xFFFFFFFF


def folded(data: bytes, wal: bytes) -> bytes:
    """The database as of the last commit in its log.

    A log that is torn, stale or of another format gives what is sound of it before that, and `data`
    itself where that is nothing.
    """
    if len(wal) < _HEADER.size:
        return data
    magic, version, page_size, _, *rest = _HEADER.unpack_from(wal)
    salts, told = tuple(rest[:2]), tuple(rest[2:])
    order = _ORDER.get(magic)
    if order is None or version != _FORMAT or not _SMALLEST <= page_size <= _LARGEST:
        return data
    if page_size & (page_size - 1):
        return data
    have = _checksum(wal[: _HEADER.size - 8], (0, 0), order)
    if have != told:
        return data
    pages: dict[int, int] = {}  # number -> where its bytes lie in the log
    open_pages: dict[int, int] = {}  # of a transaction whose commit has not been seen
    size = 0
    at = _HEADER.size
    while at + _FRAME.size + page_size <= len(wal):
        number, committed, *rest = _FRAME.unpack_from(wal, at)
        begin = at + _FRAME.size
        have = _checksum(wal[at : at + 8], have, order)
        have = _checksum(wal[begin : begin + page_size], have, order)
        if not number or tuple(rest[:2]) != salts or tuple(rest[2:]) != have:
            break
        open_pages[number] = begin
        if committed:
            pages |= open_pages
            open_pages.clear()
            size = committed * page_size
        at = begin + page_size
    if not size:
        return data
    whole = bytearray(data[:size].ljust(size, b"\0"))
    for number, begin in pages.items():
        if number * page_size <= size:
            whole[(number - 1) * page_size : number * page_size] = wal[begin : begin + page_size]
    return bytes(whole)


def _checksum(data: bytes, before: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two
