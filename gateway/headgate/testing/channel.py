"""Lines without wires: what a device answers is written down, what it was sent is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from headgate.errors import ChannelClosed, ChannelTimeout, HeadgateError
from headgate.sdk import Channel, Frame, Framing, LineSettings, Listener

#: What comes back: raw bytes as on the line (several frames, noise and all), or what the line does instead.
Answer = bytes | HeadgateError | None


class Exchange(NamedTuple):
    """One request and its answer; an answer of None is silence."""

    request: bytes
    answer: Answer


class FakeChannel(Channel):
    """A scripted line.

    Args:
        exchanges: (request, answer) in the order in which they are expected. A request that is not the
            next one fails the test.
        incoming: bytes that come by themselves, for `frames`; the line is lost after the last of them.
        at_us: what the clock says.

    `sent` holds every byte string that was sent, requests too.
    """

    def __init__(
        self,
        exchanges: Iterable[tuple[bytes, Answer]] = (),
        *,
        incoming: Iterable[bytes] = (),
        name: str = "line",
        at_us: int = 1_000_000,
    ) -> None:
        self.id = name
        self.url = f"fake://{name}"
        self.script = tuple(Exchange(*each) for each in exchanges)
        self.incoming = tuple(incoming)
        self.at_us = at_us
        self.sent: list[bytes] = []
        #: Set once a driver waits on this line while it is silent.
        self.reached = asyncio.Event()
        self.closed = False
        self._next = 0
        self._spoil: Callable[[bytes], bytes] | None = None
        self._silent = False

    def again(self) -> FakeChannel:
        """The same script from its beginning."""
        return FakeChannel(self.script, incoming=self.incoming, name=self.id, at_us=self.at_us)

    def spoilt(self, seed: int) -> FakeChannel:
        """The same script with every answer damaged, in a way that the seed decides. Any request will do."""
        dice = random.Random(seed)  # noqa: S311 - a failure must come again
        copy = self.again()
        copy._spoil = lambda answer: spoil(answer, dice)
        return copy

    def silent(self) -> FakeChannel:
        """A line on which an answer never comes and no time runs out: for cancelling."""
        copy = self.again()
        copy._silent = True
        return copy

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        if self.closed:
            raise ChannelClosed("the line is not open")
        self.sent.append(request)
        if self._silent:
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        answer = self._answer(request)
        if isinstance(answer, HeadgateError):
            raise answer
        buffer = bytearray(answer or b"")
        while (frame := framing.next(buffer)) is not None:
            if frame.key == key:
                return frame.payload
        raise ChannelTimeout("no such frame in time")

    def _answer(self, request: bytes) -> Answer:
        if self._next >= len(self.script):
            if self._spoil is not None:
                return None  # what it read before may have led it to ask for more
            raise AssertionError(f"a request too many: {request.hex(' ')}")
        expected, answer = self.script[self._next]
        self._next += 1
        if self._spoil is not None:
            return self._spoil(answer) if isinstance(answer, bytes) else answer
        assert request == expected, f"sent {request.hex(' ')}, the script has {expected.hex(' ')}"
        return answer

    async def send(self, data: bytes) -> None:
        if self.closed:
            raise ChannelClosed("the line is not open")
        self.sent.append(data)

    async def frames(self, framing: Framing) -> AsyncIterator[Frame]:
        if self._silent:
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        buffer = bytearray()
        for data in self.incoming:
            buffer += data if self._spoil is None else self._spoil(data)
            while (frame := framing.next(buffer)) is not None:
                yield frame
            await asyncio.sleep(0)

    def now_us(self) -> int:
        return self.at_us

    @property
    def finished(self) -> bool:
        """Whether every exchange of the script took place."""
        return self._next == len(self.script)


class FakeListener(Listener):
    """A listening port whose callers are given: they dial in one after the other, and no more come."""

    def __init__(self, channels: Sequence[FakeChannel], *, name: str = "port") -> None:
        self.id = name
        self.url = f"fake+listen://{name}"
        self.channels = tuple(channels)
        self._silent = False

    def again(self) -> FakeListener:
        """The same callers, from their beginning."""
        return FakeListener([channel.again() for channel in self.channels], name=self.id)

    def spoilt(self, seed: int) -> FakeListener:
        """The same callers, talking nonsense."""
        damaged = [channel.spoilt(seed + i) for i, channel in enumerate(self.channels)]
        return FakeListener(damaged, name=self.id)

    def silent(self) -> FakeListener:
        """A port on which nobody ever calls."""
        copy = self.again()
        copy._silent = True
        return copy

    async def accept(self) -> AsyncIterator[Channel]:
        if self._silent:
            await asyncio.get_running_loop().create_future()
        for channel in self.channels:
            yield channel


def spoil(data: bytes, dice: random.Random) -> bytes:
    """What a bad line, another device or an attacker makes of an answer."""
    kind = dice.randrange(7)
    if kind == 0:
        return b""
    if kind == 1:
        return data[: dice.randrange(len(data) + 1)]
    if kind == 2:
        return data + dice.randbytes(dice.randrange(1, 300))
    if kind == 3:
        return dice.randbytes(dice.randrange(1, 600))
    if kind == 4:
        return data * dice.randrange(2, 5)
    if kind == 5:
        return bytes(len(data)) if dice.random() < 0.5 else b"\xff" * len(data)
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)
