"""A JSON text with placeholders, compiled once. Pure.

The text is parsed first and filled afterwards, so no value can break out of its place:

    {"id": "{device}", "v": "{values}", "note": "from {gateway}"}

A string that is one placeholder and nothing else becomes the value itself, with its type: a number, an
object, null. Placeholders inside a longer string, or in a key, become text. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

Fields = Mapping[str, Any]
Fill = Callable[[Fields], Any]

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_.:-]+)\}|[{}]")


class TemplateError(ValueError):
    """A template that cannot be used; `args[0]` says why."""


def compile_json(text: str, known: Collection[str]) -> Fill:
    """A template for JSON.

    Args:
        known: placeholders there are; `label.` and anything after it is always one.

    Raises:
        TemplateError: not JSON, or a placeholder that does not exist.
    """
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise TemplateError(f"not JSON: {error}") from None
    return _compile(parsed, known)


def compile_text(text: str, known: Collection[str]) -> Callable[[Fields], str]:
    """A template for a topic. Raises TemplateError."""
    parts = _parts(text, known)
    if not any(isinstance(part, tuple) for part in parts):
        fixed = "".join(str(part) for part in parts)
        return lambda fields: fixed
    return lambda fields: "".join(
        part if isinstance(part, str) else as_text(_field(fields, part[0])) for part in parts
    )


def as_text(value: Any) -> str:
    """A value inside a longer text: empty for null, as JSON writes it for the rest."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _compile(node: Any, known: Collection[str]) -> Fill:
    if isinstance(node, str):
        return _string(node, known)
    if isinstance(node, list):
        each = [_compile(child, known) for child in node]
        return lambda fields: [fill(fields) for fill in each]
    if isinstance(node, dict):
        pairs = [(compile_text(key, known), _compile(child, known)) for key, child in node.items()]
        return lambda fields: {key(fields): fill(fields) for key, fill in pairs}
    return lambda fields: node


def _string(text: str, known: Collection[str]) -> Fill:
    parts = _parts(text, known)
    if len(parts) == 1 and isinstance(parts[0], tuple):
        name = parts[0][0]
        return lambda fields: _field(fields, name)
    return compile_text(text, known)


def _field(fields: Fields, name: str) -> Any:
    if name.startswith("label."):
        return fields["labels"].get(name[6:])
    return fields[name]


def _parts(text: str, known: Collection[str]) -> list[str | tuple[str]]:
    """Text and (placeholder,) in turn."""
    parts: list[str | tuple[str]] = []
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() > at:
            parts.append(text[at : match.start()])
        at = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match[1] is None:
            raise TemplateError(f"a single {match[0]} in {text!r}; write it twice")
        elif match[1] not in known and not match[1].startswith("label."):
            raise TemplateError(f"{{{match[1]}}} is no placeholder here")
        else:
            parts.append((match[1],))
    if at < len(text):
        parts.append(text[at:])
    return parts
