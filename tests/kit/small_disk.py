"""Real small file systems: one in memory, and ext4 in a file that can be made to fail like a dying card."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PAGE = 4096


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def can_mount() -> bool:
    """Whether this process may mount."""
    return os.geteuid() == 0 and shutil.which("mount") is not None and _may_mount()


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(mask.split()[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN


class SmallDisk:
    """A file system of its own under `path`; `close` takes it away, whoever still uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._mounted = False

    def close(self) -> None:
        if self._mounted:
            _run("umount", "--lazy", str(self.path))
            self._mounted = False

    @property
    def free(self) -> int:
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all the room but `leave`, as a log that nobody rotates does."""
        with open(self.path / "filler", "ab", buffering=0) as file:
            while (much := self.free - leave) >= PAGE:
                try:
                    file.write(bytes(min(much, 1 << 20)))
                except OSError:
                    break

    def clear(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink()


class Tmpfs(SmallDisk):
    """In memory; may be made read-only while nobody writes, and writable again."""

    def __init__(self, path: Path, size: int, *, read_only: bool = False) -> None:
        super().__init__(path)
        options = f"size={size},mode=755{',ro' if read_only else ''}"
        _run("mount", "-t", "tmpfs", "-o", options, "headgate-test", str(path))
        self._mounted = True

    def writable(self, yes: bool) -> None:
        _run("mount", "-o", f"remount,{'rw' if yes else 'ro'}", str(self.path))


class Ext4(SmallDisk):
    """In a file beside it. `abort` is what the kernel does when the journal meets an error."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path)
        image = path.with_name(f"{path.name}.img")
        with open(image, "wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(path))
        self._mounted = True

    def abort(self) -> None:
        """From now on read-only, open files included."""
        _run("mount", "-o", "remount,abort", str(self.path))
