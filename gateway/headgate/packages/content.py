"""The files of a package, read once: what is checked is what is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from headgate.crypto.provider import CryptoProvider
from headgate.env import ReadFiles
from headgate.errors import PluginError
from headgate.packages.manifest import MANIFEST, MAX_FILES, SIGNATURE, Manifest, sound_path

MAX_FILE: Final = 16 * 1024 * 1024
MAX_TOTAL: Final = 64 * 1024 * 1024
_MAX_DEPTH: Final = 12
#: What an interpreter leaves behind; never read.
_LEFT_BEHIND: Final = "__pycache__"


def gather(files: ReadFiles, root: Path) -> dict[str, bytes]:
    """Every file of a package by path below `root`, the manifest and its signature excepted.

    Raises:
        PluginError: more or larger files than a package may have, or a name that is not taken.
        OSError: a file that cannot be read; a pipe or a device is none.
    """
    found: dict[str, bytes] = {}
    total = 0
    for path in _walk(files, root, "", 0):
        if path in (MANIFEST, SIGNATURE):
            continue
        if not sound_path(path):
            raise PluginError(
                f"a name that is not taken: {path!r}", code="HG-2022", file=path[:200]
            )
        data = files.read(root / path, 0, MAX_FILE + 1)
        total += len(data)
        if len(data) > MAX_FILE or total > MAX_TOTAL or len(found) >= MAX_FILES:
            raise PluginError(f"too much: {path}", code="HG-2023", file=path)
        found[path] = data
    return found


def _walk(files: ReadFiles, root: Path, below: str, depth: int) -> list[str]:
    if depth > _MAX_DEPTH:
        raise PluginError(f"folders too deep: {below}", code="HG-2023", file=below)
    paths: list[str] = []
    for name in files.list(root / below):
        if name == _LEFT_BEHIND:
            continue
        path = f"{below}/{name}" if below else name
        try:
            files.list(root / path)
        except NotADirectoryError:
            paths.append(path)
            if len(paths) > MAX_FILES:
                raise PluginError(f"too many files: {path}", code="HG-2023", file=path) from None
            continue
        paths += _walk(files, root, path, depth + 1)
    return paths


def digests(content: Mapping[str, bytes], provider: CryptoProvider) -> dict[str, str]:
    """The SM3 of each file, in hex."""
    return {path: provider.sm3(data).hex() for path, data in content.items()}


def check(content: Mapping[str, bytes], manifest: Manifest, provider: CryptoProvider) -> None:
    """Return when the files are those of the manifest: none changed, none missing, none more.

    Raises:
        PluginError: the first that is not, by name.
    """
    for path, digest in manifest.sm3.items():
        data = content.get(path)
        if data is None:
            raise PluginError(f"{path} is missing", code="HG-2024", file=path, wrong="missing")
        if provider.sm3(data).hex() != digest:
            raise PluginError(f"{path} was changed", code="HG-2024", file=path, wrong="changed")
    for path in content:
        if path not in manifest.sm3:
            raise PluginError(f"{path} was added", code="HG-2024", file=path, wrong="added")
