"""One channel: what its server says of its devices, as blocks and alarms, until the line is lost.

Changes come by subscription, as they happen. Beside them every device is read whole once in its interval:
that is its heartbeat, and it notices what a subscription is silent about - a node that was deleted or came
back, an item that the server forgot, a subscription that died. After an outage what the server kept of it
comes first.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing

from headgate.sdk import Alarm, Block, Channel, ChannelError, Device, Gap, GapReason
from headgate_drivers.opcua.access import read, server_time
from headgate_drivers.opcua.clock import ServerClock
from headgate_drivers.opcua.herald import Herald
from headgate_drivers.opcua.looks import Moment, Notice, changes, whole, with_the_gone
from headgate_drivers.opcua.outage import Outage
from headgate_drivers.opcua.remarks import Remarks
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.settings import Settings
from headgate_drivers.opcua.station import Remembered, Station
from headgate_drivers.opcua.status import is_gone, overflowed
from headgate_drivers.opcua.subscription import Change, Published
from headgate_drivers.opcua.trust import Trust
from headgate_drivers.opcua.values import unix_us
from headgate_drivers.opcua.watching import Watching

#: How often our certificate is looked at.
RENEW_S = 6 * 3600.0
#: A clock that is off moves no reading; it is for somebody to look at.
SKEW_SEVERITY = 300

Out = Block | Alarm | Gap


class Memory:
    """What is known of a channel beyond the life of one connection."""

    def __init__(self) -> None:
        self._devices: dict[tuple[int, bytes], Remembered] = {}
        #: Remarks that were logged.
        self.logged: set[str] = set()
        #: Whether an alarm stands because the server's clock is off.
        self.skewed = False

    def of(self, device: Device) -> Remembered:
        """What is known of a device; nothing when its points are others than before."""
        return self._devices.setdefault((device.number, device.table_hash), Remembered())


class Feed:
    """The devices of one channel over one session."""

    def __init__(
        self,
        line: Channel,
        settings: Settings,
        stations: Sequence[Station],
        session: Session,
        memory: Memory,
        trust: Trust,
    ) -> None:
        self._line = line
        self._settings = settings
        self._stations = stations
        self._session = session
        self._memory = memory
        self._trust = trust
        self._renew_due = 0.0
        self._remarks = remarks = Remarks(line, memory.logged)
        self._clock = ServerClock()
        self._watching = Watching(line, settings, session, stations, remarks)
        self._herald = Herald(session, self._watching, self._clock, line.now_us)
        self._floor_us = line.now_us()

    async def blocks(self) -> AsyncGenerator[Out, None]:
        """Everything that comes. Raises when the line is lost."""
        now, watching = time.monotonic, self._watching
        self._remarks.tell()
        for code, text in self._session.notes.items():
            self._remarks.say(code, text)
        await self._renew()
        await watching.find(self._stations)
        await self._ask_clock()
        looks = [(station, await self._look(station)) for station in self._stations]
        await watching.begin()
        self._floor_us = self._line.now_us()
        async with aclosing(self._resume(looks)) as resumed:
            async for out in resumed:
                yield out
        while True:
            station = min(self._stations, key=lambda each: each.wakes)
            published = await watching.next(station.wakes - now())
            if published is not None:
                moment = self._moment(published)
                for alarm in await self._herald.alarms(published):
                    yield alarm
                for out in self._told(published.changes, moment):
                    yield out
                for out in self._compare_clocks():
                    yield out
                continue
            if station.due <= now():
                station.due = max(station.due + station.interval_s, now())
                await self._ask_clock()
                await self._renew()
                block = self._news(station, await self._look(station))
                if block is not None:
                    yield block
                await watching.mend(station)
                station.seek(now(), watching.patience_s)
                await watching.again()
            elif station.seek_due <= now():
                await watching.seek(station)
                station.sought(now())
            for out in self._compare_clocks():
                yield out

    # ------------------------------------------------------------ after an outage

    async def _resume(
        self, looks: Sequence[tuple[Station, Sequence[Notice]]]
    ) -> AsyncGenerator[Out, None]:
        """The past, the look with which this session began, and what came meanwhile, in this order."""
        outage = Outage(
            self._line, self._settings, self._session, self._stations, self._watching, self._herald,
            self._clock, self._remarks, self._moment,
        )  # fmt: skip
        async with aclosing(outage.told(looks)) as told:
            async for out in told:
                yield out
        for out in self._compare_clocks():
            yield out
        for station, notices in looks:
            station.due = time.monotonic() + station.interval_s
            # Told a moment ago, before a short outage: said again only when its heartbeat is over.
            since_us = self._line.now_us() - (station.memory.at_us or 0)
            station.heard = station.memory.at_us is not None and since_us < station.interval_s * 1e6
            block = self._news(station, notices)
            if block is not None:
                yield block
        for each in outage.held:
            for out in self._told(each.published.changes, each.moment):
                yield out

    # ------------------------------------------------------------ values

    async def _look(self, station: Station) -> list[Notice]:
        """All points of a device as they are read now."""
        values = await read(self._session, station.nodes)
        station.gone = {at for at, (code, _, _) in enumerate(values) if is_gone(code)}
        return [
            Notice(place, code, value, unix_us(source))
            for place, (code, value, source) in zip(station.layout.places, values, strict=True)
        ]

    def _news(self, station: Station, notices: Sequence[Notice]) -> Block | None:
        """All of a device, when it told nothing since the look before; else what it did not tell yet."""
        news = [
            notice
            for notice in notices
            if station.read(notice.place.at, (notice.code, notice.value, notice.source_us))
        ]
        heard, station.heard = station.heard, False
        if heard and not news:
            return None
        for notice in news:
            station.reached(notice.place.at, notice.source_us)
        station.memory.at_us = self._line.now_us()
        return whole(station.device, news if heard else notices, station.memory.at_us)

    def _moment(self, published: Published) -> Moment:
        """When a notification came; the next cannot tell of anything much older."""
        moment = Moment(self._line.now_us(), unix_us(published.at), self._floor_us)
        if moment.published_us is not None:
            self._clock.see(moment.published_us, moment.now_us)
        self._floor_us = moment.now_us - self._watching.publishing_us
        return moment

    def _told(self, told: Sequence[Change], moment: Moment) -> Iterator[Out]:
        """Blocks of what changed, each counted as told when it is taken."""
        for station, notices in self._sorted(told, moment).items():
            if any(overflowed(notice.code) for notice in notices):
                lost = f"{self._settings.url}: the server's queue overflowed"
                yield Gap(
                    station.device.number, GapReason.OVERRUN, moment.floor_us, moment.now_us,
                    None, None, text=lost,
                )  # fmt: skip
            notices = with_the_gone(notices, station.layout.places, station.gone)
            if station.gone and station.seek_due > station.due:
                station.seek(time.monotonic(), self._watching.patience_s)
            blocks, honest = changes(station.device, notices, moment)
            for block in blocks:
                # They come in the order of source time: everything up to this one is told with it.
                for notice in notices:
                    if (notice.source_us or 0) <= (block.device_time_us or 0):
                        station.reached(notice.place.at, notice.source_us)
                yield block
            station.heard = True
            station.memory.at_us = moment.now_us
            if honest == station.skewed:
                station.skewed = not honest
                self._tell_sources()

    def _sorted(self, told: Sequence[Change], moment: Moment) -> dict[Station, list[Notice]]:
        """Changes by device, without what a look has told already."""
        by_station: dict[Station, list[Notice]] = {}
        for change in told:
            found = self._watching.places(change.handle)
            if found is None:
                continue
            station, place = found
            notice = Notice(place, change.code, change.value, unix_us(change.source))
            if notice.source_us is None and is_gone(change.code):
                # Nobody but the server says it, so it is true when that says it: after the values before.
                notice = notice._replace(source_us=moment.published_us)
            if station.told(place.at, (change.code, change.value, notice.source_us)):
                by_station.setdefault(station, []).append(notice)
        return by_station

    # ------------------------------------------------------------ our certificate

    async def _renew(self) -> None:
        """Have our certificate made anew in time, also while one session lasts for years."""
        if self._settings.security == "None" or time.monotonic() < self._renew_due:
            return
        self._renew_due = time.monotonic() + RENEW_S
        try:
            await self._trust.own()
        except ChannelError as error:
            self._remarks.say(error.code, str(error))
        if self._trust.renewed is not None:
            said = f"our certificate was made anew: {self._trust.renewed}"
            self._remarks.say("HG-3354", said)

    # ------------------------------------------------------------ clocks

    async def _ask_clock(self) -> None:
        stamp = unix_us(await server_time(self._session))
        if stamp is not None:
            self._clock.see(stamp, self._line.now_us())

    def _tell_sources(self) -> None:
        wrong = [station.device.id for station in self._stations if station.skewed]
        if wrong:
            said = f"source clock differs from server clock: {', '.join(wrong[:5])}"
            self._remarks.say("HG-3349", said)
        else:
            self._remarks.over("HG-3349")

    def _compare_clocks(self) -> list[Out]:
        """Say when the server's clock and ours part, and when they meet again; nothing is changed."""
        now_us = self._line.now_us()
        ahead_us = self._clock.ahead_us(now_us, time.time_ns() // 1000)
        if ahead_us is None:
            return []
        limit_us = self._settings.skew_s * 1e6
        # It must come well inside again: a clock at the limit would raise and clear without end.
        skewed = abs(ahead_us) > (limit_us * 0.8 if self._memory.skewed else limit_us)
        if skewed == self._memory.skewed:
            return []
        self._memory.skewed = skewed
        ahead_s = round(ahead_us / 1e6, 1)
        text = f"the server's clock is {abs(ahead_s)} s {'ahead' if ahead_s > 0 else 'behind'}"
        if skewed:
            self._remarks.say("HG-3341", text)
        else:
            self._remarks.over("HG-3341")
        return [
            Alarm(
                device=station.device.number, point="", code="clock-skew", severity=SKEW_SEVERITY,
                active=skewed, at_us=now_us, value=ahead_s, text=text if skewed else "",
            )
            for station in self._stations
        ]  # fmt: skip


async def listen(
    line: Channel,
    settings: Settings,
    stations: Sequence[Station],
    memory: Memory,
    on_session: Callable[[Session | None], None],
) -> AsyncGenerator[Out, None]:
    """One life of the channel: connect, subscribe, tell; ends by raising what ended it."""
    trust = Trust(settings)
    session = await Session.open(line.id, settings, trust)
    on_session(session)
    try:
        feed = Feed(line, settings, stations, session, memory, trust)
        async with aclosing(feed.blocks()) as told:
            async for out in told:
                yield out
    finally:
        on_session(None)
        await session.close()
