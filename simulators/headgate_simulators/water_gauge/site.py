"""The farm as a site.toml fragment, so that a gateway can be pointed at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_SCHEME = "modbus+tcp"


def site_fragment(devices: Iterable[Mapping[str, Any]], interval: str = "1s") -> str:
    """`[[channel]]` and `[[device]]` tables of a farm's `description`, one channel per port."""
    lines: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for device in devices:
        lines.setdefault((device["host"], device["port"]), []).append(device)
    tables = []
    for number, ((host, port), behind) in enumerate(lines.items(), 1):
        channel = behind[0]["id"] if len(behind) == 1 else f"line-{number:03d}"
        at = f"[{host}]" if ":" in host else host
        tables.append(_table("channel", {"id": channel, "url": f"{_SCHEME}://{at}:{port}"}))
        tables.extend(_table("device", _device(device, channel, interval)) for device in behind)
    return "\n".join(tables)


def _device(device: Mapping[str, Any], channel: str, interval: str) -> dict[str, Any]:
    return {
        "id": device["id"],
        "name": device["name"],
        "channel": channel,
        "address": device["unit"],
        "profile": device["model"],
        "firmware": device["firmware"],
        "interval": interval,
        "params": device["params"],
    }


def _table(name: str, fields: Mapping[str, Any]) -> str:
    rows = "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items())
    return f"[[{name}]]\n{rows}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value, ensure_ascii=False)  # TOML's basic strings and numbers are JSON's
