"""Where polled blocks go, and what happens when there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

    async def durable(self) -> None:
        """Return when everything put in so far is on disk. Raises SpoolError."""
        ...

    async def room(self) -> None:
        """Return when `put` takes blocks again."""
        ...


class Gate:
    """Shut from a refused `put` until the sink has room: nobody asks a device meanwhile."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.shut = False
        #: Called when the gate opens again: one per line.
        self.listeners: list[Callable[[], None]] = []
        self._watch: asyncio.Task[None] | None = None

    def close(self) -> None:
        """The sink refused: wait, for all lines, until it has room."""
        if not self.shut:
            self.shut = True
            self._watch = asyncio.get_running_loop().create_task(self._reopen(), name="sink room")

    async def _reopen(self) -> None:
        await self.sink.room()
        self.shut = False
        self._watch = None
        for listener in self.listeners:
            listener()

    async def stop(self) -> None:
        """Wait for nothing any more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
