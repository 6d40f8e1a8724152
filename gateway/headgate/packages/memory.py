"""What ran here before: the highest version of each package, and the newest list.

`packages.json` in the state folder.
An attacker who can write there owns the box already; this stops one who hands a technician an old package.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path

import msgspec

from headgate.env import Files, ReadFiles

log = logging.getLogger(__name__)

_LIMIT = 4 * 1024 * 1024


class Before(msgspec.Struct, frozen=True):
    """A package that ran here: its version, what exactly it was, and who signed it."""

    version: str
    manifest: str
    signer: str
    """Common name in the signer's certificate."""
    certificates: tuple[str, ...]
    """That certificate and its intermediates, DER in hex."""


class Memory(msgspec.Struct, frozen=True):
    """All of them, and the serial of the newest list that was followed."""

    packages: dict[str, Before] = {}
    serial: int = 0


def load(files: ReadFiles, path: Path) -> Memory:
    """What is remembered; nothing where there is no such file or it is damaged (the log says so)."""
    try:
        data = files.read(path, 0, _LIMIT)
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        log.error("package versions cannot be read", extra={"error": str(error)})
        return Memory()
    sum_, _, body = data.partition(b"\n")
    try:
        if int(sum_, 16) != zlib.crc32(body):
            raise ValueError("checksum")
        return msgspec.json.decode(body, type=Memory)
    except (ValueError, msgspec.MsgspecError) as error:
        log.error("package versions are damaged and forgotten", extra={"error": str(error)})
        return Memory()


def save(files: Files, path: Path, memory: Memory) -> None:
    """Write it, whole. Raises OSError."""
    body = msgspec.json.format(msgspec.json.encode(memory, order="sorted"), indent=1)
    files.replace(path, b"%08x\n" % zlib.crc32(body) + body, 0o640)
