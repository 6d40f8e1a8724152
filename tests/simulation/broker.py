"""A broker in memory behind `headgate.mqtt.connect`, with the bad habits of real ones.

It takes QoS 1 messages, queues them for subscribers, and forgets everything when it is killed, what it
has acknowledged too. While `wild`, it drops, doubles and delays what passes; it never alters it
(`tests/peers/test_hostile_broker.py` does that). Sessions are always clean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from headgate.errors import UplinkUnavailable
from headgate.mqtt import Message, Settings


class SimLink:
    """What `connect` gives: the methods of `headgate.mqtt.Link`."""

    #: A plain connection has agreed on nothing.
    facts: None = None

    def __init__(self, broker: Broker, who: str) -> None:
        self.who = who
        self.filters: tuple[str, ...] = ()
        self._broker = broker
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> int:
        await self._travel()
        self._broker.take(self, topic, payload)
        if self._broker.mute:
            await self._end
        await self._travel()
        return 0

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        await self._travel()
        self.filters += filters

    async def messages(self, *, manual: bool = False) -> AsyncIterator[Message]:
        while True:
            next_one = asyncio.ensure_future(self._inbox.get())
            try:
                await asyncio.wait((next_one, self._end), return_when=asyncio.FIRST_COMPLETED)
                if not next_one.done():
                    raise gone()
                yield next_one.result()
            finally:
                next_one.cancel()

    def take_waiting(self, limit: int) -> list[Message]:
        return [self._inbox.get_nowait() for _ in range(min(limit, self._inbox.qsize()))]

    def ack(self, message: Message) -> None:
        """Nothing: this broker remembers nobody."""

    async def lost(self) -> UplinkUnavailable:
        await asyncio.wait((self._end,))
        return gone()

    def put(self, topic: str, payload: bytes) -> None:
        if not self._end.done():
            self._inbox.put_nowait(Message(topic, payload, False, 1, 1))

    def cut(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    async def _travel(self) -> None:
        sleep = asyncio.ensure_future(asyncio.sleep(self._broker.delay_s()))
        try:
            await asyncio.wait((sleep, self._end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
        if self._end.done():
            raise gone()


class Broker:
    """`up`: takes connections. `mute`: takes messages and never acknowledges. `wild`: see above."""

    def __init__(self, chance: Random, note: Any) -> None:
        self.up = True
        self.mute = False
        self.wild = 0.0
        self._chance = chance
        self._note = note
        self._links: list[SimLink] = []

    @asynccontextmanager
    async def connect(self, settings: Settings, **_: Any) -> AsyncIterator[SimLink]:
        """In place of `headgate.mqtt.connect`."""
        await asyncio.sleep(self.delay_s())
        if not self.up:
            raise UplinkUnavailable("connection refused", code="HG-5010", reason="refused")
        who = settings.identifier or ""
        for other in [link for link in self._links if link.who == who]:
            self._links.remove(other)
            other.cut()  # one of a name at a time
        link = SimLink(self, who)
        self._links.append(link)
        self._note("connect", who)
        try:
            yield link
        finally:
            link.cut()
            if link in self._links:
                self._links.remove(link)

    def kill(self) -> None:
        """As kill -9: whatever was queued or acknowledged is forgotten."""
        self.up = False
        self.cut()

    def cut(self) -> None:
        """Every connection is lost."""
        links, self._links = self._links, []
        for link in links:
            link.cut()

    def drop(self, who: str) -> None:
        """One client's connection is lost."""
        for link in [each for each in self._links if each.who == who]:
            self._links.remove(link)
            link.cut()

    def delay_s(self) -> float:
        """How long a message travels."""
        return self._chance.uniform(0.001, 0.02 + 0.5 * self.wild)

    def take(self, sender: SimLink, topic: str, payload: bytes) -> None:
        """A message has arrived."""
        copies = 1
        if self._chance.random() < self.wild:
            copies = self._chance.choice((0, 0, 2))
        loop = asyncio.get_running_loop()
        for link in self._links:
            if any(_fits(each, topic) for each in link.filters):
                for _ in range(copies):
                    loop.call_later(self.delay_s(), link.put, topic, payload)


def gone() -> UplinkUnavailable:
    return UplinkUnavailable("connection lost", code="HG-5018", reason="lost")


def _fits(wanted: str, topic: str) -> bool:
    names, parts = wanted.split("/"), topic.split("/")
    return len(names) == len(parts) and all(
        name in ("+", part) for name, part in zip(names, parts, strict=True)
    )
