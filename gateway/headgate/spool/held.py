"""Segments that live in memory because the disk refuses them: read like others, and written out later."""

from __future__ import annotations

import logging
from pathlib import Path

from headgate.env import AppendFile, Files

log = logging.getLogger(__name__)


class Held:
    """Held segments by number, in the very bytes that they will have on disk. Read from any thread."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._segments: dict[int, bytearray] = {}
        self._tries = 0

    def __len__(self) -> int:
        return len(self._segments)

    def __contains__(self, number: int) -> bool:
        return number in self._segments

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(map(len, list(self._segments.values())))

    @property
    def oldest(self) -> int | None:
        """The lowest number held."""
        return min(self._segments, default=None)

    def begin(self, number: int) -> AppendFile:
        """A segment that only grows, in memory."""
        data = self._segments[number] = bytearray()
        return _Memory(data)

    def data(self, number: int) -> bytearray | None:
        """A segment's bytes; None when it is not held."""
        return self._segments.get(number)

    def drop(self, number: int) -> None:
        """Forget a segment."""
        self._segments.pop(number, None)

    def write_out(self, number: int, path: Path) -> None:
        """Make a held segment a file; afterwards it is held no more.

        Each try writes a file of its own, that gets its name once it is whole: what an fsync failed on
        is not believed again.

        Raises:
            OSError: the disk refuses still; the segment stays held.
        """
        self._tries += 1
        new = self._folder / f".{number:012}.{self._tries}.held"
        self._files.remove(new)
        try:
            file = self._files.append(new)
            try:
                file.write(bytes(self._segments[number]))
                file.sync()
            finally:
                file.close()
            self._files.rename(new, path)
            self._files.sync_folder(self._folder)
        except OSError:
            self._discard(new)
            raise
        self._segments.pop(number, None)

    def _discard(self, path: Path) -> None:
        try:
            self._files.remove(path)
        except OSError as error:
            log.warning("not removed", extra={"file": path.name, "error": str(error)})


class _Memory:
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, data: bytes) -> None:
        self._data += data

    def sync(self) -> None:
        """Nothing here is durable, and nobody is told that it were."""

    def close(self) -> None:
        """Nothing to close."""
