"""What `headgate check` would say of a site with one file changed, before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headgate.config import Known, Site, examine
from headgate.env import Env, Files, SystemFiles
from headgate.errors import Problem
from headgate.messages import severity
from headgate.profiles import Library
from headgate.profiles import load as load_profiles
from headgate.runtime.installed import Installed, look


class Verdict(msgspec.Struct, frozen=True):
    """The site when it is usable, all problems, and the profiles that are installed."""

    site: Site | None
    problems: tuple[Problem, ...]
    library: Library

    @property
    def errors(self) -> list[Problem]:
        """What makes it unusable."""
        return [p for p in self.problems if severity(p.code) == "error"]


class _WithFile(SystemFiles):
    """The file system as it would be with one file written."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data = path, data

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if path != self._path:
            return super().read(path, offset, size)
        return self._data[offset:] if size is None else self._data[offset : offset + size]

    def size(self, path: Path) -> int | None:
        return len(self._data) if path == self._path else super().size(path)

    def list(self, folder: Path) -> list[str]:
        names = super().list(folder)
        return sorted({*names, self._path.name}) if folder == self._path.parent else names


def verdict(
    env: Env, main: Path, profiles: Sequence[Path], path: Path | None = None, data: bytes = b""
) -> Verdict:
    """The check of a site, with `data` at `path` when that is given."""
    if path is not None:
        files: Files = _WithFile(path, data)
        env = Env(env.clock, env.random, files, env.net, env.single)
    load = look(env, profiles)
    seen: list[Installed] = []

    def known(site: Site) -> Known:
        seen.append(load(site))
        return seen[-1].known()

    loaded = examine(env, main, known)
    found = list(loaded.problems)
    if loaded.partial is not None:  # what a driver refuses is told along with all the rest
        found += seen[-1].plan(loaded.partial)[1]
    errors = any(severity(p.code) == "error" for p in found)
    library = seen[-1].library if seen else load_profiles(env.files, ())
    return Verdict(None if errors else loaded.site, tuple(found), library)
