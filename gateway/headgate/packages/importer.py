"""Importing a package from the bytes that were checked, and from nowhere else.

A file that is changed after the check, or added, does not exist for the import; compiled files beside
the code are not looked at. Data files are read through `importlib.resources` or, for profiles, through
`headgate.packages.shelf`.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.resources.abc import TraversableResources
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from headgate.errors import PluginError
from headgate.packages.judge import Verified
from headgate.packages.tree import Tree

_NATIVE = (".so", ".pyd", ".pyc")


def check_importable(name: str, files: Mapping[str, bytes]) -> None:
    """Return when a package of this module name can be imported from memory.

    Raises:
        PluginError: the name is not a plain module name, or belongs to somebody else; native code.
    """
    if not name.isidentifier() or name in sys.stdlib_module_names or name.startswith("headgate"):
        raise PluginError(f"module name {name}", code="HG-2037", module=name)
    if "__init__.py" not in files:
        raise PluginError("no __init__.py", code="HG-2024", file="__init__.py", wrong="missing")
    for path in files:
        if path.endswith(_NATIVE):
            raise PluginError(f"native code: {path}", code="HG-2038", file=path)


def imports_of(files: Mapping[str, bytes]) -> set[str]:
    """The first name of every module that the code says it imports; what it looks up by a string is not seen.

    Raises:
        PluginError: a file that is no Python.
    """
    found: set[str] = set()
    for path, data in files.items():
        if not path.endswith(".py"):
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise PluginError(f"no Python: {path}", code="HG-2051", file=path) from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found


def enter(package: Verified) -> None:
    """Let a package be imported, from its checked bytes, under the name of its folder.

    Raises:
        PluginError: the name belongs to somebody else, or another version of it runs in this process.
    """
    module = package.root.name
    check_importable(module, package.files)
    for finder in sys.meta_path:
        if isinstance(finder, Finder) and finder.module == module:
            if finder.files != package.files:
                raise PluginError(
                    "another version runs", code="HG-2042", plugin=package.manifest.name
                )
            return
    if module in sys.modules:
        raise PluginError(f"module name {module}", code="HG-2037", module=module)
    sys.meta_path.insert(0, Finder(module, package.root, package.files))


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of one verified package. Put it first on `sys.meta_path`."""

    def __init__(self, module: str, root: Path, files: Mapping[str, bytes]) -> None:
        self.module = module
        self._root = root
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module of this package; a module that it lacks is not looked for elsewhere."""
        first, *below = fullname.split(".")
        if first != self.module:
            return None
        stem = "/".join(below)
        for file, is_package in (
            (f"{stem}/__init__.py" if stem else "__init__.py", True),
            (f"{stem}.py", False),
        ):
            if file in self.files:
                loader = _Loader(self._root, file, self.files)
                return importlib.util.spec_from_file_location(
                    fullname, self._root / file, loader=loader,
                    submodule_search_locations=[str((self._root / file).parent)] if is_package else None,
                )  # fmt: skip
        raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, root: Path, file: str, files: Mapping[str, bytes]) -> None:
        self._root, self._file, self._files = root, file, files

    def is_package(self, fullname: str) -> bool:
        return self._file.rpartition("/")[2] == "__init__.py"

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._files[self._file])

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._files[self._file], str(self._root / self._file))

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        folder = self._file.rpartition("/")[0]
        return _Resources(Tree(self._files, folder))


class _Resources(TraversableResources):
    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def files(self) -> Any:
        return self._tree
