"""The street as a site.toml fragment, so that a gateway can be pointed at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def site_fragment(devices: Iterable[Mapping[str, Any]], interval: str = "10s") -> str:
    """`[[channel]]` and `[[device]]` tables of a street's `description`; `interval` is the heartbeat too."""
    channels: dict[str, str] = {}
    tables = []
    for device in devices:
        url = device["url"]
        if url not in channels:
            channels[url] = f"line-{len(channels) + 1}"
            tables.append(f'[[channel]]\nid = "{channels[url]}"\nurl = "{url}"\n')
        fields = {
            "id": device["id"], "name": device["name"], "channel": channels[url],
            "address": device["unit"], "profile": device["model"], "interval": interval,
        }  # fmt: skip
        rows = "".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items()
        )
        if device["params"]:
            inside = ", ".join(f"{key} = {value}" for key, value in device["params"].items())
            rows += f"params = {{ {inside} }}\n"
        tables.append(f"[[device]]\n{rows}")
    return "\n".join(tables)
