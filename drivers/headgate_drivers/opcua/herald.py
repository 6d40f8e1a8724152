"""Events of a server as alarms of devices: whose they are, what kind, and what a refresh repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headgate.sdk import Alarm, Gap, GapReason
from headgate_drivers.opcua.client import ua
from headgate_drivers.opcua.clock import ServerClock
from headgate_drivers.opcua.conditions import Occurrence
from headgate_drivers.opcua.events import Happened, ancestors, happened
from headgate_drivers.opcua.nodes import browse_name
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.station import Station
from headgate_drivers.opcua.subscription import Published
from headgate_drivers.opcua.watching import Watching

#: Sources whose ancestors are remembered; a server that names ever new ones is asked again.
_REMEMBERED = 5000


class Herald:
    """Tells what events say."""

    def __init__(
        self,
        session: Session,
        watching: Watching,
        clock: ServerClock,
        now_us: Callable[[], int],
    ) -> None:
        self._session = session
        self._watching = watching
        self._clock = clock
        self._now_us = now_us
        self._types: dict[Any, str] = {}
        self._above: dict[Any, frozenset[Any]] = {}

    async def alarms(self, published: Published) -> list[Alarm | Gap]:
        """What the events of one notification say that was not said before."""
        out: list[Alarm | Gap] = []
        for handle, values in published.events:
            stations = self._watching.listeners.get(handle, ())
            event = happened(values)
            if event.is_(ua.ObjectIds.RefreshStartEventType):
                for station in stations:
                    station.memory.conditions.begin()
            elif event.is_(ua.ObjectIds.RefreshEndEventType):
                for station in stations:
                    out += station.memory.conditions.end(station.device.number, self._now_us())
            elif event.is_(ua.ObjectIds.RefreshRequiredEventType):
                await self._watching.refresh()
            elif event.is_(ua.ObjectIds.EventQueueOverflowEventType):
                out += self._lost(stations)
                await self._watching.refresh()
            elif not event.is_branch:
                out += await self._told(event, stations)
        return out

    def _lost(self, stations: Sequence[Station]) -> list[Gap]:
        now_us = self._now_us()
        text = "the server's queue of events overflowed"
        return [
            Gap(s.device.number, GapReason.OVERRUN, now_us, now_us, None, None, text=text)
            for s in stations
        ]

    async def _told(self, event: Happened, stations: Sequence[Station]) -> list[Alarm]:
        out: list[Alarm] = []
        owners = [s for s in stations if await self._owns(s, event, alone=len(stations) == 1)]
        for station in owners:
            said = event.occurrence(await self._type_name(event.type), _points_of(station))
            out += self._judged(station, said)
        return out

    def _judged(self, station: Station, said: Occurrence) -> list[Alarm]:
        conditions = station.memory.conditions
        # A condition that stands is told to its end, however harmless it has become meanwhile.
        if said.severity < station.layout.severity and not conditions.knows(said.condition):
            return []
        now_us = self._now_us()
        at_us = None if said.time_us is None else self._clock.ours(said.time_us)
        at_us = now_us if at_us is None else min(max(at_us, 0), now_us)
        return conditions.told(station.device.number, said, at_us)

    async def _owns(self, station: Station, event: Happened, *, alone: bool) -> bool:
        """Whether the event is of this device: its source is the device's node, or below it."""
        if station.root is None:
            return False
        if alone and (event.source is None or station.layout.events != "server"):
            return True
        if event.source is None:
            return False
        if event.source == station.root or event.source in station.nodes:
            return True
        if station.root == self._session.objects:
            return True
        return station.root in await self._ancestors(event.source)

    async def _ancestors(self, node: Any) -> frozenset[Any]:
        known = self._above.get(node)
        if known is None:
            if len(self._above) >= _REMEMBERED:
                self._above.clear()
            known = self._above[node] = frozenset(await ancestors(self._session, node))
        return known

    async def _type_name(self, type_: Any) -> str:
        if type_ is None:
            return "event"
        name = self._types.get(type_)
        if name is None:
            name = self._types[type_] = await browse_name(self._session, type_) or "event"
        return name


def _points_of(station: Station) -> Callable[[Any], str | None]:
    def point_of(node: Any) -> str | None:
        if node is None or node.is_null():
            return None
        for place, each in zip(station.layout.places, station.nodes, strict=True):
            if each == node:
                return place.name
        return None

    return point_of
