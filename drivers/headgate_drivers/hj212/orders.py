"""What a platform asks of a logger on its call, and the answers to it (clauses 6.1, 6.2 and 6.5.1).

9011 says whether it will be done, then come data, then 9012 says how it went; 9013 answers a notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from headgate.sdk import ChannelClosed
from headgate_drivers.hj212.commands import Accepted, Done
from headgate_drivers.hj212.frames import LONGEST_SAID, Packet, encode
from headgate_drivers.hj212.replies import id_of, result_of

#: Table 1 for mobile networks; 5 s on a wire.
ANSWER_S, TRIES = 10.0, 3
#: Between 9011, each packet of data and 9012. The standard names no time.
RESULT_S = 60.0
#: Packets of data that are kept to be shown; all are stored.
_MOST = 256

Send = Callable[[bytes], Awaitable[None]]


class Reply(NamedTuple):
    """How a request went: None where no answer came. `done` follows a 9011 of 1; `data` in between."""

    accepted: Accepted | None
    done: Done | None
    data: tuple[Packet, ...] = ()

    @property
    def well(self) -> bool:
        """Whether it was carried out."""
        return self.done in (Done.SUCCESS, Done.NO_DATA)


class _Open:
    """One request under way."""

    def __init__(self, request: Packet) -> None:
        self.request = request
        self.data: list[Packet] = []
        self.count = 0
        self.accepted: Accepted | None = None
        self.done: Done | None = None
        self.over = False
        self.heard = asyncio.Event()

    def answered(self) -> bool:
        """Whether the logger has said anything to the request."""
        return self.accepted is not None or self.done is not None

    def moved(self, count: int) -> bool:
        """Whether it is over, or more data have come than so many."""
        return self.done is not None or self.count > count


class Orders:
    """Requests under way on one call."""

    def __init__(self, send: Send, answer_s: float = ANSWER_S, result_s: float = RESULT_S) -> None:
        self._send = send
        self._answer_s, self._result_s = answer_s, result_s
        self._open: dict[str, _Open] = {}

    def heard(self, packet: Packet) -> None:
        """An answer, or data that may be one; what nobody waits for is passed over."""
        named = self._open.get(id_of(packet))
        if named is not None and packet.cn in ("9011", "9012", "9013"):
            said = result_of(packet)
            if isinstance(said, Accepted):
                named.accepted = said
            elif isinstance(said, Done):
                named.done = said
            elif packet.cn == "9013":
                named.accepted, named.done = Accepted.READY, Done.SUCCESS
            named.heard.set()
            return
        # Data have a QN of their own (annex C.20), or that of the request (C.2).
        for each in self._open.values():
            if (packet.cn, packet.mn) == (each.request.cn, each.request.mn):
                each.count += 1
                if len(each.data) < _MOST:
                    each.data.append(packet)
                each.heard.set()

    def over(self) -> None:
        """The call is over: nobody need wait any longer."""
        for each in self._open.values():
            each.over = True
            each.heard.set()

    async def ask(self, request: Packet, tries: int = TRIES) -> Reply:
        """Send a request until it is answered, then wait for how it went.

        Raises:
            ChannelClosed: the call is over.
        """
        this = self._open[id_of(request)] = _Open(request)
        try:
            for _ in range(tries):
                await self._send(encode(request, LONGEST_SAID))
                if await self._until(this, self._answer_s, this.answered):
                    break
            # Some loggers leave 9011 out, or send both in one segment.
            while this.accepted is Accepted.READY and this.done is None:
                if not await self._until(this, self._result_s, partial(this.moved, this.count)):
                    break
            return Reply(this.accepted, this.done, tuple(this.data))
        finally:
            del self._open[id_of(request)]

    async def _until(self, this: _Open, wait_s: float, come: Callable[[], bool]) -> bool:
        """Whether it came in time."""
        try:
            async with asyncio.timeout(wait_s):
                while not come():
                    if this.over:
                        raise ChannelClosed("the logger hung up")
                    this.heard.clear()
                    await this.heard.wait()
        except TimeoutError:
            return False
        return True
