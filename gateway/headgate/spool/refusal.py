"""A disk that refuses: why, since when, and when it is asked again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final, Literal

from headgate.errors import SpoolError
from headgate.spool.ballast import NO_ROOM

Kind = Literal["full", "read-only", "failing"]

#: The first and the longest pause between two questions to a disk that refuses.
PAUSES_US: Final = (1_000_000, 30_000_000)
#: What a disk says that may take writes again by itself, or once it is seen to; everything else is a
#: mistake of whoever set the box up, and said at the start.
_PASSING: Final = frozenset({errno.EROFS, errno.EIO, errno.ENXIO, errno.ENODEV, *NO_ROOM})


def may_pass(error: OSError) -> bool:
    """Whether a start should go on without the disk."""
    return error.errno in _PASSING


class Refusal:
    """The state of a disk as its last write showed it. `kind` is None while it takes what it is given."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.since_us: int | None = None
        self.text: str | None = None
        #: Errors of a write since the start.
        self.errors = 0
        self._again_us = 0
        self._pause_us = 0

    @property
    def full(self) -> bool:
        """Whether the disk is out of room."""
        return self.kind == "full"

    def note(self, error: OSError, now_us: int) -> None:
        """The disk has refused."""
        self.errors += 1
        kind: Kind = "failing"
        if error.errno in NO_ROOM:
            kind = "full"
        elif error.errno == errno.EROFS:
            kind = "read-only"
        if self.kind is None:
            self.since_us = now_us
        self.kind, self.text = kind, str(error)
        self._pause_us = min(max(self._pause_us * 2, PAUSES_US[0]), PAUSES_US[1])
        self._again_us = now_us + self._pause_us

    def clear(self) -> None:
        """The disk took everything."""
        self.kind = self.since_us = self.text = None
        self._again_us = self._pause_us = 0

    def resting(self, now_us: int) -> bool:
        """Whether the disk has refused a moment ago and is left alone."""
        return now_us < self._again_us

    def error(self, folder: Path) -> SpoolError:
        """The refusal once more, without asking the disk."""
        cause = self.text or "it refused"
        return SpoolError(
            f"cannot write to {folder}: {cause}", code="HG-4006", folder=str(folder), cause=cause
        )
