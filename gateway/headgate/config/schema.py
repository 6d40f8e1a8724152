"""The JSON Schema of a site file and its reference page, made from the types."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from headgate.config.decode import Field, expected_name, fields_of, is_optional, unwrap
from headgate.config.site import SCHEMA, Site
from headgate.config.values import Duration, HostPort, SecretRef, Size, Url

_TEXTS: dict[type, dict[str, Any]] = {
    Duration: {
        "type": "string",
        "pattern": r"^[0-9]+(\.[0-9]+)? ?(us|ms|s|min|h|d)$",
        "examples": ["250ms", "5s", "1min"],
    },
    Size: {
        "type": "string",
        "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)$",
        "examples": ["64KiB", "4GiB"],
    },
    Url: {
        "type": "string",
        "pattern": "^[a-z][a-z0-9+.-]*://",
        "examples": ["modbus+tcp://10.0.3.21:502"],
    },
    HostPort: {"type": "string", "examples": ["127.0.0.1:9469"]},
    SecretRef: {
        "type": "string",
        "pattern": "^(env|file|systemd):.+$",
        "examples": ["env:MQTT_PASSWORD"],
    },
}
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a site file, for editors: Taplo, VS Code's Even Better TOML."""
    made = _struct(Site)
    made["properties"]["schema"] = {"const": SCHEMA}
    made["required"] = ["schema", *made["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://headgate.example/schema/site-1.json",
        "title": "Headgate site file",
        **made,
    }


def _struct(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = [f for f in fields_of(kind).values() if not f.hidden]
    shown = [f for f in fields if not f.rest]
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "properties": {f.name: _field(f) for f in shown},
        "required": [f.name for f in shown if f.required],
        "additionalProperties": any(f.rest for f in fields),
    }


def _field(field: Field) -> dict[str, Any]:
    made = _any(field.annotation)
    written = default_text(field)
    if written is not None and not field.required:
        made["default"] = written
    return made


def _any(annotation: Any) -> dict[str, Any]:
    base, metas = unwrap(annotation)
    origin = get_origin(base)
    made: dict[str, Any]
    if base in _TEXTS:
        made = dict(_TEXTS[base])
    elif origin is Literal:
        made = {"enum": list(get_args(base))}
    elif origin in (Union, UnionType):
        made = {"anyOf": [_any(a) for a in get_args(base)]}
    elif origin is tuple:
        made = {"type": "array", "items": _any(get_args(base)[0])}
    elif origin is dict:
        made = {"type": "object", "additionalProperties": _any(get_args(base)[1])}
    elif isinstance(base, type) and issubclass(base, msgspec.Struct):
        made = _struct(base)
    else:
        made = {"type": _PLAIN[base]} if base in _PLAIN else {}
    for meta in metas:
        made.update(_rules(meta))
    return made


def _rules(meta: Meta) -> dict[str, Any]:
    given = {
        "description": meta.description,
        "pattern": meta.pattern,
        "minimum": meta.ge,
        "maximum": meta.le,
        "minLength": meta.min_length,
        "maxLength": meta.max_length,
    }
    zh = (meta.extra or {}).get("zh")
    if zh and meta.description:
        given["description"] = f"{meta.description} {zh}"
    return {key: value for key, value in given.items() if value is not None}


def default_text(field: Field) -> Any:
    """A field's default as it would stand in the file; None when nothing would."""
    value = field.default
    if isinstance(value, (Duration, Size, Url, HostPort, SecretRef)):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, msgspec.Struct):
        return None
    return value


def reference_page() -> str:
    """`docs/reference/site.md`: every table and key, from the same types that check a file."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# The site file: every key"
    yield ""
    yield "站点文件参考：所有表和键。This page is made from the types that check a file (`make docs`)."
    yield "How to write one is told in [the site file](../operate/site-file.md)."
    yield ""
    yield f"A file begins with `schema = {SCHEMA}`."
    for name, field in fields_of(Site).items():
        base, metas = unwrap(field.annotation)
        listed = get_origin(base) is tuple
        kind = get_args(base)[0] if listed else base
        if field.hidden or not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            continue
        english, chinese = _doc(metas)
        yield ""
        yield f"## `[[{name}]]`" if listed else f"## `[{name}]`"
        yield ""
        yield f"{(kind.__doc__ or english).strip()} {chinese}"
        yield ""
        yield "| key | value | default | meaning |"
        yield "|---|---|---|---|"
        for part in fields_of(kind).values():
            if not part.rest:
                yield _row(part)


def _row(field: Field) -> str:
    _, metas = unwrap(field.annotation)
    english, chinese = _doc(metas)
    value = expected_name(field.annotation).replace("|", "or")
    for meta in metas:
        extra = meta.extra or {}
        if "low" in extra:
            value += f", {extra['low']} to {extra['high']}"
        if meta.ge is not None:
            value += f", {meta.ge} to {meta.le}"
        if "rule" in extra:
            value += f", {extra['rule']}"
    written = default_text(field)
    default = (
        "**required**"
        if field.required
        else ""
        if written in (None, "", [], {})
        else f"`{_toml(written)}`"
    )
    if is_optional(field.annotation) and written is None:
        default = "absent"
    return f"| `{field.name}` | {value} | {default} | {english} {chinese} |"


def _doc(metas: tuple[Meta, ...]) -> tuple[str, str]:
    for meta in reversed(metas):
        if meta.description:
            return meta.description, (meta.extra or {}).get("zh", "")
    return "", ""


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else msgspec.json.encode(value).decode()
