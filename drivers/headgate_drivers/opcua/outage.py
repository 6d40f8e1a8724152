"""After an outage: first what the server kept of it, then what is said now.

The past is asked for from the last value told before to the first one of the new subscription, which is
therefore waited for. Live values are held meanwhile, so that a device is told in order; alarms are not.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from headgate.sdk import Alarm, Block, Channel, ChannelError, Gap
from headgate_drivers.opcua.backfill import blocks as past_blocks
from headgate_drivers.opcua.backfill import wanted
from headgate_drivers.opcua.clock import ServerClock
from headgate_drivers.opcua.herald import Herald
from headgate_drivers.opcua.history import NoHistoryError, past
from headgate_drivers.opcua.looks import Moment, Notice
from headgate_drivers.opcua.remarks import Remarks
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.settings import Settings
from headgate_drivers.opcua.station import Station
from headgate_drivers.opcua.subscription import Published
from headgate_drivers.opcua.values import unix_us
from headgate_drivers.opcua.watching import Watching

#: Live values wait for the past at most this long; what is not brought by then is a gap.
HELD_S = 60.0
#: How long the first values of a subscription are waited for before the past is asked for.
SETTLE_S = 5.0

Out = Block | Alarm | Gap


class Held(NamedTuple):
    """A notification that waits until the past has been told."""

    published: Published
    moment: Moment


class Outage:
    """The time before one session. `held` is what came live while the past was told."""

    def __init__(
        self,
        line: Channel,
        settings: Settings,
        session: Session,
        stations: Sequence[Station],
        watching: Watching,
        herald: Herald,
        clock: ServerClock,
        remarks: Remarks,
        moment: Callable[[Published], Moment],
    ) -> None:
        self._line = line
        self._settings = settings
        self._session = session
        self._stations = stations
        self._watching = watching
        self._herald = herald
        self._clock = clock
        self._remarks = remarks
        self._moment = moment
        #: The first source time that the subscription told, by handle.
        self._first: dict[int, int | None] = {}
        self.held: list[Held] = []

    async def told(
        self, looks: Sequence[tuple[Station, Sequence[Notice]]]
    ) -> AsyncGenerator[Out, None]:
        """What was kept, oldest first, and alarms as they come; nothing when nothing was told before."""
        if not self._settings.history_s or not any(station.before for station in self._stations):
            return
        async with aclosing(self._settle()) as settling:
            async for out in settling:
                yield out
        for station, notices in looks:
            station.begins_with([notice.source_us for notice in notices], self._first)
        async with aclosing(self._past()) as kept:
            async for out in kept:
                yield out

    async def _settle(self) -> AsyncGenerator[Out, None]:
        """Wait until the subscription has told every point once: from there on nothing is missing."""
        until = time.monotonic() + SETTLE_S + 2 * self._watching.publishing_us / 1e6
        while self._unsettled() and (left_s := until - time.monotonic()) > 0:
            for out in await self._hold(left_s):
                yield out

    def _unsettled(self) -> bool:
        return self._watching.subscribed and any(
            station.first_handle + place.at not in self._first
            for station in self._stations
            for place in station.layout.places
            if station.watched[place.at] == 0 and place.name in station.before
        )

    async def _past(self) -> AsyncGenerator[Out, None]:
        """What the server kept of the outage, as far as it comes in `HELD_S`."""
        deadline = time.monotonic() + HELD_S
        for station in self._stations:
            now_us = self._line.now_us()
            earliest_us = (
                now_us + (self._clock.offset_us or 0) - int(self._settings.history_s * 1e6)
            )
            asked = wanted(station, earliest_us)
            if not asked:
                continue
            places = [(each.node, each.after_us, each.before_us) for each in asked]
            kept = False
            try:
                async with aclosing(past(self._session, places)) as pages:
                    async for page in pages:
                        kept = True
                        for block in past_blocks(station, asked, page, self._clock, now_us):
                            yield block
                        for out in await self._hold(0):
                            yield out
                        if time.monotonic() > deadline:
                            self._remarks.say("HG-3343", "the past was not brought to its end")
                            return
            except NoHistoryError:
                kept = False
            except ChannelError as error:
                if self._session.lost.done():
                    raise
                self._remarks.say("HG-3343", f"the past was not brought to its end: {error}")
                continue
            # Values went on meanwhile, and nothing of it was kept.
            if not kept:
                self._remarks.say("HG-3342", f"no history of {station.device.id}")

    async def _hold(self, wait_s: float) -> list[Out]:
        """Take what has come aside, so that nothing overflows meanwhile; alarms are told at once."""
        alarms: list[Out] = []
        while (published := await self._watching.next(wait_s)) is not None:
            wait_s = 0
            self.held.append(Held(published, self._moment(published)))
            for change in published.changes:
                self._first.setdefault(change.handle, unix_us(change.source))
            alarms += await self._herald.alarms(published)
        return alarms
