"""The BLE driver: one scan per adapter, its adverts told apart by device, sensors connected to by profile."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from headgate.sdk import (
    Alarm,
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Device,
    PluginError,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Status,
    StreamingDriver,
    status_word,
)
from headgate_drivers.ble.codec import advert_of
from headgate_drivers.ble.codec.freshness import Freshness
from headgate_drivers.ble.heard import Heard, Told, freshness_of
from headgate_drivers.ble.points import POINT_KEYS, Verdict, key_of, reader_of
from headgate_drivers.ble.roll import Roll
from headgate_drivers.ble.tally import Tally

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice

    from headgate_drivers.ble.bluez import BluezWatch
    from headgate_drivers.ble.codec import Advert
    from headgate_drivers.ble.gatt import Connections
    from headgate_drivers.ble.line import LineOptions
    from headgate_drivers.ble.radio import Radio

log = logging.getLogger(__name__)

#: Blocks that wait for the core. When it does not take them the oldest goes: a later one tells more.
MOST_WAITING = 2_000


class BleDriver(StreamingDriver):
    """Listens to what `ble://hci0` hears of the site's devices."""

    name: ClassVar[str] = "ble"
    schemes: ClassVar[tuple[str, ...]] = ("ble",)
    transport: ClassVar[Literal["channel", "own"]] = "own"
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        # A counter lives as long as the gateway: a line that was lost does not make a replay new.
        self._counters: dict[tuple[str, str], Freshness] = {}
        # What was counted lives as long: a number that falls is no counter.
        self._tallies: dict[str, Tally] = {}

    def check(self, device: Device) -> None:
        reader_of(device)
        _own_key(device)

    def replay(self, device: Device, exchanges: Sequence[tuple[bytes, bytes]]) -> Block:
        """Recorded advertisements (AD structures) or values of characteristics as one block.

        For a connected sensor the n-th frame is the value of its n-th characteristic, in point order.

        Raises:
            ProtocolError: nothing in them is this device's.
        """
        reader = reader_of(device)
        heard = Heard(device, reader, _own_key(device))
        address = reader.identity if reader.by_address else ""
        told: list[Told] = []
        values: dict[str, Verdict] = {}
        for at, (_, frame) in enumerate(exchanges):
            if reader.follows and at < len(reader.follows):
                values.update(reader.placed(reader.follows[at].places, frame))
            else:
                values.update(heard.told_by(advert_of(frame, address)))
        if values:
            # A recorded frame does not tell how it was heard.
            for name in (*reader.rssi, *reader.adverts):
                values.setdefault(name, (None, Quality.BAD, status_word(Status.NOT_READ)))
            told = heard.value(values, 1)
        blocks = [block for block in told if isinstance(block, Block)]
        if not blocks:
            reasons = ", ".join(sorted(heard.counted)) or Status.NO_ANSWER.name.lower()
            raise ProtocolError(f"nothing in the frames is a value of {device.id}: {reasons}")
        return blocks[-1]

    async def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm]:
        options = _options_of(channel)
        tally = self._tallies.setdefault(channel.id, Tally())
        roll = Roll((self._heard(device, options) for device in devices), tally.strangers)
        ear = Ear(channel, roll, options)
        tally.follow(ear.counted)
        if hasattr(channel, "tally"):
            channel.tally = tally.now
        try:
            async for told in ear.listen():
                yield told
        finally:
            tally.keep()

    def _heard(self, device: Device, options: LineOptions) -> Heard:
        reader = reader_of(device)
        key = options.key_for(device.id, reader.identity) or _own_key(device)
        whose = (device.id, key.hex() if key else "")
        fresh = self._counters.setdefault(whose, freshness_of(reader))
        return Heard(device, reader, key, fresh)


