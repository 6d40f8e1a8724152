"""Files of verified packages as they were checked, among all others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from headgate.env import ReadFiles
from headgate.packages.tree import Tree


class Shelf:
    """Files of verified packages, served from memory; all others as they lie on disk, some hidden."""

    def __init__(
        self,
        files: ReadFiles,
        packages: Mapping[Path, Mapping[str, bytes]],
        hidden: Collection[Path] = (),
    ) -> None:
        self._files = files
        self._trees = {root: Tree(content, "") for root, content in packages.items()}
        self._hidden = hidden

    def _find(self, path: Path) -> Tree | None:
        for root, tree in self._trees.items():
            if path == root or root in path.parents:
                return tree.joinpath(*path.relative_to(root).parts)
        return None

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """As `Files.read`."""
        found = self._find(path)
        if found is None:
            return self._files.read(path, offset, size)
        data = found.read_bytes()
        return data[offset:] if size is None else data[offset : offset + size]

    def size(self, path: Path) -> int | None:
        """As `Files.size`."""
        found = self._find(path)
        if found is None:
            return self._files.size(path)
        return len(found.read_bytes()) if found.is_file() else 0 if found.is_dir() else None

    def list(self, folder: Path) -> list[str]:
        """As `Files.list`."""
        found = self._find(folder)
        if found is None:
            return [n for n in self._files.list(folder) if folder / n not in self._hidden]
        if found.is_file():
            raise NotADirectoryError(str(folder))
        return sorted(each.name for each in found.iterdir())
