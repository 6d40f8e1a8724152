"""What of the devices is watched over one session: nodes found, values and events subscribed to, both again.

A server that refuses a subscription is polled, and asked again now and then: another client may have left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from headgate.sdk import Channel, ChannelClosed, ChannelTimeout
from headgate_drivers.opcua.access import read
from headgate_drivers.opcua.events import refresh, watch_events
from headgate_drivers.opcua.nodes import resolve
from headgate_drivers.opcua.places import SERVER
from headgate_drivers.opcua.remarks import Remarks
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.settings import Settings
from headgate_drivers.opcua.station import Station
from headgate_drivers.opcua.status import is_gone
from headgate_drivers.opcua.subscription import (
    NoSubscriptionsError,
    Published,
    Watched,
    subscribe,
    unwatch,
    watch,
)

#: Notifications that may wait; then publishing waits, the server queues, and says what it lost.
WAITING = 64
#: A subscription that says nothing for this long has died: it promised a sign of life every five.
SILENCE_S = 20.0
#: Handles of events begin here; those of values stay below.
FIRST_EVENT = 1 << 30


class Watching:
    """Nodes and subscription of one session."""

    def __init__(
        self,
        line: Channel,
        settings: Settings,
        session: Session,
        stations: Sequence[Station],
        remarks: Remarks,
    ) -> None:
        self._line = line
        self._settings = settings
        self._session = session
        self._stations = stations
        self._remarks = remarks
        self._waiting: asyncio.Queue[Published] = asyncio.Queue(WAITING)
        self._subscription: int | None = None
        self._again = 0.0
        self._heard = time.monotonic()
        self._refreshes = True
        #: By device: places of points whose node was not there when it was last looked for.
        self._absent: dict[str, set[int]] = {}
        self.publishing_us = int(settings.publishing_s * 1e6)
        self._by_handle = {
            station.first_handle + place.at: (station, place)
            for station in stations
            for place in station.layout.places
        }
        #: Whose events come with a handle.
        self.listeners: dict[int, list[Station]] = {}

    @property
    def patience_s(self) -> float:
        """A value that can be read is told within this time by a subscription that hears."""
        return 2 * self.publishing_us / 1e6 + 2 * self._settings.sampling_s + 1.0

    @property
    def subscribed(self) -> bool:
        """Whether the server tells by itself; else everything is read."""
        return self._subscription is not None

    # ------------------------------------------------------------ waiting

    async def next(self, wait_s: float) -> Published | None:
        """The next notification, None when `wait_s` has passed.

        Raises:
            ChannelClosed: the line was lost, or the server ended the subscription.
            ChannelTimeout: the subscription died without a word.
        """
        published = await self._wait(wait_s)
        if published is not None:
            self._heard = time.monotonic()
            if published.status is not None:
                raise ChannelClosed(
                    f"channel {self._line.id}: the server ended the subscription", code="HG-3319",
                    channel=self._line.id, url=self._settings.url,
                )  # fmt: skip
        elif self.subscribed and time.monotonic() - self._heard > max(
            SILENCE_S, 10 * self.publishing_us / 1e6
        ):
            raise ChannelTimeout(
                f"channel {self._line.id}: the subscription is silent", code="HG-3319",
                channel=self._line.id, url=self._settings.url,
            )  # fmt: skip
        return published

    async def _wait(self, wait_s: float) -> Published | None:
        self._check()
        if not self._waiting.empty():
            return self._waiting.get_nowait()
        if wait_s <= 0:
            return None
        getting = asyncio.ensure_future(self._waiting.get())
        try:
            await asyncio.wait(
                (getting, self._session.lost),
                timeout=min(wait_s, SILENCE_S / 4),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if getting.done():
                return getting.result()
        finally:
            if not getting.done():
                getting.cancel()
                await asyncio.gather(getting, return_exceptions=True)
        self._check()
        return None

    def _check(self) -> None:
        if self._session.lost.done():
            reason = self._session.lost.result()
            raise ChannelClosed(
                f"channel {self._line.id}: {reason}",
                channel=self._line.id, url=self._settings.url, reason=reason,
            )  # fmt: skip

    # ------------------------------------------------------------ nodes

    async def find(self, stations: Sequence[Station]) -> None:
        """Look up every node; those that are not there stay None and are read as bad."""
        session = self._session
        roots = await resolve(session, session.objects, [s.layout.root for s in stations])
        for station, root in zip(stations, roots, strict=True):
            where = [place.where for place in station.layout.places]
            station.root = root
            station.nodes = await resolve(session, root, where)
        self._tell_missing()

    def _tell_missing(self) -> None:
        missing = [
            f"{station.device.id}.{place.name}"
            for station in self._stations
            for place, node in zip(station.layout.places, station.nodes, strict=True)
            if node is None or place.at in self._absent.get(station.device.id, ())
        ]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            self._remarks.say("HG-3344", f"nodes not found: {', '.join(missing[:5])}{more}")
        else:
            self._remarks.over("HG-3344")

    async def mend(self, station: Station) -> None:
        """Find again what is gone, and watch what has come.

        A point stays gone until its value is told: what is under way was said before it came back.
        """
        absent = set(station.gone)
        for at in absent:
            station.watched[at] = None
        if absent:
            await self.find([station])
            there = [at for at in absent if station.nodes[at] is not None]
            values = await read(self._session, [station.nodes[at] for at in there])
            absent -= {
                at for at, (code, _, _) in zip(there, values, strict=True) if not is_gone(code)
            }
        if absent != self._absent.get(station.device.id, set()):
            self._absent[station.device.id] = absent
            self._tell_missing()
        await self._watch(
            [w for w in station.unwatched() if w.handle - station.first_handle not in absent]
        )

    async def seek(self, station: Station) -> None:
        """Between two looks: watch anew what is gone, and what the server has forgotten to tell of.

        A node that was deleted and made again is another to many servers: what watched it is deaf.
        """
        deaf, station.awaited = station.awaited, set()
        for at in deaf:
            station.watched[at] = None
        await self.mend(station)

    # ------------------------------------------------------------ the subscription

    async def begin(self) -> None:
        """Subscribe to values and events, where that is wanted and the server has a place for it."""
        if self._settings.read == "poll":
            return
        self._again = time.monotonic() + self._settings.resubscribe_s
        try:
            made, seconds = await subscribe(self._session, self._waiting.put)
        except NoSubscriptionsError as error:
            self._remarks.say("HG-3340", f"no subscription ({error}): read once in each interval")
            return
        self._remarks.over("HG-3340")
        self._subscription, self.publishing_us = made, int(seconds * 1e6)
        self._heard = time.monotonic()
        await self._watch([w for station in self._stations for w in station.unwatched()])
        await self._watch_events()

    async def again(self) -> None:
        """Try to subscribe, when the server refused and some time has passed."""
        if not self.subscribed and time.monotonic() >= self._again:
            await self.begin()

    async def _watch(self, watched: Sequence[Watched]) -> None:
        if self._subscription is None or not watched:
            return
        told = await watch(self._session, self._subscription, watched)
        old = []
        for each, (said, item) in zip(watched, told, strict=True):
            station, place = self._by_handle[each.handle]
            station.watched[place.at] = said
            # Two items of one point would tell it twice, one a little later than the other.
            if (before := station.items.pop(place.at, None)) is not None:
                old.append(before)
            if item is not None:
                station.items[place.at] = item
        if old:
            await unwatch(self._session, self._subscription, old)
        refused = [
            f"{station.device.id}.{place.name} (0x{code:08X})"
            for station in self._stations
            for place in station.layout.places
            if (code := station.watched[place.at])
        ]
        if refused:
            more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
            self._remarks.say("HG-3345", f"only read, not watched: {', '.join(refused[:5])}{more}")
        else:
            self._remarks.over("HG-3345")

    def places(self, handle: int) -> tuple[Station, Any] | None:
        """Station and place that a handle of a value stands for."""
        return self._by_handle.get(handle)

    # ------------------------------------------------------------ events

    async def _watch_events(self) -> None:
        """One item for each node that events come from, however many devices want them."""
        assert self._subscription is not None
        session, by_node = self._session, dict[Any, list[Station]]()
        for station in self._stations:
            wanted = station.layout.events
            if wanted is None:
                continue
            node = session.server
            if wanted != SERVER:
                (node,) = await resolve(session, station.root, [wanted])
            by_node.setdefault(node, []).append(station)
        refused = []
        for number, (node, stations) in enumerate(by_node.items()):
            handle = FIRST_EVENT + number
            code = 0x80340000
            if node is not None:
                code = await watch_events(session, self._subscription, node, handle)
            if code:
                refused.append(f"{stations[0].device.id} (0x{code:08X})")
            else:
                self.listeners[handle] = stations
        if refused:
            self._remarks.say("HG-3346", f"events refused: {', '.join(refused[:5])}")
        if self.listeners:
            await self.refresh()

    async def refresh(self) -> None:
        """Have the server repeat every condition that matters, where it can."""
        if self._subscription is None or not self._refreshes:
            return
        code = await refresh(self._session, self._subscription)
        # Bad_RefreshInProgress says that it is being done.
        if code >> 31 and code >> 16 != 0x8097:
            self._refreshes = False
            self._remarks.say("HG-3347", f"conditions cannot be refreshed (0x{code:08X})")
