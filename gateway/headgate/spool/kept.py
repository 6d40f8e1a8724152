"""A small file of the state folder: written whole, the one before it kept, a damaged one set aside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from headgate.env import Files

log = logging.getLogger(__name__)

T = TypeVar("T")


class KeptFile:
    """`name` is the file, `name.before` the version before it, `name.damaged` what could not be read."""

    def __init__(self, files: Files, path: Path, mode: int = 0o640) -> None:
        self._files = files
        self._path = path
        self._before = path.with_name(f"{path.name}.before")
        self._mode = mode
        #: Whether a damaged version was found and set aside.
        self.damaged = False
        #: Whether a version was there that the disk did not give.
        self.unread = False

    def read(self, parse: Callable[[bytes], T]) -> T | None:
        """What the newest sound version holds; None where there is none.

        Args:
            parse: raises ValueError for bytes that are not what was written.
        """
        for path in (self._path, self._before):
            try:
                data = self._read(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.unread = True
                log.error("file not read", extra={"file": str(path), "error": str(error)})
                continue
            try:
                return parse(data)
            except ValueError as error:
                self._set_aside(path, error)
        return None

    def _read(self, path: Path) -> bytes:
        try:
            return self._files.read(path)
        except FileNotFoundError:
            raise
        except OSError:
            # A first read error of a worn card is often the last, and the version before is older.
            return self._files.read(path)

    def _set_aside(self, path: Path, error: ValueError) -> None:
        self.damaged = True
        log.error("damaged file set aside", extra={"file": str(path), "error": str(error)})
        try:
            self._files.rename(path, path.with_name(f"{path.name}.damaged"))
        except OSError as refused:
            log.warning("file not set aside", extra={"file": str(path), "error": str(refused)})

    def write(self, data: bytes) -> None:
        """Make this the newest version, durable with its name, and keep the one before.

        Raises:
            OSError: the version before is there still.
        """
        if self._files.size(self._path) is not None:
            # A copy, not a rename: of one that no journal binds, a power cut may leave neither name.
            self._files.replace(self._before, self._files.read(self._path), self._mode)
        self._files.replace(self._path, data, self._mode)
