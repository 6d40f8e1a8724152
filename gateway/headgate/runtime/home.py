"""The state folder: made where it is missing, and locked, so that no two gateways ever touch one state."""

from __future__ import annotations

import logging
from pathlib import Path

from headgate.env import Env
from headgate.errors import SpoolError, SpoolLocked
from headgate.messages import say
from headgate.spool.refusal import may_pass

log = logging.getLogger(__name__)


class Home:
    """A gateway's state folder.

    Args:
        without_disk: whether a disk that cannot be written yet may be done without for a while.
    """

    def __init__(self, env: Env, folder: Path, *, without_disk: bool) -> None:
        self._env = env
        self._folder = folder
        self._without_disk = without_disk
        self._lock: int | None = None
        self._told = False

    def enter(self) -> None:
        """Make the folder and take its lock. Again, where an earlier try found no disk.

        Raises:
            SpoolLocked: another process has it.
            SpoolError: whoever set the box up must do something about it.
        """
        if self._lock is not None:
            return
        files = self._env.files
        try:
            files.make_folder(self._folder, 0o750)
            self._lock = files.lock(self._folder / "lock")
        except OSError as error:
            if not self._without_disk or not may_pass(error):
                raise SpoolError(
                    f"cannot use {self._folder}: {error}",
                    code="HG-4005",
                    folder=str(self._folder),
                    cause=str(error),
                ) from error
            if not self._told:
                log.error(say("HG-4028", "en", reason=str(error)), extra={"code": "HG-4028"})
            self._told = True
            return
        if self._lock is None:
            raise SpoolLocked(
                f"another process uses {self._folder}", code="HG-9123", folder=str(self._folder)
            )

    def leave(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._env.files.unlock(self._lock)
            self._lock = None
