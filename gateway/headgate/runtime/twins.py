"""Secrets that only this box has, kept twice: one damaged file must not cost a box its identity.

Beside `kek` lies `kek.twin`: `u32 crc ‖ secret`. Whichever is sound mends the other at the next start.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from headgate.env import Files

log = logging.getLogger(__name__)


class Look(Enum):
    """What bytes tell of themselves."""

    WHOLE = "whole"
    PLAUSIBLE = "plausible"
    DAMAGED = "damaged"


def read_twins(
    files: Files, path: Path, look: Callable[[bytes], Look], *, mend: bool = True
) -> bytes | None:
    """The secret of a file or of its twin; what is missing or damaged is written again. None without either.

    Where bytes cannot show by themselves that they are whole, the checksum of the twin has the last word: to
    put another secret here by hand, remove the twin, too.

    Raises:
        OSError: the file is there and cannot be read, and there is no twin.
    """
    twin = _sealed_twin(files, path)
    there = files.size(path) is not None
    if not there and twin is None:
        return None
    try:
        own = files.read(path) if there else b""
    except OSError:
        if twin is None:
            raise
        own = b""
    secret = own if twin is None or look(own) is Look.WHOLE else twin
    if mend and secret != own:
        log.error(
            "a key of this box was damaged, and mended from its twin", extra={"file": path.name}
        )
        _write(files, path, secret)
    if mend and secret != twin and look(secret) is not Look.DAMAGED:
        _write(files, _twin(path), _sealed(secret))
    return secret


def write_twins(files: Files, path: Path, secret: bytes) -> None:
    """Keep a secret that was just made. Raises OSError."""
    files.make_folder(path.parent)
    files.replace(path, secret, mode=0o600)
    _write(files, _twin(path), _sealed(secret))


def _write(files: Files, path: Path, content: bytes) -> None:
    try:
        files.replace(path, content, mode=0o600)
    except OSError as error:
        # The next start tries again; one of the two is enough.
        log.warning("a key of this box is not kept twice", extra={"error": str(error)})


def _twin(path: Path) -> Path:
    return path.with_name(f"{path.name}.twin")


def _sealed(secret: bytes) -> bytes:
    return zlib.crc32(secret).to_bytes(4, "big") + secret


def _sealed_twin(files: Files, path: Path) -> bytes | None:
    try:
        data = files.read(_twin(path))
    except OSError:
        return None
    secret = data[4:]
    return secret if secret and _sealed(secret) == data else None
