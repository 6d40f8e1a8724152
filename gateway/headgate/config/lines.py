"""Finds the line of every key of a TOML text, which the parser does not tell.

A scan, not a parser: it is only asked about texts that parsed, follows statements one by one and
skips over values. Keys inside inline tables and arrays have the line of the statement.
"""

from __future__ import annotations

import re

#: A place in a document: keys, and the 0-based position in a list of tables.
Key = tuple[str | int, ...]

_PART = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')\s*(\.?)""")
# What a value is made of, as far as its end is concerned.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""+|'
    r"'''.*?'''+|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Key, int]:
    """The 1-based line of each table header and each key."""
    found: dict[Key, int] = {(): 1}
    counts: dict[Key, int] = {}
    table: Key = ()
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        statement = text[at:end].lstrip(" \t\r")
        if statement.startswith("["):
            table = _header(statement, counts)
            found.setdefault(table, line)
        elif statement and not statement.startswith("#"):
            names, rest = _dotted(text, at)
            key: Key = table
            for name in names:
                key = (*key, name)
                found.setdefault(key, line)
            end = _value_end(text, max(rest, at))
        line += text.count("\n", at, end) + 1
        at = end + 1
    return found


def _header(statement: str, counts: dict[Key, int]) -> Key:
    listed = statement.startswith("[[")
    names, _ = _dotted(statement, 2 if listed else 1)
    key: Key = ()
    for position, name in enumerate(names):
        key = (*key, name)
        if listed and position == len(names) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _dotted(text: str, at: int) -> tuple[list[str], int]:
    names: list[str] = []
    while match := _PART.match(text, at):
        names.append(match[1] or match[2] or match[3] or "")
        at = match.end()
        if not match[4]:
            break
    return names, at


def _value_end(text: str, at: int) -> int:
    """Where the statement ends: the first line break outside brackets and long strings."""
    depth = 0
    for match in _TOKEN.finditer(text, at):
        part = match[0]
        if part in "[{":
            depth += 1
        elif part in "]}":
            depth -= 1
        elif part == "\n" and depth <= 0:
            return match.start()
    return len(text)
