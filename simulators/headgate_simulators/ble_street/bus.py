"""A D-Bus of one's own: a dbus-daemon as a child process, on a socket in a folder that goes with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """`async with PrivateBus() as bus`: `bus.address` is what DBUS_SYSTEM_BUS_ADDRESS wants."""

    def __init__(self) -> None:
        self.address = ""
        self._folder = ""
        self._daemon: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> PrivateBus:
        config = self._prepare()
        try:
            self._daemon = await asyncio.create_subprocess_exec(
                "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog",
                "--print-address=1", stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ),
            )  # fmt: skip
            assert self._daemon.stdout is not None
            said = (await self._daemon.stdout.readline()).decode().strip()
            if not said:
                raise OSError("dbus-daemon ended before it listened")
        except BaseException:
            await self.__aexit__()
            raise
        self.address = said
        return self

    async def __aexit__(self, *_: object) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            if daemon.returncode is None:
                daemon.terminate()
            await daemon.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> Path:
        # Short on purpose: a socket's path has 108 bytes.
        self._folder = tempfile.mkdtemp(prefix="ble-")
        config = Path(self._folder) / "bus.conf"
        config.write_text(_CONFIG.format(path=Path(self._folder) / "bus"), encoding="utf-8")
        return config
