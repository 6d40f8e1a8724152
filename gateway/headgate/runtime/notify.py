"""Telling systemd: ready, what we do, and that we are alive. Source: sd_notify(3).

The watchdog is fed only while channels, writer and uplinks make progress: a process whose loop turns
but whose road is blocked is restarted like one that hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from headgate.env import Env

log = logging.getLogger(__name__)

#: True while a part of the road makes progress or rightly has nothing to do.
Alive = Callable[[], bool]


class Notifier:
    """Sends READY, STATUS, WATCHDOG and STOPPING to the service manager, when there is one."""

    def __init__(self, env: Env, parts: Mapping[str, Alive]) -> None:
        self._address = env.variable("NOTIFY_SOCKET")
        self._env = env
        self._parts = parts
        usec = env.variable("WATCHDOG_USEC")
        # Half the watchdog time, as sd_watchdog_enabled(3) advises.
        self._every_s = int(usec) / 2_000_000 if usec and usec.isdigit() and int(usec) > 0 else None
        self._task: asyncio.Task[None] | None = None

    def ready(self, text: str) -> None:
        """The road is open. Starts feeding the watchdog."""
        self._send(f"READY=1\nSTATUS={text}")
        if self._address and self._every_s:
            self._task = asyncio.get_running_loop().create_task(self._feed(), name="watchdog")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    async def stopping(self) -> None:
        """We are on our way out."""
        self._send("STOPPING=1")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def stuck(self) -> list[str]:
        """Names of the parts that make no progress."""
        return [name for name, alive in self._parts.items() if not alive()]

    async def _feed(self) -> None:
        assert self._every_s is not None
        while True:
            stuck = self.stuck()
            if stuck:
                log.error("watchdog not fed", extra={"stuck": stuck})
            else:
                self._send("WATCHDOG=1")
            await asyncio.sleep(self._every_s)

    def _send(self, message: str) -> None:
        if self._address:
            self._env.net.datagram_unix(self._address, message.encode())
