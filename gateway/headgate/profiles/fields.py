"""Tables of a profile into structs, one key at a time, so that all mistakes come together."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from headgate.errors import Problem
from headgate.profiles.lines import Path, line_of
from headgate.profiles.units import is_ucum, meant

T = TypeVar("T", bound=msgspec.Struct)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    # Cached: msgspec evaluates the annotations anew at each call, a third of a millisecond per point.
    return msgspec.structs.fields(kind)


class Report:
    """Mistakes and notices of one file, each with its line."""

    def __init__(self, file: str, lines: dict[Path, int]) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.notices: list[Problem] = []
        #: Where the keys stand that a table inherits: the base point of a variant's point.
        self.inherits: dict[Path, Path] = {}
        self._lines = lines

    def where(self, path: Path) -> str:
        """`file:line: key`, as editors like it."""
        for own, base in self.inherits.items():
            inherited = (*base, *path[len(own) :])
            if path[: len(own)] == own and path not in self._lines and inherited in self._lines:
                path = inherited
        keys = [part if isinstance(part, str) else f"[{part + 1}]" for part in path]
        dotted = ".".join(keys).replace(".[", "[")
        return f"{self.file}:{line_of(path, self._lines)}" + (f": {dotted}" if dotted else "")

    def problem(self, path: Path, code: str, **fields: str | int | float) -> None:
        """Something that must be mended."""
        found = Problem(self.where(path), code, fields)
        # A point that every variant inherits is looked at once per variant.
        if found not in self.problems:
            self.problems.append(found)

    def notice(self, path: Path, code: str, **fields: str | int | float) -> None:
        """Something that a person should know."""
        found = Problem(self.where(path), code, fields)
        if found not in self.notices:
            self.notices.append(found)


def nearest(word: object, known: Iterable[str]) -> str:
    """The known word that was probably meant, or a dash."""
    near = difflib.get_close_matches(str(word), list(known), 1, 0.6)
    return near[0] if near else "-"


def keys_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The TOML keys of a struct."""
    return tuple(field.encode_name for field in _fields(kind))


def unknown_keys(
    report: Report, path: Path, table: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Report every key of `table` that is not among `known`."""
    words = sorted(known)
    for key in table:
        if key not in words:
            report.problem(
                (*path, key),
                "HG-8006",
                key=key,
                nearest=nearest(key, words),
                allowed=", ".join(words),
            )


def check_unit(report: Report, path: Path, unit: str) -> None:
    """Report a unit that is no UCUM code."""
    if not is_ucum(unit):
        report.problem(path, "HG-8009", unit=unit, nearest=meant(unit) or "-")


def build(
    report: Report, path: Path, table: Mapping[str, Any], kind: type[T], **ready: Any
) -> T | None:
    """A `kind` of the keys in `table`, None when something is wrong or missing (reported).

    `ready` are fields that the caller has built already. Unknown keys are the caller's business.
    """
    fields = [f for f in _fields(kind) if f.name not in ready]
    try:
        given = {f.encode_name: table[f.encode_name] for f in fields if f.encode_name in table}
        return msgspec.structs.replace(msgspec.convert(given, kind), **ready)
    except msgspec.ValidationError:
        pass  # msgspec stops at the first mistake: look again, key by key
    values: dict[str, Any] = {}
    good = True
    for field in fields:
        if field.encode_name in table:
            value = table[field.encode_name]
            try:
                values[field.name] = msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                good = False
                _wrong(report, (*path, field.encode_name), field.encode_name, value, field.type)
        elif field.required:
            good = False
            report.problem(path, "HG-8005", key=field.encode_name)
    return kind(**values, **ready) if good else None


def _wrong(report: Report, path: Path, key: str, value: object, kind: Any) -> None:
    words = choices(kind)
    shown = str(value)[:60]
    if words and isinstance(value, str):
        report.problem(
            path,
            "HG-8008",
            key=key,
            value=shown,
            nearest=nearest(value, words),
            allowed=", ".join(words),
        )
    else:
        report.problem(path, "HG-8007", key=key, value=shown, allowed=allowed(kind))


def choices(kind: Any) -> tuple[str, ...]:
    """The words a key may hold, empty when it is not a choice between words."""
    if get_origin(kind) is Literal:
        return tuple(str(word) for word in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(member.value) for member in kind)
    return ()


def allowed(kind: Any) -> str:
    """What a key may hold, in the words of TOML."""
    origin, parts = get_origin(kind), get_args(kind)
    if words := choices(kind):
        return " | ".join(f'"{word}"' for word in words)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(allowed(part) for part in parts if part is not type(None)))
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return f"[{allowed(parts[0])}, ...]"
        return "[" + ", ".join(allowed(part) for part in parts) + "]"
    if origin is dict:
        return "{ key = " + allowed(parts[1]) + " }"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "{ " + ", ".join(keys_of(kind)) + " }"
    return {str: '"text"', int: "1", float: "1.5", bool: "true | false"}.get(kind, str(kind))
