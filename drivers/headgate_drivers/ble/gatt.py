"""Sensors that are connected to: characteristics read at their interval, or told by notification."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from headgate.sdk import ChannelError
from headgate_drivers.ble.heard import USUAL_INTERVAL_US, Heard
from headgate_drivers.ble.points import Follow, Verdict

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
#: A sensor that is not heard for so long may be silent because a connection of it was left behind.
UNHEARD_S = 30.0
_CONNECT_S, _ANSWER_S, _LEAVE_S, _UNANSWERED_S = 20.0, 10.0, 3.0, 0.1
_LOST = (BleakError, OSError, EOFError, TimeoutError)

Bring = Callable[[Heard, dict[str, Verdict]], None]


class Connections:
    """Keeps every connected sensor of one adapter connected while its `async with` lasts.

    An adapter connects to one sensor at a time. A sensor is connected to when it was heard: many of them
    listen for a moment after they advertised, and sleep otherwise.

    Args:
        bring: told of every look at a sensor and every notification.
        alive: whether bluetoothd is there. One that is gone is not waited for when a sensor is let go:
            bleak would wait ten seconds for its answer.
        let_go: ends a connection to an address that an earlier run, or a bluetoothd that died, left behind.
    """

    def __init__(
        self,
        sensors: Iterable[Heard],
        adapter: str,
        bring: Bring,
        alive: Callable[[], bool],
        let_go: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._adapter = adapter
        self._bring = bring
        self._alive = alive
        self._let_go = let_go
        self._turn = asyncio.Lock()
        self._sensors = {heard.reader.identity: _Sensor(heard) for heard in sensors}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Connections:
        self._tasks = [
            asyncio.create_task(self._keep(sensor), name=f"ble gatt {sensor.heard.device.id}")
            for sensor in self._sensors.values()
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def heard(self, device: BLEDevice) -> None:
        """An advert: perhaps of somebody we wait for."""
        sensor = self._sensors.get(device.address.upper())
        if sensor is not None:
            sensor.known = device
            sensor.awake.set()

    async def _keep(self, sensor: _Sensor) -> None:
        pause_s = FIRST_PAUSE_S
        await self._release(sensor)
        while True:
            await self._heard(sensor)
            assert sensor.known is not None
            client = BleakClient(
                sensor.known,
                sensor.left,
                timeout=_CONNECT_S,
                bluez={"adapter": self._adapter},
            )
            sensor.gone.clear()
            try:
                async with self._turn:
                    await client.connect()
                pause_s = FIRST_PAUSE_S
                await self._follow(sensor, client)
                reason = "it disconnected"
            except _LOST as error:
                reason = f"{type(error).__name__}: {error}"
            finally:
                await self._leave(client)
            log.info(
                "ble-sensor-lost",
                extra={"device": sensor.heard.device.id, "reason": reason[:200], "code": "HG-3514"},
            )
            sensor.heard.counted["disconnects"] += 1
            await asyncio.sleep(pause_s)
            sensor.awake.clear()  # what it said before it left does not count
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _heard(self, sensor: _Sensor) -> None:
        """Until it advertises."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(UNHEARD_S):
                    await sensor.awake.wait()
                return
            await self._release(sensor)

    async def _release(self, sensor: _Sensor) -> None:
        with suppress(ChannelError):  # the line is lost, and says so itself
            if await self._let_go(sensor.heard.reader.identity):
                log.info("ble-sensor-freed", extra={"device": sensor.heard.device.id})

    async def _follow(self, sensor: _Sensor, client: BleakClient) -> None:
        """Until it is gone. Raises what bleak raises."""
        for follow in sensor.told:
            await client.start_notify(follow.uuid, self._notified(sensor.heard, follow))
        interval_s = (sensor.heard.device.interval_us or USUAL_INTERVAL_US) / 1_000_000
        while not sensor.gone.is_set():
            values: dict[str, Verdict] = {}
            for follow in sensor.read:
                async with asyncio.timeout(_ANSWER_S):
                    data = bytes(await client.read_gatt_char(follow.uuid))
                values.update(sensor.heard.reader.placed(follow.places, data))
            if values:
                self._bring(sensor.heard, values)
            try:
                async with asyncio.timeout(interval_s):
                    await sensor.gone.wait()
            except TimeoutError:
                continue

    def _notified(
        self, heard: Heard, follow: Follow
    ) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
        def told(_: BleakGATTCharacteristic, data: bytearray) -> None:
            self._bring(heard, heard.reader.placed(follow.places, bytes(data)))

        return told

    async def _leave(self, client: BleakClient) -> None:
        # Always, even when nobody is there to answer: it is what closes the client's own bus.
        try:
            async with asyncio.timeout(_LEAVE_S if self._alive() else _UNANSWERED_S):
                await client.disconnect()
        except _LOST as error:
            log.debug("a sensor did not disconnect", extra={"reason": str(error)[:200]})


class _Sensor:
    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self.known: BLEDevice | None = None
        self.awake = asyncio.Event()
        self.gone = asyncio.Event()
        self.told = [follow for follow in heard.reader.follows if follow.notify]
        self.read = [follow for follow in heard.reader.follows if not follow.notify]

    def left(self, _: BleakClient) -> None:
        """The sensor, or the adapter, ended the connection."""
        self.gone.set()
