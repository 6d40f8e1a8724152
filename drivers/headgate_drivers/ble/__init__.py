"""BLE: what sensors and tags advertise, and sensors that are connected to.

codec    advertisements as fields (pure)
sealing  AES-CCM, as sensors seal their frames
points   what a profile may say; frames into values of points (pure)
heard    one device's adverts into blocks: dedupe, replays, alarms (pure)
roll     whose advert it is
line     what the site file says of a channel
bluez    says when bluetoothd or the adapter is gone
radio    the one scan of an adapter
gatt     sensors that are connected to
driver   all of it, and the watchdog
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.ble.driver import BleDriver

__all__ = ["BleDriver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The BLE driver."""
    return [BleDriver]
