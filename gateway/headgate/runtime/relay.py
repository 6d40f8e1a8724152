"""Raw frames of stations to a second centre, each station over a connection of its own, as if it had dialled.

Our confirmation never waits for that centre; it waits until the frame is on our disk, as the readings do, for
the station then forgets it. What is given up is counted, and told as an alarm of its station and as an event.
The second centre's answers end here: two centres that set one station's clock would be worse than none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from headgate.env import Env
from headgate.errors import ChannelError
from headgate.runtime.relay_leg import Leg
from headgate.runtime.relay_queue import RelayQueue

#: A longer queue would take too long to look through at a start.
_MOST_BYTES = 1 << 30


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
            if rule.keep_bytes > _MOST_BYTES:
                raise ValueError(f"keep_bytes is at most {_MOST_BYTES}")
        except (msgspec.ValidationError, ValueError) as error:
            raise ChannelError(str(error), code="HG-3605", reason=str(error)) from None
        return rule

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of the second centre."""
        parts = urlsplit(self.to)
        return str(parts.hostname), int(parts.port or 0)


class Relay:
    """All legs to one second centre. `lost` is told: station, frames lost so far, whether that goes on."""

    def __init__(
        self, env: Env, rule: Rule, path: Path, lost: Callable[[str, int, bool], None]
    ) -> None:
        self._env, self._rule, self._lost = env, rule, lost
        self._queue = RelayQueue(env, path, rule.keep_bytes, self._given_up)
        self._legs: dict[str, Leg] = {}
        #: By station, since all its frames were on their way the last time.
        self._missing: Counter[str] = Counter()
        self.sent = self.given_up = 0

    async def open(self) -> None:
        """Go on with what waited before, and take more."""
        for station in await self._queue.open():
            self._leg(station)

    def put(self, station: str, frame: bytes, answered: bool) -> None:
        """Take one frame of a station; at once, whatever the second centre does."""
        self._queue.put(station, frame, answered)
        self._leg(station).more.set()

    def saved(self) -> asyncio.Future[None] | None:
        """Done when all that was put is on disk, or the disk refuses; None: nothing is to be waited for."""
        return self._queue.durable()

    def _leg(self, station: str) -> Leg:
        leg = self._legs.get(station)
        if leg is None:
            rule = self._rule
            leg = self._legs[station] = Leg(
                self._env, station, self._queue, rule.place, rule.timeout_s,
                rule.tries if rule.answers == "wanted" else 0, self._done, self._poison,
            )  # fmt: skip
        return leg

    def _done(self, station: str, number: int) -> None:
        """The second centre has a frame of a station."""
        self._queue.done(station, number)
        self.sent += 1
        self._all_told(station)

    def _poison(self, station: str, number: int) -> None:
        """It never answers a station's oldest frame, and does answer the next."""
        self._queue.done(station, number)
        self._given_up(station, 1)
        self._all_told(station)

    def _all_told(self, station: str) -> None:
        if self._missing[station] and not self._queue.waiting(station):
            self._lost(station, self._missing.pop(station), False)

    def _given_up(self, station: str, frames: int) -> None:
        self.given_up += frames
        self._missing[station] += frames
        if self._missing[station] == frames:
            self._lost(station, frames, True)

    @property
    def tally(self) -> Mapping[str, int]:
        """Frames that went on, that wait, that were given up, and that the disk does not take."""
        return {
            "relayed": self.sent, "relay-waiting": len(self._queue), "relay-lost": self.given_up,
            "relay-unsaved": self._queue.unsaved,
        }  # fmt: skip

    async def stop(self) -> None:
        """Hang up. What waits is on disk; what the disk refused is told as lost."""
        for leg in self._legs.values():
            await leg.stop()
        self._legs.clear()
        for station, frames in (await self._queue.close()).items():
            self._given_up(station, frames)
        for station, frames in self._missing.items():
            if frames:
                self._lost(station, frames, False)
        self._missing.clear()
