"""Room kept back on the file system: files that are given up when nothing else can be written any more."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Final

from headgate.env import Env

log = logging.getLogger(__name__)

#: What a file system says when it has no room for us.
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
PAGE: Final = 4096
#: This part of what is kept back is for alarms, and for what is remembered, alone.
RESERVED: Final = 8


class Ballast:
    """A file of random bytes, given up when the disk is full.

    Args:
        size: in bytes, rounded down to pages; with 0 there is none.
    """

    def __init__(self, env: Env, path: Path, size: int) -> None:
        self._env = env
        self._path = path
        self._size = size // PAGE * PAGE
        #: Whether it is there.
        self.kept = False

    @property
    def wanted(self) -> bool:
        """Whether there should be one."""
        return self._size > 0

    def make(self, *, eager: bool = False) -> None:
        """Take the room back where there is plenty again, or `eager`, where there is any."""
        if self.kept:
            return
        files = self._env.files
        try:
            if files.size(self._path) == self._size:
                self.kept = True
            elif self._size and files.free(self._path.parent) > (1 if eager else 4) * self._size:
                token = self._env.random.token(PAGE)
                files.replace(self._path, token * (self._size // PAGE), 0o640)
                self.kept = True
        except OSError as error:
            log.warning("no ballast", extra={"error": str(error)})

    def drop(self) -> int:
        """Give the room away; how many bytes, 0 when there was none to give."""
        if not self.kept:
            return 0
        self.kept = False
        try:
            self._env.files.remove(self._path)
        except OSError as error:
            log.warning("room not released", extra={"error": str(error)})
            return 0
        log.warning("the disk is full: room released", extra={"file": self._path.name})
        return self._size
