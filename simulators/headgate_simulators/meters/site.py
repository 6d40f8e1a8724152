"""The meters as a site.toml fragment, so that a gateway can be pointed at them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headgate_simulators.meters.electricity import Switched


def site_fragment(
    devices: Iterable[Mapping[str, Any]], interval: str = "60s", secret: str = ""
) -> str:
    """One `[[channel]]`, and a `[[device]]` for each meter of a `description`.

    `secret`: a reference to the password of the switched meters; it is never in the file itself.
    """
    rows = list(devices)
    channel = f'[[channel]]\nid = "stairs"\nurl = "{rows[0]["url"]}"\ntimeout = "1500ms"\n'
    switched = [row["address"] for row in rows if row["model"] == Switched.model]
    if secret and switched:
        table = ", ".join(f'"{address}" = {{ password = "{secret}" }}' for address in switched)
        channel += f"options = {{ meters = {{ {table} }} }}\n"
    tables = [channel]
    for row in rows:
        fields = {
            "id": row["id"], "name": row["name"], "channel": "stairs", "address": row["address"],
            "profile": row["model"], "interval": interval, "line": row["settings"],
        }  # fmt: skip
        tables.append(
            "[[device]]\n"
            + "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in fields.items())
        )
    return "\n".join(tables)
