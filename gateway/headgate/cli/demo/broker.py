"""The demo's broker: mosquitto where it is installed, else one in Python.

`python -m headgate.cli.demo.broker PORT` is the latter as a program: a process of its own, so that
taking it away takes away everything it knew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from headgate.cli.demo.child import Child
from headgate.errors import HeadgateError

BrokerKind = Literal["mosquitto", "amqtt"]
#: Where Debian puts it, which is not on the path of everybody.
_SBIN = "/usr/sbin"


class Broker:
    """A broker on one port of loopback that can be taken away and brought back."""

    def __init__(self, folder: Path, port: int, kind: BrokerKind | None = None) -> None:
        self.port = port
        found = None if kind == "amqtt" else mosquitto()
        if found is None and kind == "mosquitto":
            raise HeadgateError("mosquitto is not installed", code="HG-9514")
        self.name = "mosquitto" if found else "amqtt"
        #: The embedded one speaks MQTT 3.1.1 only.
        self.version = "5" if found else "3.1.1"
        log = folder / "broker.log"
        if found is None:
            self.child = Child.module("broker", "headgate.cli.demo.broker", [str(port)], log)
        else:
            settings = folder / "mosquitto.conf"
            user = ["user root"] if os.getuid() == 0 else []
            lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false"]
            lines += ["max_queued_messages 0", "set_tcp_nodelay true", *user, ""]
            settings.write_text("\n".join(lines), encoding="utf-8")
            self.child = Child.program("broker", [found, "-c", str(settings)], log)

    @property
    def url(self) -> str:
        """Where it is, for whoever connects."""
        query = "" if self.version == "5" else "?version=3.1.1"
        return f"mqtt://127.0.0.1:{self.port}{query}"

    async def start(self) -> None:
        """Return when it takes connections.

        Raises:
            HeadgateError: it ended instead.
        """
        await self.child.start()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.child.check()
                await asyncio.sleep(0.02)
            else:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                return

    async def stop(self) -> None:
        """Take it away: nothing that it held is kept."""
        await self.child.kill()


def mosquitto() -> str | None:
    """Path of mosquitto; None where there is none."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}{_SBIN}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(port: int) -> None:
    from amqtt.broker import Broker as Amqtt

    broker = Amqtt(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
