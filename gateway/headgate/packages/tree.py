"""A folder in memory, as `importlib.resources` wants one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import IO, Any


class Tree(Traversable):
    """A file or folder among files by path; "" is the top."""

    def __init__(self, files: Mapping[str, bytes], path: str) -> None:
        self._files = files
        self._path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    def iterdir(self) -> Iterator[Tree]:
        """What lies in this folder."""
        prefix = f"{self._path}/" if self._path else ""
        names = {p[len(prefix) :].partition("/")[0] for p in self._files if p.startswith(prefix)}
        return (Tree(self._files, prefix + name) for name in sorted(names))

    def is_dir(self) -> bool:
        """Whether anything lies below."""
        return not self._path or any(p.startswith(self._path + "/") for p in self._files)

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._path in self._files

    def joinpath(self, *descendants: Any) -> Tree:
        """What lies at a path below."""
        parts = [
            part for each in descendants for part in str(each).split("/") if part not in ("", ".")
        ]
        return Tree(self._files, "/".join([*filter(None, [self._path]), *parts]))

    def __truediv__(self, child: Any) -> Tree:
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        """The file's bytes. Raises FileNotFoundError."""
        try:
            return self._files[self._path]
        except KeyError:
            raise FileNotFoundError(self._path) from None

    def read_text(self, encoding: str | None = None) -> str:
        """The file's text."""
        return self.read_bytes().decode(encoding or "utf-8")

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        """The file, to be read."""
        raw = io.BytesIO(self.read_bytes())
        return raw if "b" in mode else io.TextIOWrapper(raw, *args, **kwargs)
