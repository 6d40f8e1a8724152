"""The whole road inside the guest: gateway, broker, receiver; and what the platform stored."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.cli.client import call
from headgate.cli.demo import child
from headgate.cli.demo.broker import Broker, free_port
from headgate.cli.demo.child import Child
from headgate.crypto.certs import write_development_pki
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
from headgate.env import system_env
from headgate.errors import HeadgateError
from rigs.guest.report import until

# Everything is translated here, instruction by instruction: ten times as slow as the machine below.
child.STOP_S = 60.0
FOLDER = Path("/run/road")
READY_S = 240.0
#: Longest wait for one thing to happen.
PATIENCE_S = 90.0
GATEWAY = "rig"

_SITE = """\
schema = 1

[gateway]
id = "{gateway}"

[state]
folder = "state"
quota = "64MiB"
ballast = "1MiB"
max_loss = "500ms"

[api]
socket = "gateway.sock"

[identity]
certificate = "pki/gateways/{gateway}.crt"
key = "file:pki/gateways/{gateway}.key"
ca = "pki/ca.crt"
platform_encryption = "pki/platform-encryption.crt"
platform_receipt = "pki/platform-receipt.crt"

[metrics]
listen = "off"

[log]
format = "text"

[[uplink]]
id = "city"
type = "mqtt"
url = "{url}"
protocol = "{version}"
reconnect_min = "100ms"
reconnect_max = "1s"

{field}
"""


class GuestRoad:
    """`async with GuestRoad(field)`: a gateway on a site whose channels and devices are `field`."""

    def __init__(self, field: str) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._field = field
        self.store = FOLDER / "platform.db"
        self.broker = Broker(FOLDER, free_port())
        site = str(FOLDER / "site.toml")
        self.gateway = Child.headgate("gateway", ["run", site], FOLDER / "gateway.log")
        receive = ["receive", "--broker", self.broker.url, "--keys", str(FOLDER / "pki")]
        receive += ["--store", f"sqlite:{self.store}"]
        self.receiver = Child.headgate("receiver", receive, FOLDER / "receiver.log")

    @property
    def children(self) -> Sequence[Child]:
        """In the order in which they end."""
        return self.gateway, self.receiver, self.broker.child

    async def __aenter__(self) -> GuestRoad:
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.gather(self.broker.start(), asyncio.to_thread(_make_keys))
                await self.receiver.start()
                site = _SITE.format(
                    gateway=GATEWAY, url=self.broker.url.partition("?")[0],
                    version=self.broker.version, field=self._field,
                )  # fmt: skip
                (FOLDER / "site.toml").write_text(site, encoding="utf-8")
                await self.gateway.start()
                while await self.ask("status") is None:
                    self.gateway.check()
                    await asyncio.sleep(0.2)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in self.children:
            await one.stop()

    async def ask(self, name: str, **arguments: Any) -> Any:
        """The gateway's answer to a call of its local API; None when it does not answer."""
        path = FOLDER / "gateway.sock"
        with suppress(HeadgateError, OSError):
            return await asyncio.to_thread(lambda: next(call(path, name, **arguments), None))
        return None

    def values(self, device: str, point: str) -> list[float]:
        """Good values of a point that the platform stored, oldest first."""
        with suppress(sqlite3.OperationalError), sqlite3.connect(self.store) as db:
            rows = db.execute(
                "SELECT value FROM readings WHERE device = ? AND point = ? AND quality = 0"
                " ORDER BY at_us", (device, point),
            )  # fmt: skip
            return [row[0] for row in rows]
        return []

    async def stored(self, device: str, point: str, more_than: int = 0) -> tuple[list[float], str]:
        """Values once there are more than so many, and how that went in words."""

        async def look() -> list[float] | None:
            for one in self.children:
                one.check()
            found = self.values(device, point)
            return found if len(found) > more_than else None

        found, after = await until(look, PATIENCE_S)
        shown = found[more_than:][:4] if found else "nothing"
        return found or [], f"{device} {point} {shown} after {after:.1f} s"

    async def line(self, channel: str, state: str) -> tuple[bool, str]:
        """Whether a channel comes to a state, and what it says of it."""

        async def look() -> Any:
            said = await self.ask("status") or {"channels": []}
            mine = [one for one in said["channels"] if one["channel"] == channel]
            return mine[0] if mine and mine[0]["state"] == state else None

        found, after = await until(look, PATIENCE_S)
        if not found:
            return False, f"never {state} within {after:.0f} s"
        return True, f"{state} after {after:.1f} s: {found['reason'] or 'no reason'}"


def _make_keys() -> None:
    env = system_env()
    write_development_pki(
        FOLDER / "pki", [GATEWAY], now=datetime.now(UTC),
        provider=default_provider(env.variable(LIBCRYPTO_VARIABLE)), files=env.files,
    )  # fmt: skip
