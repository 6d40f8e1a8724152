"""What advertises around the guest's adapter, on another Bluetooth stack: bumble, behind hci_vhci.

Written from the formats' own texts. SIGUSR1 makes the connected sensor end its connection, SIGUSR2 makes
everybody silent, or talk again.
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "build/rigs/peers"))

from bumble import hci, ll  # noqa: E402
from bumble.controller import Controller  # noqa: E402
from bumble.device import Device  # noqa: E402
from bumble.gatt import Characteristic, Service  # noqa: E402
from bumble.host import Host  # noqa: E402
from bumble.link import LocalLink  # noqa: E402
from bumble.transport import open_transport  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESCCM  # noqa: E402

from rigs.guest.site import KEY, PROBE, SEALED, TAG, THERMOMETER  # noqa: E402

BEACON = bytes.fromhex("fda50693a4e24fb1afcfc6eb07647825") + struct.pack(">HHb", 10001, 7, -59)
STRANGERS = 200
_BASE = "-0000-1000-8000-00805f9b34fb"


def ad(kind: int, data: bytes) -> bytes:
    """One AD structure."""
    return bytes([len(data) + 1, kind]) + data


def bthome(n: int) -> bytes:
    """Packet id, battery, temperature 20.00 + n hundredths, humidity."""
    return struct.pack("<BBBBBhBH", 0, n & 0xFF, 1, 90, 2, 2000 + n % 1000, 3, 5000)


def plain(n: int) -> bytes:
    """The thermometer's advert."""
    return ad(0x16, b"\xd2\xfc\x40" + bthome(n))


def sealed(n: int) -> bytes:
    """The same, sealed as bthome.io/encryption says: MAC, UUID, device info, counter make the nonce."""
    counter = struct.pack("<I", n)
    mac = bytes.fromhex(SEALED.replace(":", ""))
    nonce = mac + b"\xd2\xfc\x41" + counter
    whole = AESCCM(KEY, tag_length=4).encrypt(nonce, bthome(n), None)
    return ad(0x16, b"\xd2\xfc\x41" + whole[:-4] + counter + whole[-4:])


def tag(n: int) -> bytes:
    """The same iBeacon for ever."""
    return ad(0xFF, b"\x4c\x00\x02\x15" + BEACON)


class Air(LocalLink):
    """Bumble's link, with the sender of data known by the address that its connection has.

    Bumble takes the random address for it, which the kernel changes with every scan.
    """

    def send_acl_data(self, sender_controller, destination_address, transport, data):  # type: ignore[no-untyped-def]
        connection = sender_controller.le_connections.get(destination_address)
        if connection is None:
            return
        receiver = self.find_le_controller(destination_address)
        if receiver is not None:
            source = connection.self_address
            loop = asyncio.get_running_loop()
            loop.call_soon(receiver.on_link_acl_data, source, transport, data)

    def send_ll_control_pdu(self, sender_address, receiver_address, packet):  # type: ignore[no-untyped-def]
        print(f"{sender_address} to {receiver_address}: {type(packet).__name__}", flush=True)
        super().send_ll_control_pdu(sender_address, receiver_address, packet)


class Street:
    """One link with BlueZ's controller, a connectable sensor, and a sender for all who only talk."""

    def __init__(self) -> None:
        self.link = Air()
        self.silent = False
        self.count = 0
        self.sender = Controller("sender", link=self.link)
        host = Host()
        host.controller = Controller("probe", link=self.link)
        self.probe = Device(name="PROBE", address=hci.Address(PROBE), host=host)
        both = Characteristic.Properties.READ | Characteristic.Properties.NOTIFY
        self.warm = Characteristic(f"00002a6e{_BASE}", both, Characteristic.READABLE, b"\0\0")
        battery = Characteristic(
            f"00002a19{_BASE}", Characteristic.Properties.READ, Characteristic.READABLE, b"\x58"
        )
        self.probe.add_service(Service(f"0000181a{_BASE}", [self.warm]))
        self.probe.add_service(Service(f"0000180f{_BASE}", [battery]))
        self.probe.advertising_data = ad(1, b"\x06") + ad(9, b"PROBE")

    async def begin(self) -> None:
        """The sensor is on."""
        await self.probe.power_on()
        await self.probe.start_advertising(
            auto_restart=True, advertising_interval_min=500, advertising_interval_max=500
        )

    def say(self, address: str, data: bytes) -> None:
        """One advertisement on the air."""
        self.sender.send_advertising_pdu(ll.AdvInd(hci.Address(address), data))

    async def talk(self) -> None:
        """One round a second; strangers in between, so that the guest is not asked for all at once."""
        units: list[tuple[str, Callable[[int], bytes]]] = [
            (THERMOMETER, plain), (SEALED, sealed), (TAG, tag)
        ]  # fmt: skip
        before = ""
        while True:
            await asyncio.sleep(1)
            how = f"probe: advertises {self.probe.is_advertising}, connected {len(self.probe.connections)}"
            if how != before:
                before = how
                print(f"{self.count} {how}", flush=True)
            if self.silent:
                continue
            self.count += 1
            for address, frame in units:
                self.say(address, frame(self.count))
            for at in range(STRANGERS // 20):
                number = (self.count * (STRANGERS // 20) + at) % STRANGERS
                self.say(f"EE:EE:00:00:00:{number:02X}", ad(0xFF, bytes([6, 0, number])))
            self.warm.value = struct.pack("<h", 3000 + self.count % 1000)
            await self.probe.notify_subscribers(self.warm)

    def leave(self) -> None:
        """The sensor ends its connection."""
        for connection in list(self.probe.connections.values()):
            self.leaving = asyncio.ensure_future(connection.disconnect())

    def hush(self) -> None:
        """Silent, or not any more."""
        self.silent = not self.silent


async def main() -> None:
    """Until it is killed."""
    async with await open_transport("vhci") as adapter:
        street = Street()
        # What BlueZ sees as hci0.
        Controller(
            "hci0", host_source=adapter.source, host_sink=adapter.sink, link=street.link,
            public_address="00:1A:7D:DA:71:13",
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, street.leave)
        loop.add_signal_handler(signal.SIGUSR2, street.hush)
        await street.begin()
        await street.talk()


if __name__ == "__main__":
    asyncio.run(main())
