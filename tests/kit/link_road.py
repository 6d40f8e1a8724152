"""The whole road on one machine: gauges, a gateway in this process, a broker, a receiver as a program.

The links to the broker are the test's own; the PKI is what `headgate certs dev` makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from kit.running import PATIENCE_S, Site

from headgate.crypto.certs import write_development_pki
from headgate.crypto.provider import default_provider
from headgate.env import system_env

MAIN = [sys.executable, "-c", "from headgate.cli import main; main()"]
IDENTITY = """
[identity]
certificate = "pki/gateways/hg-test.crt"
key = "file:pki/gateways/hg-test.key"
ca = "pki/ca.crt"
platform_encryption = "pki/platform-encryption.crt"
platform_receipt = "pki/platform-receipt.crt"
"""
UPLINK = """
[[uplink]]
id = "city"
type = "mqtt"
url = "{url}"
reconnect_min = "100ms"
reconnect_max = "300ms"
"""


def make_pki(folder: Path) -> Path:
    """Keys of a gateway `hg-test` and of its platform."""
    pki = folder / "pki"
    files = system_env().files
    now = datetime.now(UTC)
    write_development_pki(pki, ["hg-test"], now=now, provider=default_provider(), files=files)
    return pki


def site(folder: Path, gauges: str, url: str, link: str) -> Site:
    """A site file with one uplink; `link` is the rest of its table."""
    return Site(folder, gauges, more=IDENTITY + UPLINK.format(url=url) + link)


class Platform:
    """`headgate receive` on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._keys, self._store = folder / "pki", folder / "readings.db"
        self.log: list[str] = []

    @asynccontextmanager
    async def running(self, broker: str, *options: str) -> AsyncIterator[None]:
        """The program, ready: its subscription stands. Ended as by SIGTERM."""
        process = await asyncio.create_subprocess_exec(
            *MAIN, "receive", "--broker", broker, "--keys", str(self._keys),
            "--store", f"sqlite:{self._store}", *options,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "HEADGATE_LANG": "en"},
        )  # fmt: skip
        assert process.stderr is not None
        ready = asyncio.Event()
        hearing = asyncio.create_task(self._hear(process.stderr, ready))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await ready.wait()
            assert self.log and "receiving" in self.log[-1], self.log
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            await hearing

    async def _hear(self, stream: asyncio.StreamReader, ready: asyncio.Event) -> None:
        while line := await stream.readline():
            self.log.append(line.decode())
            if "receiving" in self.log[-1]:
                ready.set()
        ready.set()

    def slots(self) -> dict[str, list[int]]:
        """The poll slots stored of each device, each one once, in order."""
        with contextlib.closing(sqlite3.connect(self._store)) as db:
            rows = db.execute(
                "SELECT DISTINCT device, slot FROM readings WHERE slot IS NOT NULL ORDER BY slot"
            ).fetchall()
        found: dict[str, list[int]] = {}
        for device, slot in rows:
            found.setdefault(device, []).append(slot)
        return found

    def told_missing(self) -> dict[str, int]:
        """How many looks of each device the gateway says were never made: the field's affair, no link's."""
        with contextlib.closing(sqlite3.connect(self._store)) as db:
            rows = db.execute(
                "SELECT device, coalesce(sum(looks), 0) FROM devices JOIN gaps USING (gateway, number)"
                " WHERE reason IN ('overrun', 'device-silent', 'line-down') GROUP BY device"
            ).fetchall()
        return dict(rows)

    async def until_whole(self) -> None:
        """Return when every slot between the first and the last is stored, or told as never made."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = self.told_missing()
                missing = {
                    device: slots[-1] - slots[0] + 1 - len(slots)
                    for device, slots in self.slots().items()
                }
                if all(count <= told.get(device, 0) for device, count in missing.items()):
                    return
                await asyncio.sleep(0.05)

    async def until_stored(self, devices: Sequence[str], count: int) -> None:
        """Return when every device has that many slots in the store."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = self.slots()
                if all(len(found.get(device, ())) >= count for device in devices):
                    return
                await asyncio.sleep(0.05)
