"""The files of the log: one folder, `000000000001.log` and on; written once, never changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from headgate.env import Files

#: A file that is larger than this was not written by us; its rest is damage.
LARGEST_FILE: Final = 64 << 20
#: What a file takes on disk at least.
BLOCK: Final = 4096

_NAME: Final = re.compile(r"^(\d{12})\.log$")


class LogFolder:
    """Where the files lie, by number."""

    def __init__(self, files: Files, folder: Path) -> None:
        self.files = files
        self.folder = folder

    def numbers(self) -> list[int]:
        """The files that are there, rising. Raises OSError."""
        return sorted(
            int(m[1]) for name in self.files.list(self.folder) if (m := _NAME.match(name))
        )

    def path(self, number: int) -> Path:
        """The file of a number."""
        return self.folder / f"{number:012}.log"

    def read(self, number: int) -> bytes:
        """All of a file. Raises OSError."""
        return self.files.read(self.path(number), 0, LARGEST_FILE)

    def size(self, number: int) -> int | None:
        """Its bytes, None when it is gone. Raises OSError."""
        return self.files.size(self.path(number))


def on_disk(size: int) -> int:
    """What a file of so many bytes takes of the quota."""
    return -(-max(size, 1) // BLOCK) * BLOCK
