"""One thing at a time for each device: what waits, in order, and a turn for whoever stands at the box."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from headgate.runtime.commands.hands import Job

log = logging.getLogger(__name__)

MOST_WAITING: Final = 8


class Lane:
    """Commands for one device.

    `lock` is held by whatever is being done to it: a command of the queue, a local write, the end of a lease.
    It is fair, and the queue asks for it anew for each command: nobody at the box waits for more than one.
    """

    def __init__(self, device: str, work: Callable[[Job], Awaitable[object]]) -> None:
        self.device = device
        self.lock = asyncio.Lock()
        self.waiting: deque[Job] = deque()
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self.busy = False

    @property
    def full(self) -> bool:
        """Whether the queue has no room."""
        return len(self.waiting) >= MOST_WAITING

    def put(self, job: Job) -> None:
        """Take an accepted command; it is done in its turn."""
        self.waiting.append(job)
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name=f"commands {self.device}")

    def withdraw(self, wanted: Callable[[Job], bool]) -> Iterator[Job]:
        """Take the jobs out of the queue that are `wanted`."""
        for job in [job for job in self.waiting if wanted(job)]:
            self.waiting.remove(job)
            yield job

    async def _run(self) -> None:
        while self.waiting:
            async with self.lock:
                if not self.waiting:
                    return
                job = self.waiting.popleft()
                self.busy = True
                try:
                    await self._work(job)
                except Exception:
                    # One command that meets a bug must not stop the next; its state stays "executing".
                    log.exception("a command was not carried out to its end")
                finally:
                    self.busy = False

    async def stop(self, patience_s: float) -> None:
        """Let the one in hand end; what waits stays undone."""
        self.waiting.clear()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=patience_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
