"""What the receiver asks of the platform's keys while it goes on: secrets to unwrap, receipts to sign.

A key in an HSM answers in milliseconds, in seconds, or not now. Each call is on its way alone, a bounded
number at once, each with a deadline. What does not come is asked for again by the gateway: it repeats a
grant that is missed, and a record that got no receipt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from headgate.envelope.receipt import Receipt, encode_body, join_receipt
from headgate.errors import SecurityError
from headgate_receiver.grants import Wrapped
from headgate_receiver.keys import KeysUnavailable, PlatformKeys

log = logging.getLogger(__name__)

#: Calls of one kind under way at once: an HSM has so many sessions.
AT_ONCE: Final = 16
#: An answer later than this is none.
DEADLINE_S: Final = 30.0
#: How long a turn waits for secrets: keys in memory answer well within.
GRACE_S: Final = 0.05
#: Calls that wait for their turn; beyond that the oldest kind of patience is the gateway's.
MAX_WAITING: Final = 10_000

Opened = tuple[Wrapped, bytes | SecurityError]
Send = Callable[[str, bytes], Awaitable[None]]


class KeyErrands:
    """Calls of one receiver. One owner; everything on the loop."""

    def __init__(self, keys: PlatformKeys) -> None:
        self._keys = keys
        self._unwrapping = asyncio.Semaphore(AT_ONCE)
        self._signing = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: dict[tuple[str, bytes, bytes], asyncio.Task[None]] = {}
        self._opened: list[Opened] = []
        self._some = asyncio.Event()

    # ------------------------------------------------------------ grants

    async def unwrap(self, wrapped: Sequence[Wrapped]) -> None:
        """Begin to unwrap, each key once; wait a moment for what comes at once."""
        begun = []
        for each in wrapped:
            if each.name in self._under_way or len(self._tasks) >= MAX_WAITING:
                continue
            task = self._begin(self._unwrap(each), "unwrap")
            self._under_way[each.name] = task
            begun.append(task)
        if begun:
            await asyncio.wait(begun, timeout=GRACE_S)

    async def _unwrap(self, wrapped: Wrapped) -> None:
        secret: bytes | SecurityError | None = None
        try:
            async with self._unwrapping, asyncio.timeout(DEADLINE_S):
                secret = await self._keys.unwrap(wrapped.certificate, wrapped.ciphertext)
        except SecurityError as error:
            secret = error
        except (KeysUnavailable, TimeoutError) as error:
            _complain(error)
        finally:
            self._under_way.pop(wrapped.name, None)
        if secret is not None:
            self._opened.append((wrapped, secret))
            self._some.set()

    async def opened(self) -> None:
        """Return when `take` has something to give."""
        await self._some.wait()

    def take(self) -> list[Opened]:
        """Secrets that have come, or why one is none; each is given once."""
        taken, self._opened = self._opened, []
        self._some.clear()
        return taken

    # ------------------------------------------------------------ receipts

    def sign(self, receipt: Receipt, send: Send) -> None:
        """Sign a receipt and send it, when the key answers. Never waits."""
        if len(self._tasks) < MAX_WAITING:
            self._begin(self._sign(receipt, send), "sign")

    async def _sign(self, receipt: Receipt, send: Send) -> None:
        body = encode_body(receipt)
        try:
            async with self._signing, asyncio.timeout(DEADLINE_S):
                signatures = await self._keys.sign(body)
        except (SecurityError, KeysUnavailable, TimeoutError) as error:
            _complain(error)
            return
        await send(f"headgate/v1/{receipt.gateway}/down/receipt", join_receipt(body, *signatures))

    # ------------------------------------------------------------ life

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call of the platform's keys", exc_info=error)

    async def stop(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._under_way.clear()  # who was stopped before it began has not left by itself
        self._opened.clear()
        self._some.clear()


def _complain(error: Exception) -> None:
    reason = str(error) or f"no answer within {DEADLINE_S:g} s"
    log.error("the platform's keys do not answer: %s", reason, extra={"code": "HG-7028"})
