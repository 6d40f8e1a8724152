"""One station's connection to a second centre: what waits goes over it in order, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from headgate.env import Env
from headgate.runtime.relay_queue import RelayQueue, Waiting

#: Pauses between two tries to connect, doubling.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
#: Connections on which a frame was not answered, before the one behind it is tried.
_PATIENCE = 3
#: So far is looked behind it for one that is answered.
_LOOKS = 9


class Leg:
    """Kept going until `stop`; `more` says that something was put.

    Args:
        tries: how often a frame is sent on one connection until it is answered; 0: answers do not matter.
        done: a frame of the station arrived, by its id: what stands before it may go meanwhile.
        poison: the oldest, by its id, is not answered again and again, and the one behind it was.
    """

    def __init__(
        self,
        env: Env,
        station: str,
        queue: RelayQueue,
        place: tuple[str, int],
        timeout_s: float,
        tries: int,
        done: Callable[[str, int], None],
        poison: Callable[[str, int], None],
    ) -> None:
        self.more = asyncio.Event()
        self._env, self._station, self._queue = env, station, queue
        self._place, self._timeout_s, self._tries = place, timeout_s, tries
        self._done, self._poison = done, poison
        self._silent = 0
        self._others_do = False
        self._task = asyncio.create_task(self._keep(), name=f"relay {station}")

    async def stop(self) -> None:
        """Hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            while not self._queue.waiting(self._station):
                self.more.clear()
                await self.more.wait()
            line = None
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    _, line = await self._env.net.connect(lambda: Line(self.more), *self._place)
            if line is not None:
                try:
                    if await self._speak(line):
                        pause_s = _FIRST_PAUSE_S
                finally:
                    line.end()
            await asyncio.sleep(self._env.random.uniform(pause_s / 2, pause_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _speak(self, line: Line) -> bool:
        """Say what waits until the line ends or nobody answers. Whether anything arrived."""
        arrived = False
        while line.open:
            frame, behind = await self._next()
            if frame is None:
                if self._queue.waiting(self._station):
                    return arrived  # the disk does not give it: later
                self.more.clear()
                await self.more.wait()
                continue
            if not await self._told(line, frame.data, self._tries if frame.answered else 0):
                self._unanswered(frame.id, behind, arrived=arrived)
                return arrived
            arrived = True
            # What is left behind is tried once more, by itself, now that the centre is known to answer.
            self._others_do = bool(behind)
            self._silent = _PATIENCE + 1 if behind else 0
            self._done(self._station, frame.id)
        return arrived

    async def _next(self) -> tuple[Waiting | None, int]:
        """The oldest frame; or one behind it, where the oldest was not answered often enough."""
        if self._silent >= _PATIENCE and self._silent % 2:
            # A centre that says nothing to one frame may say something to the next: each has its turn.
            for behind in range(1, min(self._queue.waiting(self._station), _LOOKS)):
                frame = await self._queue.next(self._station, behind)
                if frame is not None and frame.answered:
                    return frame, behind
        return await self._queue.next(self._station), 0

    def _unanswered(self, number: int, behind: int, *, arrived: bool) -> None:
        if self._others_do and not behind:
            self._others_do, self._silent = False, 0
            self._poison(self._station, number)
        elif self._tries and (self._others_do or not arrived):
            self._silent += 1

    async def _told(self, line: Line, data: bytes, tries: int) -> bool:
        """Whether a frame arrived: it is answered within `tries`, or, with 0, it went out."""
        for _ in range(max(1, tries)):
            line.send(data)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await (line.heard if tries else line.gone).wait()
                    return line.open  # the end of the line is no answer
        return False


class Line(asyncio.Protocol):
    """A connection of which only matters whether it took what was said, and said anything itself."""

    def __init__(self, more: asyncio.Event) -> None:
        self.heard, self.gone = asyncio.Event(), asyncio.Event()
        self.gone.set()
        self.open = True
        self._more = more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # A frame has gone when the kernel has all of it: nothing may pile up here unread.
        self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        self.heard.set()

    def pause_writing(self) -> None:
        self.gone.clear()

    def resume_writing(self) -> None:
        self.gone.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        for event in (self.heard, self.gone, self._more):
            event.set()

    def send(self, data: bytes) -> None:
        """Send one frame; `heard` is what is said from now on."""
        self.heard.clear()
        self._transport.write(data)

    def end(self) -> None:
        """Hang up."""
        self._transport.abort()
