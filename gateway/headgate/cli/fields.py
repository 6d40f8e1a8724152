"""Any frozen struct as lines for a person, or as data for a program: names, values, what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

#: Numbers under these names are written in hex in every standard.
_IN_HEX = frozenset({"function", "code", "afn", "control", "command", "kind", "type"})
#: What a struct works out of its fields and a person wants to see, in this order.
_WORKED_OUT = (
    "name",
    "value",
    "values",
    "at",
    "sent_at",
    "text",
    "bits",
    "records",
    "alarms",
    "states",
    "acts",
    "on",
)
_INDENT = "  "


def fields_of(struct: Any, indent: str = _INDENT) -> Iterator[str]:
    """`name  value` a line; what holds more stands below, further in. What is empty is left out."""
    shown = [(name, value) for name, value in _items(struct) if not _empty(value)]
    width = max((len(name) for name, value in shown if not _holds_more(value)), default=0)
    for name, value in shown:
        if isinstance(value, msgspec.Struct):
            yield f"{indent}{name}"
            yield from fields_of(value, indent + _INDENT)
        elif _holds_more(value):
            yield f"{indent}{name}"
            for each in value:
                yield from _member(each, indent + _INDENT)
        else:
            yield f"{indent}{name:<{width}}  {word(value, name)}"


def _member(struct: Any, indent: str) -> Iterator[str]:
    items = [(name, value) for name, value in _items(struct) if not _empty(value)]
    here = "  ".join(f"{name} {word(v, name)}" for name, v in items if not _holds_more(v))
    yield f"{indent}{type(struct).__name__.lower()}  {here}".rstrip()
    for name, value in items:
        if isinstance(value, msgspec.Struct):
            yield f"{indent}{_INDENT}{name}"
            yield from fields_of(value, indent + 2 * _INDENT)
        elif _holds_more(value):
            yield f"{indent}{_INDENT}{name}"
            for each in value:
                yield from _member(each, indent + 2 * _INDENT)


def _items(struct: Any) -> Iterator[tuple[str, Any]]:
    own = struct.__struct_fields__
    for name in own:
        yield name, getattr(struct, name)
    for name in _WORKED_OUT:
        if name not in own and isinstance(getattr(type(struct), name, None), property):
            yield name, getattr(struct, name)


def _holds_more(value: Any) -> bool:
    if isinstance(value, msgspec.Struct):
        return True
    return isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value)


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | bytes | tuple | dict) and not value)


def word(value: Any, name: str = "") -> str:
    """One value as a person reads it; `name` is what it stands under."""
    if isinstance(value, Enum):
        return f"{value.name.lower()} ({word(value.value, name)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name in _IN_HEX:
        return f"{value:02X}H"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex(" ")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, tuple):
        return ", ".join("-" if each is None else word(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {word(each)}" for key, each in value.items())
    return str(value)


def plain(value: Any) -> Any:
    """The same as JSON can hold it: bytes in hex, times as text, everything that is there."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(each) for name, each in _items(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [plain(each) for each in value]
    return value
