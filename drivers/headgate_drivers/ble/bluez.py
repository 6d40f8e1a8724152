"""Watches BlueZ itself, because bleak does not say when it dies.

With bleak 3.1, when bluetoothd ends while the bus lives on, no callback comes: a scan stays silent and a
client says that it is connected. So a connection of our own watches the name `org.bluez` and the adapter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from headgate.sdk import ChannelClosed

log = logging.getLogger(__name__)

BLUEZ = "org.bluez"
_ADAPTER, _DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_BUS = "org.freedesktop.DBus"
_ANSWER_S = 5.0


class BluezWatch:
    """`async with BluezWatch("hci0", lost)`: calls `lost(error)` once, when nothing can be heard any more.

    Raises (on entering):
        ChannelClosed: no bus, no bluetoothd, no such adapter, or it is off.
    """

    def __init__(self, adapter: str, lost: Callable[[ChannelClosed], None]) -> None:
        self.adapter = adapter
        self.path = f"/org/bluez/{adapter}"
        #: False as soon as bluetoothd is gone: nothing that asks it will be answered.
        self.alive = True
        self._lost = lost
        self._bus: MessageBus | None = None
        self._ended: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BluezWatch:
        try:
            self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        except (OSError, DBusError, ValueError, EOFError, asyncio.IncompleteReadError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ChannelClosed(
                f"no system D-Bus: {reason}", code="HG-3500", reason=reason
            ) from error
        try:
            await self._begin(self._bus)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.remove_message_handler(self._hear)
            if bus.connected:
                bus.disconnect()
                await asyncio.gather(_end_of(bus), return_exceptions=True)

    async def let_go(self, address: str) -> bool:
        """End a connection to a sensor that nobody here holds; whether one was ended.

        BlueZ keeps a connection when the program that asked for it is killed, and the kernel keeps it when
        bluetoothd is: the sensor then does not advertise, and would never be heard again.

        Raises:
            ChannelClosed: bluetoothd does not answer.
        """
        bus, path = self._bus, f"{self.path}/dev_{address.replace(':', '_')}"
        if bus is None:
            return False
        body = [_DEVICE, "Connected"]
        connected = await self._ask(bus, BLUEZ, path, _PROPERTIES, "Get", "ss", body)
        if not connected or not connected[0].value:
            return False
        ended = await self._ask(bus, BLUEZ, path, _DEVICE, "Disconnect", "", []) is not None
        if not ended:
            log.info("a connection that was left behind does not end", extra={"path": path})
        return ended

    async def _begin(self, bus: MessageBus) -> None:
        bus.add_message_handler(self._hear)
        for rule in (
            f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
            f"type='signal',sender='{BLUEZ}',path='{self.path}',member='PropertiesChanged'",
            f"type='signal',sender='{BLUEZ}',path='/',member='InterfacesRemoved',arg0path='{self.path}'",
        ):
            await self._ask(bus, _BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", [rule])
        owner = await self._ask(
            bus, _BUS, "/org/freedesktop/DBus", _BUS, "NameHasOwner", "s", [BLUEZ]
        )
        if not owner or not owner[0]:
            raise _gone()
        body = [_ADAPTER, "Powered"]
        powered = await self._ask(bus, BLUEZ, self.path, _PROPERTIES, "Get", "ss", body)
        if powered is None:
            raise self._no_adapter()
        if not powered[0].value:
            raise self._off()
        self._ended = asyncio.create_task(self._watch_bus(bus), name=f"ble {self.adapter} bus")

    async def _ask(
        self,
        bus: MessageBus,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[Any],
    ) -> list[Any] | None:
        message = Message(
            destination=destination, path=path, interface=interface, member=member,
            signature=signature, body=body,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_ANSWER_S):
                reply = await bus.call(message)
        except (TimeoutError, OSError, EOFError) as error:
            raise _gone() from error
        if reply.message_type is MessageType.ERROR:
            return None
        return list(reply.body)

    async def _watch_bus(self, bus: MessageBus) -> None:
        await asyncio.gather(_end_of(bus), return_exceptions=True)
        self.alive = False
        self._lost(ChannelClosed("the system D-Bus ended", code="HG-3500", reason="it ended"))

    def _hear(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        body = message.body
        if message.member == "NameOwnerChanged" and body[0] == BLUEZ:
            # Also when it was restarted so fast that the new owner is there at once.
            if body[1]:
                self.alive = False
                self._lost(_gone())
        elif message.member == "InterfacesRemoved":
            if body[0] == self.path and _ADAPTER in body[1]:
                self._lost(self._no_adapter())
        elif message.member == "PropertiesChanged" and message.path == self.path:
            powered = body[1].get("Powered") if body[0] == _ADAPTER else None
            if powered is not None and not powered.value:
                self._lost(self._off())

    def _no_adapter(self) -> ChannelClosed:
        return ChannelClosed(f"no adapter {self.adapter}", code="HG-3502", adapter=self.adapter)

    def _off(self) -> ChannelClosed:
        return ChannelClosed(f"adapter {self.adapter} is off", code="HG-3503", adapter=self.adapter)


async def _end_of(bus: MessageBus) -> None:
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _gone() -> ChannelClosed:
    return ChannelClosed("bluetoothd is not running", code="HG-3501")
