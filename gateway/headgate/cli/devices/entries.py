"""From a row of a list to an entry of the site file: each cell as the kind of value its key wants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.cli.devices.owned import Entry
from headgate.cli.devices.table import Cell, Row, Table
from headgate.config.decode import fields_of
from headgate.config.field import Device
from headgate.errors import Problem
from headgate.profiles import Library

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?")
_YES = {"true", "yes", "y", "1", "是", "启用"}
_NO = {"false", "no", "n", "0", "否", "停用"}
#: Larger ones are meter numbers: names made of digits.
_LARGEST_UNIT = 2**31

_ORDER = tuple(fields_of(Device))


class Wish(msgspec.Struct, frozen=True):
    """What one row wants: its device, the keys that its list has columns for, the channel's URL.

    A key with the value None is to be absent: its cell is empty.
    """

    id: str
    line: int
    keys: dict[str, Any]
    labels: dict[str, Any]
    params: dict[str, Any]
    url: str = ""

    def over(self, old: Entry) -> dict[str, Any]:
        """The entry after this row: what its list says nothing of stays as it was."""
        merged: dict[str, Any] = {**old, "id": self.id, **self.keys}
        for table, wanted in (("labels", self.labels), ("params", self.params)):
            both = {**old.get(table, {}), **wanted}
            merged[table] = {k: v for k, v in both.items() if v is not None}
        return ordered(merged)


def ordered(entry: Entry) -> dict[str, Any]:
    """An entry with its keys in the order of the reference, and without those that say nothing."""
    return {key: entry[key] for key in _ORDER if entry.get(key) is not None and entry[key] != {}}


def wish_of(
    table: Table, row: Row, columns: Mapping[int, str], library: Library, problems: list[Problem]
) -> Wish | None:
    """What a row wants; None after adding to `problems` why it cannot be read."""
    found = len(problems)
    cells = dict.fromkeys(columns.values(), Cell(""))
    for column, cell in enumerate(row.cells):
        key = columns.get(column, "")
        if not key:
            if cell.text:
                fields: dict[str, str | int | float] = {"value": cell.text}
                problems.append(Problem(table.where(row.line, column), "HG-9210", fields))
            continue
        code = cell.wrong
        if cell.number and key == "firmware":
            code = "HG-9213"  # 1.10 has become 1.1 by now
        if code:
            problems.append(Problem(table.where(row.line, column), code, {"value": cell.text}))
        cells[key] = cell
    if not cells["id"].text:
        problems.append(Problem(table.where(row.line), "HG-9214"))
    if len(problems) > found:
        return None
    profile = library.profiles.get(cells["profile"].text if "profile" in cells else "")
    kinds = {name: param.type for name, param in profile.params.items()} if profile else {}
    wish = Wish(cells["id"].text, row.line, {}, {}, {}, cells.get("channel_url", Cell("")).text)
    for key, cell in cells.items():
        group, _, name = key.partition(".")
        if group == "label":
            wish.labels[name] = cell.text or None
        elif group == "param":
            wish.params[name] = _param(cell, kinds.get(name))
        elif key not in ("id", "channel_url"):
            wish.keys[key] = _value(key, cell)
    return wish


def text_of(value: Any) -> str:
    """A value of the site file as a cell says it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _value(key: str, cell: Cell) -> Any:
    text = cell.text
    if not text:
        return None
    if key == "address":
        small = _WHOLE.fullmatch(text) and abs(int(text)) < _LARGEST_UNIT
        return int(text) if small else text
    if key == "retries" and _WHOLE.fullmatch(text):
        return int(text)
    if key == "enabled":
        word = text.casefold()
        # Anything else stays text, and the check says what belongs there.
        return True if word in _YES else False if word in _NO else text
    return text


def _param(cell: Cell, kind: str | None) -> Any:
    text = cell.text
    if not text:
        return None
    if kind == "text":
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if kind is None and text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    return text
