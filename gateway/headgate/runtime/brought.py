"""What plugins bring, by name. What is only promised is imported when its name is first asked for.

A box measures with two or three of the drivers that are installed. What our own plugins bring stands in
the manifest beside their code, so the others cost a small file each, and no import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from headgate.runtime.discovery import Found

T = TypeVar("T")


class Promise:
    """That a plugin brings something. `keep` imports it, and says in the tables what came of that."""

    def __init__(self, plugin: Found, keep: Callable[[], None]) -> None:
        self.plugin = plugin
        self.keep = keep

    def schemes(self, name: str) -> tuple[str, ...]:
        """The schemes of the driver of a name, as the manifest has them."""
        manifest = self.plugin.manifest
        return manifest.schemes.get(name, ()) if manifest is not None else ()


class Brought(Mapping[str, type[T]], Generic[T]):
    """Classes by the name that site files and profiles use.

    Asking for one imports what was promised under that name; going through all of them imports
    everything. What could not be imported is not there.
    """

    def __init__(self) -> None:
        self._entries: dict[str, type[T] | Promise] = {}

    def __getitem__(self, name: str) -> type[T]:
        entry = self._entries[name]
        if isinstance(entry, Promise):
            entry.keep()
            entry = self._entries[name]
        if isinstance(entry, Promise):  # asked for by the very module that is being imported
            raise KeyError(name)
        return entry

    def __iter__(self) -> Iterator[str]:
        return (name for name in list(self._entries) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def named(self) -> Mapping[str, type[T] | Promise]:
        """Every name with what there is of it so far. Imports nothing."""
        return self._entries

    def promise(self, name: str, promise: Promise) -> None:
        """Keep a name for a plugin; whoever has it already keeps it."""
        self._entries.setdefault(name, promise)

    def add(self, name: str, one: type[T], plugin: Found) -> str | None:
        """Take in a class; gives the module of another that has the name already, which then stays."""
        entry = self._entries.get(name)
        if isinstance(entry, Promise) and entry.plugin is not plugin:
            return entry.plugin.module
        if entry is not None and not isinstance(entry, Promise):
            return entry.__module__
        self._entries[name] = one
        return None

    def forget(self, plugin: Found) -> None:
        """Drop what a plugin promised and did not bring."""
        for name, entry in list(self._entries.items()):
            if isinstance(entry, Promise) and entry.plugin is plugin:
                del self._entries[name]
