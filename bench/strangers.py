"""Callers whom no site names, at a steady pace: they say nothing, half a frame, garbage, something else."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress

from kit.callers import PROTOCOLS

#: A report of a station that no site has, and what else they say.
NOBODY = PROTOCOLS["sl651"].report(9999, 1)
WORDS = (b"", NOBODY[:20], b"\x7e\x7e\x01" * 20, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 4)


class Strangers:
    """`async with Strangers(port, per_minute)`: the flood goes on until the block is left."""

    def __init__(self, port: int, per_minute: float, seed: int = 1) -> None:
        self._port, self._pause_s = port, 60.0 / per_minute
        self._rng = random.Random(seed)
        self._lines: deque[asyncio.StreamWriter] = deque()
        self.connected = 0

    async def __aenter__(self) -> Strangers:
        self._task = asyncio.create_task(self._flood(), name="strangers")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for line in self._lines:
            line.transport.abort()

    async def _flood(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += self._pause_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self.connected += 1
                writer.write(self._rng.choice(WORDS))
                self._lines.append(writer)
            while len(self._lines) > 150:
                self._lines.popleft().transport.abort()
