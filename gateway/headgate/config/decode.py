"""Turns parsed TOML into the types of `headgate.config.site` and reports every mistake.

The types' annotations are the rules. What is wrong is reported and left out; the caller gets a
value only when all of it is right.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from headgate.config.lines import Key
from headgate.config.values import CredentialsError, Duration, HostPort, SecretRef, Size, Url

#: Takes a place, a code and the fields of its sentence.
Report = Callable[..., None]

#: What a value that is wrong becomes; its mistake has been reported.
WRONG: Final = object()

#: Tables of a profile that people look for in a `[[device]]`: how a device speaks, its zone.
_OF_A_PROFILE = ("quirks", "frame")
_SECRET_KEY = re.compile(
    r"(?i)(?:^|_)(?:password|passphrase|secret|token|api_?key|access_?key|private_?key)$"
)
_PARSED: dict[type, tuple[str, str]] = {
    Duration: ("HG-1107", 'duration "5s"'),
    Size: ("HG-1108", 'size "64KiB"'),
    Url: ("HG-1109", "URL"),
    HostPort: ("HG-1112", '"host:port"'),
    SecretRef: ("HG-1110", 'reference "env:NAME"'),
}


class Field(msgspec.Struct, frozen=True):
    """One key of a struct: its annotation, and whether it must be there."""

    name: str
    annotation: Any
    required: bool
    default: Any
    rest: bool
    hidden: bool


@cache
def fields_of(kind: type[msgspec.Struct]) -> dict[str, Field]:
    """The keys of a struct, in order."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for info in msgspec.structs.fields(kind):
        _, metas = unwrap(hints[info.name])
        marks = {key for meta in metas for key in (meta.extra or {})}
        default = None if info.required else info.default
        if default is msgspec.NODEFAULT and info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        found[info.name] = Field(
            info.name, hints[info.name], info.required, default, "rest" in marks, "hidden" in marks
        )
    return found


