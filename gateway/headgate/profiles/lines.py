"""Where in a TOML file a key stands, so that a mistake is reported with its line."""

from __future__ import annotations

import re

#: A place in decoded TOML: `("variant", 1, "point", 0, "scale")`.
Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_ENTRY = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")


def index(text: str) -> dict[Path, int]:
    """The line (from 1) of every header and key. `tomllib` forgets them: this is a second look.

    A line of a multi-line text that looks like a key can mislead it, at the price of a wrong number.
    """
    lines: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    here: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            *parents, last = _parts(header[2])
            here = ()
            for part in parents:
                here = _last((*here, part), counts)
            here = (*here, last)
            if header[1] == "[[":
                counts[here] = counts.get(here, 0) + 1
            here = _last(here, counts)
            lines[here] = number
        elif entry := _ENTRY.match(line):
            path = here
            for part in _parts(entry[1]):
                path = (*path, part)
                lines.setdefault(path, number)
    return lines


def line_of(path: Path, lines: dict[Path, int]) -> int:
    """The line of `path`, or of the nearest thing around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_KEY, dotted)]


def _last(path: Path, counts: dict[Path, int]) -> Path:
    return (*path, counts[path] - 1) if path in counts else path
