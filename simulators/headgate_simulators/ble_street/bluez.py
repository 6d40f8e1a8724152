"""An `org.bluez` as far as a scanner and a client look: one adapter, devices, GATT, monitors.

Written from BlueZ's D-Bus documentation (org.bluez.Adapter, .Device, .GattCharacteristic,
.AdvertisementMonitorManager). It does what the daemon does in the field, the unpleasant things too:
without `DuplicateData` an advert that says nothing new is not told; a scan may hang; it may be gone.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_BASE = "-0000-1000-8000-00805f9b34fb"

Interfaces = dict[str, dict[str, Variant]]


@dataclass
class Said:
    """One advertisement. Services by four or 36 characters of UUID, makers by company number."""

    address: str
    rssi: int = -60
    name: str = ""
    service: dict[str, bytes] = field(default_factory=dict)
    company: dict[int, bytes] = field(default_factory=dict)

    def structures(self) -> list[tuple[int, bytes]]:
        """(AD type, bytes) as they stand on the air."""
        found = [
            (0xFF, number.to_bytes(2, "little") + data) for number, data in self.company.items()
        ]
        for uuid, data in self.service.items():
            if len(uuid) == 4:
                found.append((0x16, bytes.fromhex(uuid)[::-1] + data))
        return found


_DBUS = "org.freedesktop.DBus"


class FakeBluez:
    """One daemon with one adapter. `start` may be called again after `die`: bluetoothd restarted."""

    def __init__(self, address: str, adapter: str = "hci0", *, monitors: bool = True) -> None:
        self.path = f"/org/bluez/{adapter}"
        self.objects: dict[str, Interfaces] = {}
        self.started = 0  # scans begun
        self.powered = True
        #: A scan that is on and hears nothing, until it is begun anew `stuck` times.
        self.stuck = 0
        self.refuses_scans = False
        #: So many StopDiscovery are answered "in progress": BlueZ before 5.88, when the kernel is quicker.
        self.rejected_stops = 0
        #: What characteristics hold, by device address and UUID.
        self.values: dict[tuple[str, str], Callable[[], bytes]] = {}
        self.connects = 0
        self._address = address
        self._monitors_known = monitors
        self._bus: MessageBus | None = None
        self._scans: dict[str, bool] = {}  # who scans, and whether with duplicates
        self._filters: dict[str, bool] = {}
        self._monitors: dict[tuple[str, str], list[Any]] = {}
        self._last: dict[str, tuple[Any, Any]] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._out: deque[Message] = deque()
        self._kept: dict[str, Interfaces] = {}

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Own the name."""
        self._bus = bus = await MessageBus(bus_address=self._address).connect()
        self.objects = {
            "/org/bluez": {"org.bluez.AgentManager1": {}},
            self.path: {ADAPTER: self._adapter()},
            **self._kept,
        }
        if self._monitors_known:
            self.objects[self.path][MONITORS] = {
                "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
            }
        bus.add_message_handler(self._answer)
        await bus.request_name("org.bluez")
        await bus.call(
            Message(
                destination=_DBUS, path="/org/freedesktop/DBus", interface=_DBUS, member="AddMatch",
                signature="s", body=[f"type='signal',sender='{_DBUS}',member='NameOwnerChanged'"],
            )
        )  # fmt: skip

    async def die(self) -> None:
        """Gone without a word, as a process that was killed."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.remove_message_handler(self._answer)
            bus.disconnect()
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._scans.clear()
        self._monitors.clear()
        self._last.clear()
        # The kernel keeps its connections; who is started next finds them.
        self._kept = {
            path: {DEVICE: interfaces[DEVICE]}
            for path, interfaces in self.objects.items()
            if DEVICE in interfaces and interfaces[DEVICE]["Connected"].value
        }
        self.objects.clear()
        self._out.clear()

    def _adapter(self) -> dict[str, Variant]:
        return {
            "Address": Variant("s", "00:1A:7D:DA:71:13"), "AddressType": Variant("s", "public"),
            "Name": Variant("s", "street"), "Alias": Variant("s", "street"),
            "Powered": Variant("b", self.powered), "Discovering": Variant("b", False),
            "UUIDs": Variant("as", []), "Roles": Variant("as", ["central", "peripheral"]),
        }  # fmt: skip

    # ------------------------------------------------------------ what is on the air

    def advertise(self, said: Said) -> bool:
        """One advertisement on the air; whether anybody was told."""
        if self._bus is None or not self.powered or self.stuck or not self._listened(said):
            return False
        path = self._path(said.address)
        if path in self.objects and self.objects[path][DEVICE]["Connected"].value:
            return False  # a peripheral that is connected does not advertise
        payload = (dict(said.service), dict(said.company))
        told = {
            "RSSI": Variant("n", said.rssi),
            "ServiceData": Variant(
                "a{sv}", {_long(u): Variant("ay", data) for u, data in said.service.items()}
            ),
            "ManufacturerData": Variant(
                "a{qv}", {number: Variant("ay", data) for number, data in said.company.items()}
            ),
        }
        if path not in self.objects:
            self._last[path] = payload
            self._add(path, {DEVICE: {**self._device(said), **told}})
            return True
        # BlueZ keeps silent about what is not new unless somebody asked for duplicates.
        if self._last.get(path) == payload and not any(self._scans.values()):
            return False
        self._last[path] = payload
        if not said.service:
            del told["ServiceData"]
        if not said.company:
            del told["ManufacturerData"]
        self._change(path, DEVICE, told)
        return True

    def _listened(self, said: Said) -> bool:
        if self._scans:
            return True
        return any(
            value.startswith(bytes(content), start)
            for patterns in self._monitors.values()
            for start, wanted, content in patterns
            for kind, value in said.structures()
            if kind == wanted
        )

    def _device(self, said: Said) -> dict[str, Variant]:
        no = Variant("b", False)
        properties = {
            "Address": Variant("s", said.address), "AddressType": Variant("s", "random"),
            "Alias": Variant("s", said.name or said.address.replace(":", "-")),
            "Adapter": Variant("o", self.path), "Paired": no, "Bonded": no, "Connected": no,
            "Trusted": no, "Blocked": no, "LegacyPairing": no, "ServicesResolved": no,
            "UUIDs": Variant("as", []),
        }  # fmt: skip
        if said.name:
            properties["Name"] = Variant("s", said.name)
        return properties

    def notify(self, address: str, uuid: str, value: bytes) -> bool:
        """A characteristic's news; whether anybody had asked for them."""
        for path, interfaces in self.objects.items():
            told = interfaces.get(CHARACTERISTIC)
            mine = told and path.startswith(self._path(address))
            if told and mine and told["UUID"].value == _long(uuid) and told["Notifying"].value:
                self._change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})
                return True
        return False

    def power(self, *, on: bool) -> None:
        """The adapter's switch."""
        self.powered = on
        if self.path not in self.objects:
            return  # the daemon is gone; it will find the adapter so
        if not on:
            for path in [p for p, i in self.objects.items() if DEVICE in i]:
                self.disconnect(path)
            self._scans.clear()
        changed = {"Powered": Variant("b", on), "Discovering": Variant("b", False)}
        self._change(self.path, ADAPTER, changed)

    def remember(self, said: Said) -> None:
        """A device of days ago that BlueZ tells of, with its last data and no RSSI: nobody hears it now."""
        data = {u: Variant("ay", d) for u, d in said.service.items()}
        told = {"ServiceData": Variant("a{sv}", {_long(u): d for u, d in data.items()})}
        self._add(self._path(said.address), {DEVICE: {**self._device(said), **told}})

    def hold(self, address: str) -> None:
        """A connection that a program left behind when it was killed: nobody holds it, BlueZ keeps it."""
        path = self._path(address)
        if path not in self.objects:
            self._add(path, {DEVICE: self._device(Said(address))})
        self._change(path, DEVICE, {"Connected": Variant("b", True)})

    def unplug(self) -> None:
        """The adapter is pulled."""
        self._scans.clear()
        self._remove(self.path)

    def disconnect(self, path: str) -> None:
        """A peripheral leaves."""
        for below in [p for p in self.objects if p.startswith(path + "/")]:
            self._remove(below)
        if self.objects[path][DEVICE]["Connected"].value:
            off = {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
            self._change(path, DEVICE, off)

    def leave(self, address: str) -> None:
        """The peripheral of this address ends its connection."""
        self.disconnect(self._path(address))

    @property
    def scanning(self) -> bool:
        """Whether anybody listens at all."""
        return bool(self._scans or self._monitors)

    @property
    def passive(self) -> bool:
        """Whether somebody listens by monitor, and nobody by discovery."""
        return bool(self._monitors) and not self._scans

    def _path(self, address: str) -> str:
        return f"{self.path}/dev_{address.replace(':', '_')}"

    # ------------------------------------------------------------ the object tree

    def _signal(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        self._post(
            Message(
                path=path, interface=interface, member=member, signature=signature, body=body,
                message_type=MessageType.SIGNAL,
            )
        )  # fmt: skip

    def _post(self, message: Message) -> None:
        """Send in order. dbus-fast gives its bus up when the socket is full, so it never gets a full one."""
        self._out.append(message)
        if len(self._out) == 1 and not self._flush():
            self._soon(self._drain())

    def _flush(self) -> bool:
        """Send what the socket takes; whether that was all."""
        while self._out and self._bus is not None:
            # Linux calls a Unix socket writable while three quarters of its buffer are free.
            sock = self._bus._sock
            if sock is None or not select.select([], [sock], [], 0)[1]:
                return False
            self._bus.send(self._out.popleft())
        return True

    async def _drain(self) -> None:
        while not self._flush():  # noqa: ASYNC110 - the socket's own event is dbus-fast's
            await asyncio.sleep(0.001)

    def _add(self, path: str, interfaces: Interfaces) -> None:
        self.objects[path] = interfaces
        manager = "org.freedesktop.DBus.ObjectManager"
        self._signal("/", manager, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _remove(self, path: str) -> None:
        gone = list(self.objects.pop(path))
        manager = "org.freedesktop.DBus.ObjectManager"
        self._signal("/", manager, "InterfacesRemoved", "oas", [path, gone])

    def _change(self, path: str, interface: str, changed: Mapping[str, Variant]) -> None:
        self.objects[path][interface].update(changed)
        body = [interface, dict(changed), []]
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    # ------------------------------------------------------------ what is asked

    def _answer(self, message: Message) -> Any:
        if message.member == "NameOwnerChanged" and message.sender == _DBUS:
            name, _, owner = message.body
            if not owner:
                self._gone(name)
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        here = self.objects.get(message.path or "")
        if here is None:
            return None  # the library answers that there is no such object
        if message.interface == _PROPERTIES:
            return self._properties(message, here)
        call = getattr(self, f"_on_{message.member}", None)
        known = message.interface in here
        return call(message, here) if call is not None and known else None

    def _gone(self, client: str) -> None:
        """A client left without a word: what it had asked for ends, as the daemon does it."""
        self._scans.pop(client, None)
        self._filters.pop(client, None)
        for key in [key for key in self._monitors if key[0] == client]:
            del self._monitors[key]

    def _properties(self, message: Message, here: Interfaces) -> Any:
        if message.member == "GetAll":
            return Message.new_method_return(message, "a{sv}", [here.get(message.body[0], {})])
        if message.member == "Get" and message.body[1] in here.get(message.body[0], {}):
            return Message.new_method_return(message, "v", [here[message.body[0]][message.body[1]]])
        return None

    def _done(self, message: Message) -> Any:
        return Message.new_method_return(message)

    def _on_SetDiscoveryFilter(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        told = message.body[0].get("DuplicateData")
        self._filters[str(message.sender)] = bool(told.value) if told else False
        return self._done(message)

    def _on_StartDiscovery(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        if not self.powered:
            return Message.new_error(message, "org.bluez.Error.NotReady", "Resource Not Ready")
        if self.refuses_scans:
            return Message.new_error(message, "org.bluez.Error.Failed", "Failed to start discovery")
        sender = str(message.sender)
        self._scans[sender] = self._filters.get(sender, False)
        self._begun()
        self._change(self.path, ADAPTER, {"Discovering": Variant("b", True)})
        return self._done(message)

    def _on_StopDiscovery(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        if self.rejected_stops:
            self.rejected_stops -= 1
            self._scans.pop(str(message.sender), None)
            return Message.new_error(message, "org.bluez.Error.InProgress", "In Progress")
        if self._scans.pop(str(message.sender), None) is None:
            return Message.new_error(message, "org.bluez.Error.Failed", "No discovery started")
        self._change(self.path, ADAPTER, {"Discovering": Variant("b", bool(self._scans))})
        return self._done(message)

    def _begun(self) -> None:
        self.started += 1
        if self.stuck:
            self.stuck -= 1

    def _on_RegisterMonitor(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self._soon(self._activate(str(message.sender), str(message.body[0])))
        return self._done(message)

    def _on_UnregisterMonitor(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self._monitors.pop((str(message.sender), str(message.body[0])), None)
        return self._done(message)

    async def _activate(self, sender: str, path: str) -> None:
        """Ask the monitor for its patterns, as the daemon does once it is there."""
        interface = "org.bluez.AdvertisementMonitor1"
        for _ in range(100):
            if self._bus is None:
                return
            reply = await self._bus.call(
                Message(
                    destination=sender, path=path, interface=_PROPERTIES, member="Get",
                    signature="ss", body=[interface, "Patterns"],
                )
            )  # fmt: skip
            if reply.message_type is MessageType.METHOD_RETURN:
                break
            await asyncio.sleep(0.01)
        else:
            return
        self._monitors[sender, path] = list(reply.body[0].value)
        self._begun()
        call = Message(destination=sender, path=path, interface=interface, member="Activate")
        await self._bus.call(call)

    def _on_Connect(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self._soon(self._connect(message))
        return True  # answered when it is done

    async def _connect(self, message: Message) -> None:
        path = str(message.path)
        await asyncio.sleep(0.01)
        if self._bus is None or path not in self.objects:
            return
        self.connects += 1
        self._change(path, DEVICE, {"Connected": Variant("b", True)})
        self._post(Message.new_method_return(message))
        address = self.objects[path][DEVICE]["Address"].value
        service = f"{path}/service0001"
        self._add(service, {SERVICE: {
            "UUID": Variant("s", _long("181a")), "Device": Variant("o", path),
            "Primary": Variant("b", True), "Includes": Variant("ao", []),
        }})  # fmt: skip
        owned = [uuid for owner, uuid in self.values if owner == address]
        for at, uuid in enumerate(owned):
            self._add(f"{service}/char{at:04x}", {CHARACTERISTIC: {
                "UUID": Variant("s", _long(uuid)), "Service": Variant("o", service),
                "Value": Variant("ay", b""), "Notifying": Variant("b", False),
                "MTU": Variant("q", 185), "Flags": Variant("as", ["read", "notify"]),
            }})  # fmt: skip
        self._change(path, DEVICE, {"ServicesResolved": Variant("b", True)})

    def _on_Disconnect(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self.disconnect(str(message.path))
        return self._done(message)

    def _on_ReadValue(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        device = str(message.path).split("/service")[0]
        address = self.objects[device][DEVICE]["Address"].value
        uuid = here[CHARACTERISTIC]["UUID"].value
        for (owner, name), value in self.values.items():
            if owner == address and _long(name) == uuid:
                return Message.new_method_return(message, "ay", [value()])
        return Message.new_error(message, "org.bluez.Error.Failed", "no value")

    def _on_StartNotify(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self._change(str(message.path), CHARACTERISTIC, {"Notifying": Variant("b", True)})
        return self._done(message)

    def _on_StopNotify(self, message: Message, here: Interfaces) -> Any:  # noqa: N802
        self._change(str(message.path), CHARACTERISTIC, {"Notifying": Variant("b", False)})
        return self._done(message)

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _long(uuid: str) -> str:
    return f"0000{uuid}{_BASE}" if len(uuid) == 4 else uuid
