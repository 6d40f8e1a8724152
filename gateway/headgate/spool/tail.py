"""The end of a log: the one segment that is being written, and what is never done to it after an error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from headgate.env import AppendFile, Files
from headgate.spool.folder import SegmentFolder
from headgate.spool.records import SealedRecord
from headgate.spool.rows import Names, Rows
from headgate.spool.segment import Entry, SegmentHeader, encode_header, encode_record

log = logging.getLogger(__name__)


class Tail:
    """Appends records to the open segment. `rows` is None while there is none.

    After any error the file is abandoned: what was asked of it then is never believed again.
    """

    def __init__(
        self, files: Files, folder: Path, disk: SegmentFolder, names: Names, log_name: str
    ) -> None:
        self._files = files
        self._folder = folder
        self._disk = disk
        self._names = names
        self._log = log_name
        self._file: AppendFile | None = None
        self.rows: Rows | None = None
        #: Whether the open segment lies in memory only.
        self.held = False

    def begin(self, number: int, *, held: bool = False) -> Rows:
        """Create a segment, in memory where `held`; its header goes out with the first `append`.

        Raises:
            OSError: there is no such file afterwards, or not for sure.
        """
        self.rows = Rows(self._log, number, self._names)
        self.held = held
        if held:
            self._file = self._disk.held.begin(number)
        else:
            self._file = self._files.append(self._disk.path(number))
        return self.rows

    def append(
        self,
        records: Sequence[SealedRecord],
        indexes: Sequence[bytes],
        serial: int,
        header: SegmentHeader | None,
    ) -> tuple[list[Entry], int]:
        """Write records and sync; where they lie, and how many bytes that took.

        Args:
            indexes: the encoded clear index of each record.
            serial: of the first of them.
            header: of a segment that has just begun.

        Raises:
            OSError: nothing of this is known to be durable. Call `abandon`.
        """
        assert self._file is not None and self.rows is not None
        parts: list[bytes] = [] if header is None else [encode_header(header)]
        offset = self.rows.file_size + sum(map(len, parts))
        start = self._disk.seed(self.rows.number)
        entries: list[Entry] = []
        for place, (record, index) in enumerate(zip(records, indexes, strict=True)):
            part = encode_record(record, index, serial + place, offset, start)
            parts.append(part)
            entries.append(
                Entry(
                    offset, len(part), record.lane, record.epoch, record.n, record.key_id,
                    serial + place, len(index), 0, record.index,
                )
            )  # fmt: skip
            offset += len(part)
        data = b"".join(parts)
        self._file.write(data)
        self._file.sync()
        if header is not None and not self.held:
            # Until the folder is synced a power cut may forget that this file exists.
            self._files.sync_folder(self._folder)
        self.rows.file_size = offset
        return entries, len(data)

    def end(self) -> None:
        """Close the segment; the next commit begins another."""
        file, self._file, self.rows = self._file, None, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                # Everything in it was synced when it was committed; close has nothing left to lose.
                log.warning("segment did not close", extra={"log": self._log, "error": str(error)})

    def abandon(self) -> None:
        """Never touch this file again. What was committed in it stays readable."""
        rows = self.rows
        self.end()
        if rows is not None and not len(rows):
            self._disk.remove(rows.number)
