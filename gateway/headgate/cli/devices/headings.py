"""What the columns of a device list are called, in Chinese and in English.

A heading is compared without case, spaces, `_`, `-` and full-width forms. `label.X` and `param.X`
(标签.X, 参数.X) keep X as it is written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from headgate.cli.devices.table import Table
from headgate.config.decode import fields_of, nearest
from headgate.config.field import Device
from headgate.errors import Problem

#: Columns by key of the site file, the Chinese heading that `export` writes first.
NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("设备编号", "编号", "设备id", "device", "device id"),
    "name": ("名称", "设备名称", "显示名称"),
    "channel": ("通道", "通道编号", "channel id"),
    "channel_url": ("通道地址", "连接地址", "channel url", "url"),
    "address": ("地址", "设备地址", "从站号", "站号", "unit", "unit id", "slave"),
    "line": ("串口参数",),
    "profile": ("设备型号", "型号", "model"),
    "firmware": ("固件版本", "固件", "firmware version"),
    "interval": ("采集周期", "周期"),
    "timeout": ("超时", "应答超时"),
    "retries": ("重试次数", "重试"),
    "enabled": ("启用", "是否启用"),
    "on_start_failure": ("启动失败时",),
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "labels", "标签"),
    "param": ("param", "params", "参数"),
}
#: What a list must have: of each set one.
NEEDED = (("id",), ("address",), ("profile",), ("channel", "channel_url"))


def _plain(heading: str) -> str:
    text = unicodedata.normalize("NFKC", heading).casefold()
    return "".join(c for c in text if c not in " \t\n\r_-*")


_KEYS = {
    _plain(name): key
    for key in ("channel_url", *(f for f in fields_of(Device) if f not in ("labels", "params")))
    for name in (key, *NAMES.get(key, ()))
}


def columns_of(table: Table, problems: list[Problem]) -> dict[int, str]:
    """The key of each column: "id", "interval", "label.station", "param.f0".

    What is unknown, said twice or missing is added to `problems`; a column without heading must be empty.
    """
    found: dict[int, str] = {}
    line = table.headings.line
    for column, cell in enumerate(table.headings.cells):
        if not cell.text:
            continue
        key = _key(cell.text)
        if key is None:
            fields: dict[str, str | int | float] = {
                "heading": cell.text,
                "nearest": nearest(_plain(cell.text), _KEYS) or "id, address, profile, label.X",
            }
            problems.append(Problem(table.where(line, column), "HG-9207", fields))
        elif key in found.values():
            first = next(letters for letters, k in found.items() if k == key)
            at = table.where(line, first)
            problems.append(
                Problem(table.where(line, column), "HG-9208", {"key": key, "first": at})
            )
        else:
            found[column] = key
    for choices in NEEDED:
        if not set(choices) & set(found.values()):
            names = ", ".join(f"{key} ({NAMES[key][0]})" for key in choices)
            problems.append(Problem(table.where(line), "HG-9209", {"names": names}))
    return found


def _key(heading: str) -> str | None:
    text = unicodedata.normalize("NFKC", heading).strip()
    group, dot, rest = text.partition(".")
    for name, words in GROUPS.items():
        if dot and rest.strip() and _plain(group) in words:
            return f"{name}.{rest.strip()}"
    return _KEYS.get(_plain(text))
