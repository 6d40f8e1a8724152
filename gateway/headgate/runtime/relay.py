"""Raw frames of stations to a second centre, each station over a connection of its own, as if it had dialled.

Our confirmation never waits for it. What waits is kept in memory, bounded; what is given up is counted, and
told as an alarm of its station and as an event. The second centre's answers end here: it cannot speak to a
station, for two centres that set one station's clock would be worse than none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headgate.env import Env
from headgate.errors import ChannelError

#: Pauses between two tries to connect, doubling.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is agreed with the second centre: the channel's option `relay`.

    `answers`: `wanted`: a frame is done when the centre answered it, else it is sent again, `tries` times on
    one connection; `none`: it is done when it was sent. `keep_bytes` bounds all that waits.
    """

    to: str
    answers: Literal["wanted", "none"] = "wanted"
    timeout_s: float = 10.0
    tries: int = 3
    keep_bytes: int = 8 * 1024 * 1024

    @classmethod
    def of(cls, options: object) -> Rule:
        """From the site file. Raises ChannelError: it cannot be understood."""
        try:
            rule = msgspec.convert(options, cls)
            parts = urlsplit(rule.to)
            if parts.scheme != "tcp" or not parts.hostname or not parts.port:
                raise ValueError(f"to = {rule.to!r}: write tcp://HOST:PORT")
            if rule.timeout_s <= 0 or rule.tries < 1 or rule.keep_bytes < 1:
                raise ValueError("timeout_s, tries and keep_bytes are more than 0")
        except (msgspec.ValidationError, ValueError) as error:
            raise ChannelError(str(error), code="HG-3605", reason=str(error)) from None
        return rule


class _Waiting(NamedTuple):
    data: bytes
    answered: bool


class Relay:
    """All legs to one second centre. `lost` is told: station, frames lost so far, whether that goes on."""

    def __init__(self, env: Env, rule: Rule, lost: Callable[[str, int, bool], None]) -> None:
        self._env, self._rule, self._lost = env, rule, lost
        self._legs: dict[str, _Leg] = {}
        self._bytes = 0
        self.sent = self.given_up = 0

    def put(self, station: str, frame: bytes, answered: bool) -> None:
        """Take one frame of a station; at once, whatever the second centre does."""
        leg = self._legs.get(station)
        if leg is None:
            leg = self._legs[station] = _Leg(self._env, self._rule, station, self._done)
        leg.put(_Waiting(frame, answered))
        self._bytes += len(frame)
        while self._bytes > self._rule.keep_bytes and (old := leg.drop()) is not None:
            self._bytes -= len(old.data)
            self.given_up += 1
            leg.lost += 1
            if leg.lost == 1:
                self._lost(station, leg.lost, True)

    def _done(self, leg: _Leg, frame: _Waiting) -> None:
        self._bytes -= len(frame.data)
        self.sent += 1
        if leg.lost and not leg.waiting:
            self._lost(leg.station, leg.lost, False)
            leg.lost = 0

    @property
    def tally(self) -> Mapping[str, int]:
        """Frames that went on, that wait, that were given up."""
        waiting = sum(len(leg.waiting) for leg in self._legs.values())
        return {
            "relayed": self.sent, "relay-waiting": waiting, "relay-lost": self.given_up,
        }  # fmt: skip

    async def stop(self) -> None:
        """Hang up. What waits is given up, and told."""
        for leg in self._legs.values():
            await leg.stop()
            if leg.waiting or leg.lost:
                self.given_up += len(leg.waiting)
                self._lost(leg.station, leg.lost + len(leg.waiting), False)
        self._legs.clear()


class _Leg:
    """One station's connection to the second centre."""

    def __init__(
        self, env: Env, rule: Rule, station: str, done: Callable[[_Leg, _Waiting], None]
    ) -> None:
        self.station = station
        self.waiting: deque[_Waiting] = deque()
        self.lost = 0
        self._env, self._rule, self._done = env, rule, done
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._keep(), name=f"relay {station}")

    def put(self, frame: _Waiting) -> None:
        """Take one frame."""
        self.waiting.append(frame)
        self._more.set()

    def drop(self) -> _Waiting | None:
        """Give up the oldest that is not under way."""
        if len(self.waiting) < 2:
            return None
        first = self.waiting.popleft()
        old = self.waiting.popleft()
        self.waiting.appendleft(first)
        return old

    async def stop(self) -> None:
        """Hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        parts = urlsplit(self._rule.to)
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._wait()
            line = None
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._rule.timeout_s):
                    _, line = await self._env.net.connect(
                        _Line, str(parts.hostname), int(parts.port or 0)
                    )
            if line is not None:
                before = len(self.waiting)
                try:
                    await self._speak(line)
                finally:
                    line.end()
                if len(self.waiting) < before:
                    pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(self._env.random.uniform(pause_s / 2, pause_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _wait(self) -> None:
        while not self.waiting:
            self._more.clear()
            await self._more.wait()

    async def _speak(self, line: _Line) -> None:
        """Say what waits, one after the other, until the line ends or nobody answers."""
        tries = 0
        while line.open:
            if not self.waiting:
                self._more.clear()
                waits = [asyncio.ensure_future(w) for w in (self._more.wait(), line.ended.wait())]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
                    await asyncio.gather(*waits, return_exceptions=True)
                continue
            frame = self.waiting[0]
            line.heard.clear()
            line.send(frame.data)
            tries += 1
            if frame.answered and self._rule.answers == "wanted":
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rule.timeout_s):
                        await line.heard.wait()
                if not line.heard.is_set():
                    if tries >= self._rule.tries:
                        return
                    continue
                if line.ended.is_set():
                    return  # the end of the line is no answer
            tries = 0
            self.waiting.popleft()
            self._done(self, frame)


class _Line(asyncio.Protocol):
    """A connection of which only matters whether it said anything."""

    def __init__(self) -> None:
        self.heard, self.ended = asyncio.Event(), asyncio.Event()
        self.open = True
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.heard.set()
        self.ended.set()

    def send(self, data: bytes) -> None:
        """Send one frame."""
        self._transport.write(data)

    def end(self) -> None:
        """Hang up."""
        self._transport.abort()