class Ear:
    """One adapter while it is listened to."""

    def __init__(self, channel: Channel, roll: Roll, options: LineOptions) -> None:
        self.channel = channel
        self.roll = roll
        self.options = options
        #: Blocks that the core did not take in time.
        self.dropped = 0
        #: How often the scan was begun again because nothing at all was heard.
        self.restarts = 0
        self._waiting: deque[Told] = deque()
        self._stir = asyncio.Event()
        self._lost: ChannelClosed | None = None
        self._heard_at = 0.0
        self._clock = asyncio.get_running_loop().time
        self._connections: Connections | None = None
        self._silent_restart = False

    def counted(self) -> Mapping[str, int]:
        """What became of adverts and blocks since this line was begun."""
        return {**self.roll.counted(), "dropped": self.dropped, "restarts": self.restarts}

    async def listen(self) -> AsyncIterator[Told]:
        """Everything the adapter hears of its devices, until it cannot."""
        from headgate_drivers.ble.bluez import BluezWatch
        from headgate_drivers.ble.gatt import Connections

        sensors = [heard for heard in self.roll.devices if heard.reader.follows]
        async with BluezWatch(self.options.adapter, self._lose) as watch:
            radio = await self._tuned()
            try:
                async with Connections(
                    sensors, self.options.adapter, self._bring, lambda: watch.alive, watch.let_go
                ) as self._connections:
                    self._report("up")
                    self._heard_at = self._clock()
                    while True:
                        while self._waiting:
                            yield self._waiting.popleft()
                        await self._next(radio, watch)
            finally:
                self._connections = None
                await radio.stop()
                log.info(
                    "ble scan ended",
                    extra={"channel": self.channel.id, **self.counted()},
                )

    async def _tuned(self) -> Radio:
        from headgate_drivers.ble.line import mode_of
        from headgate_drivers.ble.radio import Radio

        mode, heads = mode_of(self.options.scan, [heard.reader for heard in self.roll.devices])
        radio = Radio(self.options.adapter, mode, heads, self._advert)
        try:
            await radio.start()
        except ChannelClosed as error:
            if mode == "active" or self.options.scan == "passive" or self._lost is not None:
                raise
            # An older BlueZ, or one without its experimental part.
            log.info("no passive scan, so an active one", extra={"reason": str(error)[:200]})
            radio = Radio(self.options.adapter, "active", heads, self._advert)
            await radio.start()
        return radio

    async def _next(self, radio: Radio, watch: BluezWatch) -> None:
        """Wait for news. Raises when the line is lost, or stays silent after the scan was begun again."""
        self._stir.clear()
        if self._lost is not None:
            raise self._lost
        if self._waiting:
            return
        due = self._heard_at + self.options.watchdog_s
        try:
            async with asyncio.timeout(max(due - self._clock(), 0.001)):
                await self._stir.wait()
        except TimeoutError:
            if self._clock() - self._heard_at < self.options.watchdog_s:
                return  # strangers were heard meanwhile: the adapter is well
            await self._begin_again(radio, watch)

    async def _begin_again(self, radio: Radio, watch: BluezWatch) -> None:
        """Nothing was heard, not even a stranger: adapters hang. Once more, then it is the line's fault."""
        name, seconds = self.options.adapter, self.options.watchdog_s
        if self._silent_restart:
            raise ChannelTimeout(
                f"adapter {name} hears nothing",
                code="HG-3507",
                adapter=name,
                seconds=round(seconds),
            )
        log.warning(
            "ble scan silent, begun again",
            extra={"channel": self.channel.id, "seconds": seconds, "code": "HG-3507"},
        )
        self.restarts += 1
        self._silent_restart = True
        await radio.stop()
        if self._lost is None:
            await radio.start()
        self._heard_at = self._clock()

    def _advert(self, advert: Advert, device: BLEDevice) -> None:
        self._heard_at = self._clock()
        self._silent_restart = False
        if self._connections is not None:
            self._connections.heard(device)
        self._queue(self.roll.advert(advert, self.channel.now_us()))

    def _bring(self, heard: Heard, values: dict[str, Verdict]) -> None:
        self._queue(heard.value(values, self.channel.now_us()))

    def _queue(self, told: Sequence[Told]) -> None:
        if not told:
            return
        self._waiting.extend(told)
        while len(self._waiting) > MOST_WAITING:
            self._drop_one()
        self._stir.set()

    def _drop_one(self) -> None:
        """The oldest block; an alarm only when there is nothing else."""
        self.dropped += 1
        for at, told in enumerate(self._waiting):
            if isinstance(told, Block):
                del self._waiting[at]
                return
        self._waiting.popleft()

    def _lose(self, error: ChannelClosed) -> None:
        self._lost = self._lost or error
        self._stir.set()

    def _report(self, state: str, reason: str = "") -> None:
        report = getattr(self.channel, "report", None)
        if report is not None:
            report(state, reason)


def _options_of(channel: Channel) -> LineOptions:
    """The channel's options; here the library is met for the first time.

    Raises:
        PluginError: it is not installed.
    """
    try:
        from headgate_drivers.ble.line import options_of
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("bleak", "dbus_fast"):
            raise
        raise PluginError(
            "BLE needs bleak: pip install 'headgate[ble]'", code="HG-3508"
        ) from missing
    return options_of(channel)


def _own_key(device: Device) -> bytes | None:
    """The bind key among a device's params, for those who keep it there.

    Raises:
        ProfileError: it is none.
    """
    text = str(device.params.get("bindkey", ""))
    key = key_of(text) if text else None
    if text and key is None:
        where = f'device "{device.id}": params.bindkey'
        raise ProfileError([Problem(where, "HG-3506", {"device": device.id})])
    return key
