"""A second centre that frames are handed on to: it answers whatever it hears, and counts.

python tests/kit/second_centre.py    says its port, and at SIGTERM what it heard
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
from typing import cast


class Centre:
    """What was heard: pieces, and how many of them for the second time."""

    def __init__(self) -> None:
        self.frames = self.again = self.connections = 0
        self._seen: set[bytes] = set()

    def heard(self, data: bytes) -> None:
        """A frame: as each is answered before the next, they come one at a time."""
        self.frames += 1
        name = hashlib.blake2b(data, digest_size=12).digest()
        self.again += name in self._seen
        self._seen.add(name)


class Line(asyncio.Protocol):
    """One station's connection."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        centre.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._centre.heard(data)
        self._transport.write(b"\x06")


async def main() -> None:
    """Serve until SIGTERM."""
    centre, stop = Centre(), asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(centre), "127.0.0.1", 0, backlog=1024)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    heard = {"frames": centre.frames, "again": centre.again, "connections": centre.connections}
    sys.stdout.write(json.dumps(heard) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
