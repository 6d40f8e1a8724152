"""The files in `site.d/` that a machine owns: written whole, told by their first line.

What a person wrote is never rewritten here; what a machine wrote, only a machine changes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

MARK = "# headgate: machine-owned"
_HEADER = (
    f'{MARK}, written by "headgate devices import". Do not edit: change the list and import it again.',
    "# 本文件由 headgate devices import 生成，请勿手工修改：请修改设备清单后重新导入。",
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")

#: An entry as the file has it: keys and plain values, `labels` and `params` as tables.
Entry = Mapping[str, Any]
#: A line of a rendered file: ("device", id, key), key "" for the entry as a whole.
Place = tuple[str, str, str]


class Page(msgspec.Struct, frozen=True):
    """A rendered file: its text, and what stands on each line (counted from 1)."""

    text: str
    places: dict[int, Place]


def is_owned(data: bytes) -> bool:
    """Whether a machine wrote this file."""
    return data.startswith(MARK.encode())


def entries_of(data: bytes) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Channels and devices by id. Raises ValueError when it is not what `page` writes."""
    parsed = tomllib.loads(data.decode())
    try:
        channels, devices = (
            {str(entry["id"]): entry for entry in parsed.get(kind, ())}
            for kind in ("channel", "device")
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a file of device lists: {error}") from None
    return channels, devices


def page(channels: Mapping[str, Entry], devices: Mapping[str, Entry]) -> Page:
    """The file of these entries: the same for the same entries, in whatever order they came."""
    lines = list(_HEADER)
    places: dict[int, Place] = {}

    def add(kind: str, entries: Mapping[str, Entry]) -> None:
        for name, entry in sorted(entries.items()):
            lines.extend(("", f"[[{kind}]]"))
            places[len(lines)] = (kind, name, "")
            for key, value in entry.items():
                if not isinstance(value, Mapping):
                    lines.append(f"{_key(key)} = {_value(value)}")
                    places[len(lines)] = (kind, name, key)
            for table in ("labels", "params"):
                for key, value in sorted(entry.get(table, {}).items()):
                    # Dotted keys: each has a line of its own, which a mistake in it can name.
                    lines.append(f"{table}.{_key(key)} = {_value(value)}")
                    places[len(lines)] = (kind, name, f"{table[:-1]}.{key}")

    add("channel", channels)
    add("device", devices)
    return Page("\n".join(lines) + "\n", places)


def file_for(site_main: Path, name: str) -> Path:
    """Where a list of this name lies: `site.d/imported-<name>.toml`."""
    return site_main.with_suffix(".d") / f"imported-{name}.toml"


def list_name(stem: str) -> str:
    """A list's name from its file's: letters of any script, digits, `-`; "devices" when none is left."""
    return re.sub(r"[^\w-]+", "-", stem.casefold()).strip("-_")[:60] or "devices"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped.
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    raise ValueError(f"no plain value: {value!r}")
