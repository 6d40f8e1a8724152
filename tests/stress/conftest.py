"""Small disks for whoever asks; without the right to mount these tests cannot say anything."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kit.small_disk import Ext4, SmallDisk, Tmpfs, can_mount

NEEDS = "mounts a small file system of its own: needs root (CAP_SYS_ADMIN), as in `sudo make test`"


@pytest.fixture
def mounted() -> Iterator[Callable[[SmallDisk], SmallDisk]]:
    """Takes down at the end what was mounted."""
    with ExitStack() as stack:

        def keep(disk: SmallDisk) -> SmallDisk:
            stack.callback(disk.close)
            return disk

        yield keep


@pytest.fixture
def tmpfs(mounted: Callable[[SmallDisk], SmallDisk]) -> Callable[..., Tmpfs]:
    """Mounts a file system in memory."""
    if not can_mount():
        pytest.skip(NEEDS)

    def make(path: Path, size: int, *, read_only: bool = False) -> Tmpfs:
        disk = Tmpfs(path, size, read_only=read_only)
        mounted(disk)
        return disk

    return make


@pytest.fixture
def ext4(mounted: Callable[[SmallDisk], SmallDisk]) -> Callable[[Path, int], Ext4]:
    """Mounts ext4 from a file."""
    if not can_mount() or shutil.which("mkfs.ext4") is None:
        pytest.skip(f"{NEEDS}, and mkfs.ext4")

    def make(path: Path, size: int) -> Ext4:
        try:
            disk = Ext4(path, size)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no loop device here: {error.stderr.decode(errors='replace').strip()}")
        mounted(disk)
        return disk

    return make
