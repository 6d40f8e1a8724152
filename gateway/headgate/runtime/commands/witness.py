"""Whether the journal of commands is as new as it should be: this boot remembers, off the disk.

A state folder that is put back from an older copy forgets leases, and a pump stays forced that nobody
lets go of. After a reboot every lease is over anyway; within one boot a few bytes in memory (the service's
runtime folder) tell that the journal once knew more.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Final

from headgate.env import Env

log = logging.getLogger(__name__)

#: Where a service keeps what need not outlive a boot; systemd sets it (RuntimeDirectory=).
_VARIABLES: Final = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - what lies there can only make us let go


def runtime_folder(env: Env) -> Path:
    """Where things of this boot may lie."""
    named = (env.variable(name) for name in _VARIABLES)
    return next((Path(each.partition(":")[0]) for each in named if each), _MEMORY)


class Witness:
    """Notes in `folder` how often a journal was written. Without a folder it knows nothing."""

    def __init__(self, env: Env, journal: Path, folder: Path | None) -> None:
        self._env = env
        place = zlib.crc32(bytes(journal.absolute().parent))
        self._path = None if folder is None else folder / f"headgate-{place:08x}.commands"

    def knows_more(self, written: int) -> bool:
        """Whether the journal was written more often in this boot than it says itself."""
        if self._path is None:
            return False
        try:
            data = self._env.files.read(self._path, 0, 64)
        except OSError:
            return False
        boot, _, count = data.partition(b" ")
        return (
            boot == self._env.clock.boot_id().hex().encode()
            and count.isdigit()
            and int(count) > written
        )

    def note(self, written: int) -> None:
        """The journal was written: called after it is on the medium, in the journal's thread."""
        if self._path is None:
            return
        try:
            data = b"%s %d" % (self._env.clock.boot_id().hex().encode(), written)
            self._env.files.replace(self._path, data, 0o600)
        except OSError as error:
            log.debug("no witness of the journal", extra={"error": str(error)})
