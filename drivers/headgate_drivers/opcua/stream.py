"""One channel: what its server says of its devices, as blocks, until the line is lost.

Changes come by subscription, as they happen. Beside them every device is read whole once in its interval:
that is its heartbeat, and it notices what a subscription is silent about - a node that was deleted or came
back, an item that the server forgot, a subscription that died.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from headgate.sdk import (
    Alarm,
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Device,
    Gap,
    GapReason,
)
from headgate_drivers.opcua.access import read
from headgate_drivers.opcua.looks import Moment, Notice, changes, whole
from headgate_drivers.opcua.nodes import is_gone, resolve
from headgate_drivers.opcua.places import Layout
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.settings import Settings
from headgate_drivers.opcua.status import overflowed
from headgate_drivers.opcua.subscription import (
    Change,
    NoSubscriptionsError,
    Published,
    Watched,
    subscribe,
    watch,
)
from headgate_drivers.opcua.trust import Trust
from headgate_drivers.opcua.values import unix_us

log = logging.getLogger(__name__)

#: Devices without an interval are read whole this often.
HEARTBEAT_US = 60_000_000
#: Notifications that may wait; then publishing waits, the server queues, and says what it lost.
WAITING = 64
#: A subscription that says nothing for this long has died: it promised a sign of life every five.
SILENCE_S = 20.0

Out = Block | Alarm | Gap


class Station:
    """One device in the server: its nodes, what is watched, and what was last told of each point."""

    def __init__(self, device: Device, layout: Layout, first_handle: int) -> None:
        self.device = device
        self.layout = layout
        self.first_handle = first_handle
        self.nodes: list[Any] = [None] * len(layout.places)
        #: Status code of watching each point; None: not watched.
        self.watched: list[int | None] = [None] * len(layout.places)
        self.last: list[tuple[int, object, int | None] | None] = [None] * len(layout.places)
        self.due = 0.0
        self.skewed = False
        #: Whether it told anything since it was last read whole.
        self.heard = False

    @property
    def interval_s(self) -> float:
        """How often it is read whole."""
        return (self.device.interval_us or HEARTBEAT_US) / 1e6

    def unwatched(self) -> list[Watched]:
        """What is there and not yet watched."""
        return [
            Watched(self.first_handle + place.at, node, place)
            for place, node in zip(self.layout.places, self.nodes, strict=True)
            if node is not None and self.watched[place.at] != 0
        ]


class Feed:
    """The devices of one channel over one session."""

    def __init__(
        self, line: Channel, settings: Settings, stations: Sequence[Station], session: Session
    ) -> None:
        self._line = line
        self._settings = settings
        self._stations = stations
        self._session = session
        self._waiting: asyncio.Queue[Published] = asyncio.Queue(WAITING)
        self._subscription: int | None = None
        self._publishing_us = int(settings.publishing_s * 1e6)
        self._by_handle = {
            station.first_handle + place.at: (station, place)
            for station in stations
            for place in station.layout.places
        }
        self._skewed = False

    async def blocks(self) -> AsyncGenerator[Out, None]:
        """Everything that comes. Raises when the line is lost."""
        now = time.monotonic
        await self._find(self._stations)
        for station in self._stations:
            block = await self._read(station)
            if block is not None:
                yield block
            station.due = now() + station.interval_s
        await self._subscribe()
        floor_us = self._line.now_us()
        heard = now()
        while True:
            station = min(self._stations, key=lambda each: each.due)
            published = await self._next(station.due - now())
            if published is not None:
                heard = now()
                moment = Moment(self._line.now_us(), unix_us(published.at), floor_us)
                for out in self._told(published, moment):
                    yield out
                floor_us = moment.now_us - self._publishing_us
                continue
            if self._subscription is not None and now() - heard > max(
                SILENCE_S, 10 * self._publishing_us / 1e6
            ):
                raise ChannelTimeout(
                    f"channel {self._line.id}: the subscription is silent", code="HG-3319",
                    channel=self._line.id, url=self._settings.url,
                )  # fmt: skip
            if station.due <= now():
                station.due = max(station.due + station.interval_s, now())
                block = await self._read(station)
                if block is not None:
                    yield block
                await self._mend(station)

    # ------------------------------------------------------------ waiting

    async def _next(self, wait_s: float) -> Published | None:
        """The next notification, None when `wait_s` has passed. Raises ChannelClosed: line lost."""
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

    async def _find(self, stations: Sequence[Station]) -> None:
        """Look up every node; those that are not there stay None and are read as bad."""
        session = self._session
        roots = await resolve(session, session.objects, [s.layout.root for s in stations])
        for station, root in zip(stations, roots, strict=True):
            where = [place.where for place in station.layout.places]
            station.nodes = await resolve(session, root, where)
            missing = [
                place.name
                for place, node in zip(station.layout.places, station.nodes, strict=True)
                if node is None
            ]
            if missing:
                log.warning(
                    "nodes not found",
                    extra={"device": station.device.id, "points": missing[:20], "of": len(where)},
                )

    async def _subscribe(self) -> None:
        if self._settings.read == "poll":
            return
        try:
            made, seconds = await subscribe(self._session, self._waiting.put)
        except NoSubscriptionsError:
            log.warning("server has no subscriptions, polled", extra={"channel": self._line.id})
            return
        self._subscription, self._publishing_us = made, int(seconds * 1e6)
        await self._watch([w for station in self._stations for w in station.unwatched()])

    async def _watch(self, watched: Sequence[Watched]) -> None:
        if self._subscription is None or not watched:
            return
        codes = await watch(self._session, self._subscription, watched)
        for each, code in zip(watched, codes, strict=True):
            station, place = self._by_handle[each.handle]
            if code and station.watched[place.at] != code:
                log.warning(
                    "point not watched, only read",
                    extra={
                        "device": station.device.id, "point": place.name, "status": f"0x{code:08X}"
                    },
                )  # fmt: skip
            station.watched[place.at] = code

    async def _mend(self, station: Station) -> None:
        """After a look: find again what is gone, watch what has come."""
        places = station.layout.places
        gone = []
        for place, last in zip(places, station.last, strict=True):
            if last is not None and is_gone(last[0]):
                station.watched[place.at] = None
                gone.append(place.at)
        if gone:
            before = list(station.nodes)
            await self._find([station])
            if before == station.nodes:
                return
        await self._watch(
            [w for w in station.unwatched() if w.handle - station.first_handle not in gone]
        )

    # ------------------------------------------------------------ values

    async def _read(self, station: Station) -> Block | None:
        """All of a device, when it told nothing since the look before; else what it did not tell yet."""
        values = await read(self._session, station.nodes)
        notices, news = [], []
        for place, (code, value, source) in zip(station.layout.places, values, strict=True):
            notice = Notice(place, code, value, unix_us(source))
            said = code, value, notice.source_us
            if said != station.last[place.at]:
                station.last[place.at] = said
                news.append(notice)
            notices.append(notice)
        heard, station.heard = station.heard, False
        if heard and not news:
            return None
        return whole(station.device, news if heard else notices, self._line.now_us())

    def _told(self, published: Published, moment: Moment) -> list[Out]:
        if published.status is not None:
            raise ChannelClosed(
                f"channel {self._line.id}: the server ended the subscription", code="HG-3319",
                channel=self._line.id, url=self._settings.url,
            )  # fmt: skip
        self._compare_clocks(moment)
        out: list[Out] = []
        for station, notices in self._sorted(published.changes).items():
            if any(overflowed(notice.code) for notice in notices):
                lost = f"{self._settings.url}: the server's queue overflowed"
                out.append(
                    Gap(
                        station.device.number, GapReason.OVERRUN, moment.floor_us, moment.now_us,
                        None, None, text=lost,
                    )
                )  # fmt: skip
            blocks, honest = changes(station.device, notices, moment)
            out += blocks
            station.heard = True
            if honest == station.skewed:
                station.skewed = not honest
                log.warning(
                    "source clock differs from server clock" if not honest else "source clock good",
                    extra={"device": station.device.id},
                )
        return out

    def _sorted(self, all_: Sequence[Change]) -> dict[Station, list[Notice]]:
        """Changes by device, without what a look has told already."""
        by_station: dict[Station, list[Notice]] = {}
        for change in all_:
            found = self._by_handle.get(change.handle)
            if found is None:
                continue
            station, place = found
            notice = Notice(place, change.code, change.value, unix_us(change.source))
            said = change.code, change.value, notice.source_us
            if said == station.last[place.at]:
                continue
            station.last[place.at] = said
            by_station.setdefault(station, []).append(notice)
        return by_station

    def _compare_clocks(self, moment: Moment) -> None:
        """Say when the server's clock and ours part, and when they meet again; nothing is changed."""
        if moment.published_us is None:
            return
        ahead_s = moment.published_us / 1e6 - time.time()
        skewed = abs(ahead_s) > self._settings.skew_s
        if skewed != self._skewed:
            self._skewed = skewed
            words = "clock of the server differs" if skewed else "clock of the server agrees again"
            log.warning(words, extra={"channel": self._line.id, "ahead_s": round(ahead_s, 1)})


async def listen(
    line: Channel, settings: Settings, stations: Sequence[Station], on_session: Any
) -> AsyncGenerator[Out, None]:
    """One life of the channel: connect, subscribe, tell; ends by raising what ended it."""
    session = await Session.open(line.id, settings, Trust(settings))
    on_session(session)
    try:
        async for out in Feed(line, settings, stations, session).blocks():
            yield out
    finally:
        on_session(None)
        await session.close()
