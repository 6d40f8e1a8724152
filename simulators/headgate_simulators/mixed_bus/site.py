"""The lines as a site.toml fragment, so that a gateway can be pointed at them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def site_fragment(devices: Iterable[Mapping[str, Any]], interval: str = "1s") -> str:
    """`[[channel]]` and `[[device]]` tables of a bus's `description`.

    A unit whose settings are not those of its line has them in its own entry.
    """
    settings: dict[str, str] = {}
    tables = []
    for device in devices:
        line = device["line"]
        if line not in settings:
            settings[line] = device["settings"]
            tables.append(
                f'[[channel]]\nid = "{line}"\nurl = "{device["url"]}"\ntimeout = "500ms"\n'
            )
        fields = {
            "id": device["id"], "name": device["name"], "channel": line,
            "address": device["unit"], "profile": device["model"], "interval": interval,
        }  # fmt: skip
        if device["firmware"]:
            fields["firmware"] = device["firmware"]
        if device["settings"] != settings[line]:
            fields["line"] = device["settings"]
        rows = "".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items()
        )
        if device["params"]:
            inside = ", ".join(f"{key} = {value}" for key, value in device["params"].items())
            rows += f"params = {{ {inside} }}\n"
        tables.append(f"[[device]]\n{rows}")
    return "\n".join(tables)
