"""What the site file says of a `ble://` channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from headgate.sdk import Channel
from headgate.sdk.options import Options
from headgate_drivers.ble.points import Reader, identity_of, key_of
from headgate_drivers.ble.radio import Heads, Mode

#: Keys every channel has: the core's, not ours.
_CORE = (
    "url", "username", "password", "timeout_s", "connect_timeout_s", "reconnect_min_s",
    "reconnect_max_s", "ca", "client_certificate", "client_key", "server_name", "folder", "gateway",
)  # fmt: skip


class LineOptions(NamedTuple):
    """Of one channel. `keys` are bind keys by address or device id, fetched already."""

    adapter: str
    scan: str
    watchdog_s: float
    keys: Mapping[str, bytes]

    def key_for(self, device_id: str, identity: str) -> bytes | None:
        """The bind key of a device."""
        return self.keys.get(device_id) or self.keys.get(identity)


def options_of(channel: Channel) -> LineOptions:
    """What is said of a channel.

    Raises:
        ConfigError: everything that makes no sense in it.
    """
    given: Mapping[str, Any] = getattr(channel, "options", {})
    options = Options(f"channel {channel.id}", given)
    adapter = urlsplit(channel.url).netloc or "hci0"
    if not re.fullmatch(r"hci[0-9]{1,3}", adapter):
        options.problem("url", "HG-3505", url=channel.url)
    scan = options.choice("scan", ("auto", "active", "passive"), default="auto")
    watchdog_s = options.duration("watchdog", default_s=60.0, low_s=1.0, high_s=86_400.0)
    keys: dict[str, bytes] = {}
    for name, entry in options.table("bindkeys").items():
        text = entry.get("secret") if isinstance(entry, Mapping) else None
        key = key_of(text) if isinstance(text, str) else None
        if key is None:
            options.problem("bindkeys", "HG-3506", device=name)
        else:
            keys[identity_of(name) or name] = key
    options.check(_CORE)
    return LineOptions(adapter, scan, watchdog_s, keys)


def mode_of(scan: str, readers: Iterable[Reader]) -> tuple[Mode, Heads]:
    """How to scan for these devices.

    Passive listens without sending, which saves the tags' batteries and the band. It needs to be told
    how frames begin, and controllers filter what repeats: so a beacon, or a sensor to connect to, makes
    `auto` active.
    """
    known = list(readers)
    heads = tuple(dict.fromkeys(head for reader in known for head in reader.heads))
    possible = all(reader.heads for reader in known) and bool(known)
    wanted = possible and all(r.changes and not r.follows for r in known)
    if scan == "passive" or (scan == "auto" and wanted):
        return "passive", heads
    return "active", heads
