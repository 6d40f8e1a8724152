"""Where polled blocks go, and what happens when there is no room."""

from __future__ import annotations

import asyncio
from typing import Protocol

from headgate.model import Alarm, Block, Event, Gap, Plan
from headgate.sdk import Device


class Sink(Protocol):
    """What takes blocks from the channel workers: the pipeline's end, the writer's beginning."""

    def put(self, block: Block, device: Device) -> bool:
        """Take a block. False, at once, when there is no room: the look is then lost, and told."""
        ...

    def put_item(self, item: Gap | Event | Plan | Alarm) -> None:
        """Take an item that is never refused; there are few of them."""
        ...

    async def room(self) -> None:
        """Return when `put` takes blocks again."""
        ...


class Gate:
    """Shut from a refused `put` until the sink has room: nobody asks a device meanwhile."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.shut = False
        self._watched = False
        self._opened = asyncio.Event()

    def close(self) -> None:
        """The sink refused."""
        self.shut = True
        self._opened.clear()

    async def wait(self) -> None:
        """Return when the gate is open. The first who waits asks the sink, for all."""
        while self.shut:
            if self._watched:
                await self._opened.wait()
                continue
            self._watched = True
            try:
                await self.sink.room()
                self.shut = False
            finally:
                # Also when cancelled: then another waiter takes over.
                self._watched = False
                self._opened.set()
                if self.shut:
                    self._opened = asyncio.Event()
