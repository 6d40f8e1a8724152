"""Reads the files of a site within bounds, and merges them.

A site is one main file and a folder of parts beside it: `site.toml` and `site.d/*.toml` (for
`other.toml`, `other.d/`). Parts are read in the order of their names; those that start with a dot
are passed over. Links are followed as the system does, and nothing is ever written through them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate.config.lines import Key, key_lines
from headgate.env import Env
from headgate.errors import Problem

#: Bytes of one file, and of all together.
FILE_LIMIT = 2**20
TOTAL_LIMIT = 2**23
#: Levels of nesting, values in all files together, files in the folder of parts.
DEPTH_LIMIT = 32
NODE_LIMIT = 100_000
FILES_LIMIT = 1_000

# Dots between two delimiters: longer dotted keys cost the parser quadratic time.
_DOTS_LIMIT = 200


class Document:
    """One file that parsed. `shown` is the name that messages use; `where(key)` a place in it."""

    def __init__(self, shown: str, text: str, data: dict[str, Any]) -> None:
        self.shown = shown
        self.data = data
        self._text = text
        self._lines: dict[Key, int] | None = None

    def where(self, at: Key) -> str:
        """`site.toml:12: device[3].interval`; list positions count from 1, as people do."""
        if self._lines is None:  # only files with a mistake are scanned
            self._lines = key_lines(self._text)
        # The line of the nearest thing around it that has one.
        line = next(self._lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self._lines)
        return f"{self.shown}:{line}: {spell(at)}" if at else f"{self.shown}:{line}"


def spell(at: Key) -> str:
    """`device[3].params.elevation`: a place as a person would write it."""
    text = ""
    for part in at:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", part)
            text += ("." if text else "") + (part if plain else repr(part[:64]))
    return text


def main_file(path: Path) -> Path:
    """The main file of what a person named: a `.toml` file itself, or `site.toml` in a folder."""
    return path if path.suffix == ".toml" else path / "site.toml"


def read_documents(env: Env, main: Path) -> tuple[list[Document], list[Problem]]:
    """Every file of a site that could be read, the main file first, and what was wrong with the others."""
    problems: list[Problem] = []
    folder = main.with_suffix(".d")
    try:
        names = [n for n in env.files.list(folder) if n.endswith(".toml") and not n.startswith(".")]
    except OSError as error:
        problems.append(Problem(f"{folder.name}", "HG-1002", {"reason": _reason(error)}))
        names = []
    if len(names) > FILES_LIMIT:
        problems.append(
            Problem(folder.name, "HG-1008", {"count": len(names), "limit": FILES_LIMIT})
        )
        names = names[:FILES_LIMIT]
    documents: list[Document] = []
    total = nodes = 0
    for path in (main, *(folder / name for name in names)):
        shown = main.name if path == main else f"{folder.name}/{path.name}"
        try:
            size = env.files.size(path)
            if size is None and path == main:
                problems.append(Problem(str(main), "HG-1001"))
                continue
            raw = env.files.read(path, 0, FILE_LIMIT + 1)
        except OSError as error:
            problems.append(Problem(shown, "HG-1002", {"reason": _reason(error)}))
            continue
        total += len(raw)
        if len(raw) > FILE_LIMIT or total > TOTAL_LIMIT:
            limit = FILE_LIMIT if len(raw) > FILE_LIMIT else TOTAL_LIMIT
            problems.append(
                Problem(shown, "HG-1005", {"size": max(size or 0, len(raw), total), "limit": limit})
            )
            continue
        document = parse(shown, raw, problems)
        if document is None:
            continue
        nodes += sum(1 for _ in _values(document.data))
        if nodes > NODE_LIMIT:
            problems.append(Problem(shown, "HG-1007", {"limit": NODE_LIMIT}))
            break
        documents.append(document)
    return documents, problems


def parse(shown: str, raw: bytes, problems: list[Problem]) -> Document | None:
    """The document in these bytes; None after adding to `problems` why there is none."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problems.append(Problem(f"{shown}:{line}", "HG-1004", {"offset": error.start + 1}))
        return None
    # Our own lines are split as TOML splits them.
    text = text.replace("\r\n", "\n")
    if any(part.count(".") > _DOTS_LIMIT for part in re.split(r"[=\n\[\]{},]", text)):
        problems.append(Problem(shown, "HG-1006", {"limit": DEPTH_LIMIT}))
        return None
    try:
        data = tomllib.loads(text)
    except RecursionError:
        problems.append(Problem(shown, "HG-1006", {"limit": DEPTH_LIMIT}))
        return None
    except ValueError as error:  # TOMLDecodeError, and what int() and datetime() say by themselves
        problems.append(_syntax(shown, text, str(error)))
        return None
    for depth, key in _values(data):
        if depth > DEPTH_LIMIT:
            where = f"{shown}: {spell(key)}"
            problems.append(Problem(where, "HG-1006", {"limit": DEPTH_LIMIT}))
            return None
    return Document(shown, text, data)


def _syntax(shown: str, text: str, reason: str) -> Problem:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", reason)
    if place is None:
        return Problem(shown, "HG-1003", {"reason": reason})
    line = place[1] or str(text.count("\n") + 1)
    column = f" (column {place[2]})" if place[2] else ""
    return Problem(f"{shown}:{line}", "HG-1003", {"reason": reason[: place.start()] + column})


def _values(data: dict[str, Any]) -> Iterator[tuple[int, Key]]:
    """(depth, top-level key) of every value, without recursion: the data may be hostile."""
    stack: list[tuple[int, Key, Any]] = [(1, (key,), value) for key, value in data.items()]
    while stack:
        depth, key, value = stack.pop()
        yield depth, key
        if depth > DEPTH_LIMIT:
            continue
        if isinstance(value, dict):
            stack.extend((depth + 1, key, part) for part in value.values())
        elif isinstance(value, list):
            stack.extend((depth + 1, key, part) for part in value)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
