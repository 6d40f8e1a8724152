"""The one scan of an adapter, through bleak."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from bleak import BleakScanner
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from headgate.sdk import ChannelClosed
from headgate_drivers.ble.codec import Advert, short

log = logging.getLogger(__name__)

Mode = Literal["active", "passive"]
Heads = Sequence[tuple[int, bytes]]

#: What BlueZ says for "no RSSI": a device it remembers, not one that is heard.
_NO_RSSI = -127
#: bleak waits up to ten seconds for a bluetoothd that will not answer any more.
_STOP_S = 3.0


class Radio:
    """A scan that can be begun again.

    Args:
        adapter: `hci0`.
        mode: whether tags are asked for more (active) or only listened to.
        heads: how the frames that are wanted begin; a passive scan must know.
        heard: called with every advert, and with what bleak needs to connect to its sender.
    """

    def __init__(
        self,
        adapter: str,
        mode: Mode,
        heads: Heads,
        heard: Callable[[Advert, BLEDevice], None],
    ) -> None:
        self.adapter = adapter
        self.mode = mode
        self._heads = heads
        self._heard = heard
        self._scanner: BleakScanner | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ChannelClosed: BlueZ does not let us.
        """
        self._scanner = scanner = BleakScanner(self._take, None, self.mode, bluez=self._bluez())
        try:
            await scanner.start()
        # bleak lets the errors of the bus through as they are.
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            self._scanner = None
            raise ChannelClosed(
                f"adapter {self.adapter} does not scan: {error}",
                code="HG-3504", adapter=self.adapter, reason=str(error)[:200],
            ) from error  # fmt: skip

    async def stop(self) -> None:
        """End it. A BlueZ that is gone is not waited for; bleak has then dropped the scan all the same."""
        scanner, self._scanner = self._scanner, None
        if scanner is None:
            return
        try:
            async with asyncio.timeout(_STOP_S):
                await scanner.stop()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            log.info("the scan did not end in order", extra={"reason": str(error)[:200]})

    def _bluez(self) -> Any:
        if self.mode == "passive":
            patterns = [(0, AdvertisementDataType(kind), begin) for kind, begin in self._heads]
            return {"adapter": self.adapter, "or_patterns": patterns}
        # Without DuplicateData a beacon that says the same for ever would be heard once.
        return {"adapter": self.adapter, "filters": {"DuplicateData": True}}

    def _take(self, device: BLEDevice, data: AdvertisementData) -> None:
        if data.rssi == _NO_RSSI:
            return
        advert = Advert(
            device.address.upper(),
            data.rssi,
            tuple((short(uuid), value) for uuid, value in data.service_data.items()),
            tuple(data.manufacturer_data.items()),
        )
        self._heard(advert, device)
