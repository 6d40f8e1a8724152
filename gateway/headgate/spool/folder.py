"""The segment files of one log: names, heads, what a scan finds in them, and how they leave."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from headgate.env import Files
from headgate.errors import SpoolLocked
from headgate.spool.held import Held
from headgate.spool.segment import (
    Damage,
    Entry,
    NewerFormat,
    SegmentHeader,
    decode_header,
    header_size,
    scan,
    sealed_intact,
    seed,
)

log = logging.getLogger(__name__)

#: Segments kept in quarantine; their loss is counted, they are for people to look at.
MOST_SET_ASIDE: Final = 8

_SEGMENT: Final = re.compile(r"^(\d{12})\.seg$")
NO_HEADER: Final = SegmentHeader(b"", 0, -1, (), b"")


class SegmentFolder:
    """Segments by number, on disk or `held` in memory. `log_id` names their log, once it is known."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self.held = Held(files, folder)
        self.log_id = b""
        #: Segments whose last scan ended at a read error: nobody knows what else is in them.
        self.cut_short: set[int] = set()
        #: Whether nobody could look into the folder at the start: what lies there is not known.
        self.blind = False

    def numbers(self) -> list[int]:
        """The segments that are there, rising. Makes the folder. Raises OSError."""
        self._files.make_folder(self._folder, 0o750)
        return sorted(
            int(m[1]) for name in self._files.list(self._folder) if (m := _SEGMENT.match(name))
        )

    def scan(self, number: int, offset: int, *, brief: bool = False) -> Iterator[Entry | Damage]:
        """What a segment holds; a read error ends it like damage, for the file is then no better."""
        found = scan(
            lambda at, size: self.read(number, at, size),
            offset,
            self.size(number),
            self.seed(number),
            brief=brief,
        )
        try:
            yield from found
            self.cut_short.discard(number)
        except OSError as error:
            self.cut_short.add(number)
            log.warning("segment cannot be read", extra={"segment": number, "error": str(error)})

    def see(self) -> None:
        """Look into a folder that could not be looked into at the start.

        Raises:
            OSError: it still cannot be, or holds segments: only a start can make sense of both.
        """
        if self.blind:
            if self.numbers():
                raise OSError(errno.EBUSY, "earlier segments are here: restart the gateway")
            self._files.sync_folder(self._folder.parent)
            self.blind = False

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Bytes of a segment, from any thread. Raises OSError."""
        data = self.held.data(number)
        if data is not None:
            return bytes(data[offset : offset + size])
        try:
            return self._files.read(self.path(number), offset, size)
        except FileNotFoundError:
            raise
        except OSError:
            # A first read error of a worn card is often the last.
            return self._files.read(self.path(number), offset, size)

    def one(self, number: int, offset: int) -> Sequence[Entry]:
        """The record at a place, if it can be found."""
        found = next(self.scan(number, offset), None)
        return (found,) if isinstance(found, Entry) else ()

    def sealed_intact(self, number: int, entry: Entry) -> bool:
        """Whether the sealed bytes are what was written."""
        try:
            data = self.read(number, entry.sealed_offset, entry.sealed_size)
        except OSError:
            return False
        return sealed_intact(entry, data, self.seed(number))

    def header(self, number: int) -> SegmentHeader:
        """What the head of a segment says; `NO_HEADER` when it is damaged. Raises SpoolLocked."""
        try:
            data = self.read(number, 0, 4096)
            if header_size(data) > len(data):
                data = self.read(number, 0, header_size(data))
            header = decode_header(data)
        except OSError:
            header = None
        except NewerFormat as newer:
            raise SpoolLocked(
                f"{self.path(number)} is of format {newer.version}, newer than this runtime knows",
                code="HG-4004", path=str(self.path(number)), version=newer.version,
            ) from None  # fmt: skip
        return header if header is not None and header.number == number else NO_HEADER

    def remove(self, number: int) -> None:
        """Unlink a segment; a refusing disk keeps it."""
        if number in self.held:
            self.held.drop(number)
            return
        try:
            self._files.remove(self.path(number))
        except OSError as error:
            log.warning("segment not removed", extra={"segment": number, "error": str(error)})

    def set_aside(self, number: int) -> None:
        """Keep a segment that is not ours or cannot be read, out of the way; of those, the newest few."""
        folder = self._folder / "quarantine"
        try:
            self._files.make_folder(folder, 0o750)
            self._files.rename(self.path(number), folder / f"{number:012}.seg")
            # A card that rots for years must not fill itself with what nobody looked at.
            for name in self._files.list(folder)[:-MOST_SET_ASIDE]:
                self._files.remove(folder / name)
        except OSError as error:
            log.warning("segment not set aside", extra={"segment": number, "error": str(error)})

    def path(self, number: int) -> Path:
        """The file of a segment."""
        return self._folder / f"{number:012}.seg"

    def seed(self, number: int) -> int:
        """What the checksums of a segment begin with."""
        return seed(self.log_id, number)

    def size(self, number: int) -> int:
        """Bytes of the file; 0 when there is none."""
        data = self.held.data(number)
        if data is not None:
            return len(data)
        try:
            return self._files.size(self.path(number)) or 0
        except OSError:
            return 0
