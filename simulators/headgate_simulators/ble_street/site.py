"""The street as a site.toml fragment, so that a gateway can be pointed at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def site_fragment(devices: Iterable[Mapping[str, Any]], interval: str = "5s") -> str:
    """One `[[channel]]` and a `[[device]]` for each unit of a street's `description`."""
    tables = ['[[channel]]\nid = "air"\nurl = "ble://hci0"\n']
    for device in devices:
        rows = {
            "id": device["id"], "channel": "air", "address": device["address"],
            "profile": device["model"], "interval": interval,
        }  # fmt: skip
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())
        params = ", ".join(
            f"{key} = {json.dumps(value)}" for key, value in device["params"].items()
        )
        tables.append(f"[[device]]\n{text}" + (f"params = {{ {params} }}\n" if params else ""))
    return "\n".join(tables)
