"""The same loggers as a fragment of a site file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def site_fragment(devices: Sequence[dict[str, Any]], interval: str = "30s") -> str:
    """A `[[channel]]` that listens where they dial, and a `[[device]]` for each."""
    host, port = devices[0]["host"], devices[0]["port"]
    host = f"[{host}]" if ":" in host else host
    parts = [f'[[channel]]\nid = "loggers"\nurl = "hj212+listen://{host}:{port}"\n']
    parts += [
        f'[[device]]\nid = "{each["id"]}"\nname = "{each["name"]}"\nchannel = "loggers"\n'
        f'address = "{each["mn"]}"\nprofile = "{each["model"]}"\ninterval = "{interval}"\n'
        for each in devices
    ]
    return "\n".join(parts)
