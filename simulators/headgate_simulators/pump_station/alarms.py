"""What a controller raises: conditions after OPC 10000-9, with active and acknowledged state.

Each station has `HighLevel` (its input is the level) and `PumpTripped` of either pump. A condition is kept
while it is active or not yet acknowledged. Every event leaves from the Server object, as the library
does not pass events up from where they arise.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua as library
from asyncua.server.server import Server

#: Its generated types fit no type checker.
ua: Any = library

HIGH_LEVEL_SEVERITY, TRIP_SEVERITY = 800, 600


class Condition:
    """One condition of one station."""

    def __init__(self, name: str, source: Any, input_: Any, node_id: Any, severity: int) -> None:
        self.name = name
        self.active = False
        self.acked = True
        self._source = source
        self._input = input_
        self._node_id = node_id
        self._severity = severity
        self._generator: Any = None

    async def build(self, server: Server) -> None:
        """Make what raises it."""
        self._generator = await server.get_event_generator(ua.ObjectIds.OffNormalAlarmType)
        event = self._generator.event
        event.SourceNode = self._source.nodeid
        event.SourceName = (await self._source.read_browse_name()).Name
        event.ConditionName = self.name
        event.NodeId = self._node_id
        event.InputNode = self._input.nodeid
        event.Severity = self._severity

    async def see(self, active: bool) -> None:
        """Tell when the state is another than before."""
        if active == self.active:
            return
        self.active = active
        self.acked = not active
        await self._tell(f"{self.name} {'raised' if active else 'over'}")

    async def acknowledge(self) -> None:
        """An operator has seen it."""
        if self.active and not self.acked:
            self.acked = True
            await self._tell(f"{self.name} acknowledged")

    async def _tell(self, message: str) -> None:
        event = self._generator.event
        setattr(event, "ActiveState/Id", self.active)
        setattr(event, "AckedState/Id", self.acked)
        event.Retain = self.active or not self.acked
        await self._generator.trigger(message=message)