def unwrap(annotation: Any) -> tuple[Any, tuple[Meta, ...]]:
    """An annotation without its wrapping, and the metas on it, innermost first. `X | None` gives X."""
    metas: tuple[Meta, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metas = (*(m for m in more if isinstance(m, Meta)), *metas)
            continue
        if get_origin(annotation) in (Union, UnionType):
            options = [a for a in get_args(annotation) if a is not NoneType]
            if len(options) == 1:
                annotation = options[0]
                continue
        return annotation, metas


def is_optional(annotation: Any) -> bool:
    """Whether None is among the values."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def type_name(value: object) -> str:
    """TOML's own word for a value's type: the same in every language."""
    if isinstance(value, bool):
        return f"boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        # Python refuses to print very long integers.
        printable = isinstance(value, float) or -(2**63) <= value < 2**63
        return f"number {value}" if printable else "number"
    if isinstance(value, str):
        return f'string "{value[:40]}"'
    if isinstance(value, (datetime, date, time)):
        return "date-time"
    return "list" if isinstance(value, list) else "table"


def expected_name(annotation: Any) -> str:
    """What belongs there, in TOML's words."""
    base, _ = unwrap(annotation)
    origin = get_origin(base)
    if base in _PARSED:
        return _PARSED[base][1]
    if origin is Literal:
        return " | ".join(f'"{choice}"' for choice in get_args(base))
    if origin in (Union, UnionType):
        return " | ".join(expected_name(a) for a in get_args(base) if a is not NoneType)
    if origin is tuple:
        return "list"
    if origin is dict or (isinstance(base, type) and issubclass(base, msgspec.Struct)):
        return "table"
    return {str: "string", int: "integer", float: "number", bool: "boolean"}.get(base, "value")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def decode(annotation: Any, value: Any, at: Key, report: Report) -> Any:
    """A value as its annotation wants it, or WRONG after reporting each mistake in it."""
    base, metas = unwrap(annotation)
    origin = get_origin(base)
    if base in _PARSED:
        return _parsed(base, is_optional(annotation), value, metas, at, report)
    if origin is Literal:
        return _choice(get_args(base), value, at, report)
    if origin in (Union, UnionType):
        return _union(annotation, base, value, at, report)
    if origin is tuple:
        return _list(base, value, at, report)
    if origin is dict:
        return _mapping(base, value, at, report)
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return decode_struct(base, value, at, report)
    if base is Any:  # a table of a plugin's own options
        return _option(str(at[-1]), value, at, report)
    return _scalar(base, value, metas, at, report)


def decode_struct(kind: type[msgspec.Struct], value: Any, at: Key, report: Report) -> Any:
    """A table as a struct, or WRONG."""
    if not isinstance(value, dict):
        report(at, "HG-1103", expected="table", found=type_name(value))
        return WRONG
    fields = fields_of(kind)
    rest = next((f.name for f in fields.values() if f.rest), None)
    known = [f.name for f in fields.values() if not f.hidden and not f.rest]
    made: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, part in value.items():
        if key in known:
            made[key] = decode(fields[key].annotation, part, (*at, key), report)
        elif rest:
            others[key] = _option(key, part, (*at, key), report)
        else:
            if key in _OF_A_PROFILE and at[:1] == ("device",):
                report((*at, key), "HG-1117", key=key)
            else:
                unknown_key(key, known, at, report)
    if rest and others:
        made[rest] = WRONG if WRONG in others.values() else others
    missing = [f for f in fields.values() if f.required and f.name not in value]
    for field in missing:
        report(at, "HG-1102", key=field.name, expected=expected_name(field.annotation))
    if (
        missing
        or any(part is WRONG for part in made.values())
        or (not rest and len(made) < len(value))
    ):
        return WRONG
    return kind(**made)


def unknown_key(key: str, known: Iterable[str], at: Key, report: Report) -> None:
    """Report a key that has no meaning there, with the one that was probably meant."""
    known = list(known)
    meant = nearest(key, known)
    if meant:
        report((*at, key), "HG-1101", key=key, nearest=meant, allowed=", ".join(known))
    else:
        report((*at, key), "HG-1100", key=key, allowed=", ".join(known))


def _parsed(
    kind: Any, optional: bool, value: Any, metas: tuple[Meta, ...], at: Key, report: Report
) -> Any:
    code, expected = _PARSED[kind]
    if optional and kind is HostPort and value == "off":
        return None
    if not isinstance(value, str):
        # A secret may be a number, too: never repeat it.
        found = "another type" if kind is SecretRef else type_name(value)
        report(at, "HG-1103", expected=expected, found=found)
        return WRONG
    try:
        made = kind.parse(value)
    except CredentialsError:
        report(at, "HG-1113")
        return WRONG
    except ValueError as error:
        if kind is SecretRef:
            report(at, code)
        else:
            report(at, code, value=value, reason=str(error))
        return WRONG
    for meta in metas:
        extra = meta.extra or {}
        if "low" in extra and not kind.parse(extra["low"]) <= made <= kind.parse(extra["high"]):
            report(at, "HG-1106", value=value, low=extra["low"], high=extra["high"])
            return WRONG
    return made


def _choice(choices: tuple[Any, ...], value: Any, at: Key, report: Report) -> Any:
    if not isinstance(value, str):
        report(at, "HG-1103", expected="string", found=type_name(value))
        return WRONG
    if value in choices:
        return value
    meant = nearest(value, choices, 0.5)
    if meant:
        report(at, "HG-1105", value=value, nearest=meant, allowed=", ".join(choices))
    else:
        report(at, "HG-1104", value=value, allowed=", ".join(choices))
    return WRONG


def _union(annotation: Any, base: Any, value: Any, at: Key, report: Report) -> Any:
    for option in get_args(base):
        plain, _ = unwrap(option)
        # bool is an int to Python, and not to anybody else.
        if type(value) is plain:
            return decode(option, value, at, report)
    report(at, "HG-1103", expected=expected_name(annotation), found=type_name(value))
    return WRONG


def _list(base: Any, value: Any, at: Key, report: Report) -> Any:
    if not isinstance(value, list):
        report(at, "HG-1103", expected="list", found=type_name(value))
        return WRONG
    inner = get_args(base)[0]
    made = [decode(inner, part, (*at, index), report) for index, part in enumerate(value)]
    return WRONG if any(part is WRONG for part in made) else tuple(made)


def _mapping(base: Any, value: Any, at: Key, report: Report) -> Any:
    if not isinstance(value, dict):
        report(at, "HG-1103", expected="table", found=type_name(value))
        return WRONG
    inner = get_args(base)[1]
    made = {key: decode(inner, part, (*at, key), report) for key, part in value.items()}
    return WRONG if any(part is WRONG for part in made.values()) else made


def _scalar(base: Any, value: Any, metas: tuple[Meta, ...], at: Key, report: Report) -> Any:
    fits = {
        str: isinstance(value, str),
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, (int, float)) and not isinstance(value, bool),
    }[base]
    if not fits:
        report(at, "HG-1103", expected=expected_name(base), found=type_name(value))
        return WRONG
    if not isinstance(value, str) and not _is_finite(value):
        report(at, "HG-1115", found=type_name(value))
        return WRONG
    return WRONG if any(_breaks(meta, value, at, report) for meta in metas) else base(value)


def _breaks(meta: Meta, value: Any, at: Key, report: Report) -> bool:
    if isinstance(value, str):
        if meta.max_length is not None and len(value) > meta.max_length:
            report(at, "HG-1114", length=len(value), limit=meta.max_length)
            return True
        if meta.min_length is not None and len(value) < meta.min_length:
            report(at, "HG-1111", value=value, rule='""')
            return True
        if meta.pattern is not None and not re.search(meta.pattern.replace("$", r"\Z"), value):
            report(at, "HG-1111", value=value, rule=(meta.extra or {}).get("rule", meta.pattern))
            return True
        return False
    if (meta.ge is not None and value < meta.ge) or (meta.le is not None and value > meta.le):
        report(at, "HG-1106", value=value, low=meta.ge, high="∞" if meta.le is None else meta.le)
        return True
    return False


def _option(key: str, value: Any, at: Key, report: Report) -> Any:
    """An option of a plugin: any plain value; secrets among them by reference only."""
    if _SECRET_KEY.search(key):
        return decode(SecretRef, value, at, report)
    if isinstance(value, dict):
        made = {name: _option(name, part, (*at, name), report) for name, part in value.items()}
        return WRONG if any(part is WRONG for part in made.values()) else made
    if isinstance(value, list):
        parts = [_option("", part, (*at, index), report) for index, part in enumerate(value)]
        return WRONG if any(part is WRONG for part in parts) else parts
    if isinstance(value, (str, bool)) or (isinstance(value, (int, float)) and _is_finite(value)):
        return value
    report(at, "HG-1115", found=type_name(value))
    return WRONG


def _is_finite(value: int | float) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return math.isfinite(value)
