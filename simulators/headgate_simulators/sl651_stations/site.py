"""The stations as a site.toml fragment, so that a gateway listens for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

#: The channel of each kind: one site holds both.
CHANNELS = {"river": "stations", "pump": "pump-stations"}


def site_fragment(
    devices: Iterable[Mapping[str, Any]],
    url: str,
    interval: str = "5min",
    channel: str = "stations",
) -> str:
    """One `[[channel]]` at `url`, and a `[[device]]` for each station of a farm's `description`."""
    tables = [f'[[channel]]\nid = "{channel}"\nurl = "{url}"\n']
    for device in devices:
        fields = {
            "id": device["id"], "name": device["name"], "channel": channel,
            "address": device["address"], "profile": device["model"], "interval": interval,
        }  # fmt: skip
        rows = (
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items()
        )
        tables.append("[[device]]\n" + "".join(rows))
    return "\n".join(tables)
