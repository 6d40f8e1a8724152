"""Destroying files: overwritten where they lie, then removed; keys before everything else.

On a disk that writes where it is told, what was overwritten is gone. Flash moves every write elsewhere and
keeps the old block for a while: there, what counts is that the keys are gone first, and that everything worth
reading was sealed under them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from headgate.config import Site
from headgate.runtime.decommission import MARK
from headgate.runtime.rights import secret_files

_CHUNK: Final = 1 << 20
#: The lock is held meanwhile; the mark says that this was done.
_STAYS: Final = frozenset({"lock", MARK})
#: First of all: without it nothing that lies on this disk opens any more.
_KEK: Final = ("kek", "kek.twin")
_KEYS: Final = ("identity.key", "identity.key.twin", "keys")


class Destroyed(msgspec.Struct):
    """What became of it. `kept` are files that could not be destroyed, and why."""

    files: int = 0
    overwritten: int = 0
    kept: list[tuple[Path, str]] = []


def order(site: Site) -> Iterator[Path]:
    """Every file to destroy, in this order: the KEK, keys, secrets, state, and last what they sealed."""
    folder = site.state_folder
    given: set[Path] = set()

    def fresh(paths: Sequence[Path]) -> Iterator[Path]:
        for path in paths:
            if path not in given and os.path.lexists(path):
                given.add(path)
                yield path

    kek = site.identity.kek
    named = [Path(site.base) / kek.name] if kek is not None and kek.kind == "file" else []
    yield from fresh([folder / name for name in _KEK] + named)
    for name in _KEYS:
        yield from fresh(_below(folder / name))
    yield from fresh(list(secret_files(site)))
    everything = _below(folder)
    spool = folder / "spool"
    # Sealed records are many, and worth nothing by now.
    yield from fresh([path for path in everything if spool not in path.parents])
    yield from fresh(everything)


def _below(path: Path) -> list[Path]:
    if path.is_dir() and not path.is_symlink():
        inside = sorted(path.rglob("*"))
        return [each for each in inside if not each.is_dir() or each.is_symlink()]
    return [path]


def destroy(site: Site, *, sealed: bool = False) -> Destroyed:
    """Destroy everything of a site.

    Args:
        sealed: whether sealed records are overwritten, too, and not only removed.
    """
    done = Destroyed(kept=[])
    spool = site.state_folder / "spool"
    for path in order(site):
        if path.name in _STAYS and path.parent == site.state_folder:
            continue
        try:
            if sealed or spool not in path.parents:
                done.overwritten += overwrite(path)
            path.unlink()
            done.files += 1
        except OSError as error:
            done.kept.append((path, str(error.strerror or error)))
    _remove_folders(site.state_folder)
    return done


def overwrite(path: Path) -> int:
    """Random bytes in the place of a file's own, on the medium when this returns; how many.

    Raises:
        OSError: it is somebody else's, or the disk refuses.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        # A link, a socket, a pipe: nothing of ours is in it.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return 0
        raise
    try:
        size = os.fstat(fd).st_size
        at = 0
        while at < size:
            at += os.pwrite(fd, os.urandom(min(_CHUNK, size - at)), at)
        os.fsync(fd)
        return size
    finally:
        os.close(fd)


def _remove_folders(folder: Path) -> None:
    folders = sorted(
        (p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True
    )
    for each in folders:
        with contextlib.suppress(OSError):
            each.rmdir()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fill_free_space(folder: Path) -> int:
    """Write random bytes until the file system is full, and give the room back; how many bytes.

    Older versions of files lie in free blocks until something else is written there.
    """
    path = folder / ".filling"
    written = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        size = _CHUNK
        while size:
            try:
                written += os.write(fd, os.urandom(size))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                size //= 2
        os.fsync(fd)
    finally:
        os.close(fd)
        path.unlink()
    return written
