"""What others on this machine may reach of what only the gateway should: looked at once, at the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from headgate.config import SecretRef, Site
from headgate.env import Env

#: Any right of those who are neither the gateway's user nor of its group.
_OTHERS: Final = 0o007


class OpenToOthers(msgspec.Struct, frozen=True):
    """A file or folder, and its rights as chmod(1) writes them."""

    path: Path
    mode: str

    def fields(self) -> dict[str, str]:
        """What the sentence HG-9340 is filled with."""
        return {"path": str(self.path), "mode": self.mode}


def open_to_others(env: Env, site: Site) -> Iterator[OpenToOthers]:
    """The state folder, the keys in it, and the files that the site names for secrets."""
    folder = site.state_folder
    keys = [
        folder / name for name in ("kek", "kek.twin", "identity.key", "identity.key.twin", "keys")
    ]
    for path in (folder, *keys, *secret_files(site)):
        mode = env.mode(path)
        if mode is not None and mode & _OTHERS:
            yield OpenToOthers(path, f"{mode:04o}")


def secret_files(site: Site) -> Iterator[Path]:
    """The files that the site names for secrets."""
    for reference in _references(site):
        if reference.kind == "file":
            yield Path(site.base) / reference.name


def _references(value: Any) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _references(getattr(value, name))
    elif isinstance(value, dict):
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _references(part)
