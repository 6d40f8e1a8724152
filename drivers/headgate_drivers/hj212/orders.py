"""What a platform asks of a logger on its call, and the answers to it (clause 6.5.1): 9011, then 9012."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from headgate_drivers.hj212.commands import Accepted, Done
from headgate_drivers.hj212.frames import Packet, encode
from headgate_drivers.hj212.replies import id_of, result_of

#: The standard proposes 5 s and three times; how long a logger may take to carry it out it does not say.
ANSWER_S, TRIES = 5.0, 3
RESULT_S = 60.0

Send = Callable[[bytes], Awaitable[None]]


class Orders:
    """Requests under way on one call."""

    def __init__(self, send: Send, answer_s: float = ANSWER_S, result_s: float = RESULT_S) -> None:
        self._send = send
        self._answer_s, self._result_s = answer_s, result_s
        self._asked: dict[str, asyncio.Queue[Accepted | Done | None]] = {}

    def heard(self, packet: Packet) -> None:
        """A logger's 9011 or 9012; one that nobody waits for is passed over."""
        waiting = self._asked.get(id_of(packet))
        if waiting is not None and packet.cn in ("9011", "9012") and not waiting.full():
            waiting.put_nowait(result_of(packet))

    async def ask(self, request: Packet) -> Accepted | Done | None:
        """Send a request; give how it went, what refused it, or None where no answer came.

        Raises:
            ChannelClosed: the call is over.
        """
        heard: asyncio.Queue[Accepted | Done | None] = asyncio.Queue(4)
        self._asked[id_of(request)] = heard
        try:
            for _ in range(TRIES):
                await self._send(encode(request))
                try:
                    async with asyncio.timeout(self._answer_s):
                        said = await heard.get()
                    break
                except TimeoutError:
                    continue
            else:
                return None
            # Some loggers leave 9011 out, or send both in one segment.
            if said is not Accepted.READY:
                return said
            try:
                async with asyncio.timeout(self._result_s):
                    return await heard.get()
            except TimeoutError:
                return None
        finally:
            del self._asked[id_of(request)]
