"""A driver for stations that dial in, one coroutine for each call: what such protocols have in common.

    class Sl651(AttendingDriver):
        async def attend(self, channel, roll, deliver):
            async for frame in channel.frames(Cut()):
                device = roll.claim(frame.station, channel)
                if device is None:
                    return                                  # nobody of ours: hang up
                await deliver([device.block(...)], origin)  # on disk when it returns
                await channel.send(confirmation(frame))

A station reconnects long before our end of its old connection dies, so the newest call wins. A modem that
got another address leaves an old call that is silent for ever; two stations with one number both go on
talking, and that is how they are told apart.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from headgate.errors import ChannelClosed
from headgate.model import Alarm, Block, Origin
from headgate.sdk.asking import Errand, Questions, Told
from headgate.sdk.channel import Channel, Listener
from headgate.sdk.device import Device
from headgate.sdk.driver import Delivery, ListeningDriver


class Deliver(Protocol):
    """Commits what a station sent. Returns when it is on disk; raises SpoolError when it is not."""

    def __call__(
        self, blocks: Sequence[Block], origin: Origin, alarms: Sequence[Alarm] = ()
    ) -> Awaitable[None]:
        """Blocks, and what the station itself raises or clears: a resend of both is stored once.

        A resend is known by its blocks: alarms without any are raised again.
        """
        ...


#: A call may bring this many faults in a row before it is ended: whoever that is speaks something else.
MOST_FAULTS = 32
#: What an older call still says within this time of the newer one's first word was under way already.
UNDER_WAY_US = 5_000_000


class Roll:
    """The stations of one listening port by name, and the call that each is on."""

    def __init__(self, listener: Listener, devices: Sequence[Device]) -> None:
        self._listener = listener
        self._devices = {str(device.address): device for device in devices}
        self._calls: dict[str, Channel] = {}
        #: Names by call: several stations may share one, behind a concentrator.
        self._names: dict[Channel, set[str]] = {}
        #: The call that each was on before, at another address, and since when: whether it speaks again.
        self._older: dict[str, tuple[Channel, int]] = {}

    def claim(self, station: str, channel: Channel) -> Device | None:
        """The device of a station that spoke on this call; None for one that the site does not name.

        Call it for each frame: it is also how a second source is noticed. None, too, for an older call that
        speaks although the station has dialled anew from elsewhere: it is hung up on.
        """
        device = self._devices.get(station)
        if device is None:
            self._listener.stranger(station, channel)
            return None
        before = self._calls.get(station)
        if before is channel:
            return device
        now_us = channel.now_us()
        older, since_us = self._older.get(station, (None, 0))
        if older is channel:
            if now_us - since_us < UNDER_WAY_US:
                return device
            del self._older[station]
            self._listener.two_sources(device, channel, before or channel)
            if before is not None:
                if not self._names.get(channel):
                    channel.hang_up()  # it bears no other station's name: where a call may bear several
                return None
        if before is not None:
            self._displace(station, before, channel, now_us)
        self._calls[station] = channel
        self._names.setdefault(channel, set()).add(station)
        channel.introduce(station)
        return device

    def known(self, station: str) -> Device | None:
        """The device of a name, whoever speaks; None for one that the site does not have."""
        return self._devices.get(station)

    def _displace(self, station: str, before: Channel, channel: Channel, now_us: int) -> None:
        """The station has dialled anew. From one address its old call is dead; else it is listened to."""
        names = self._names.get(before, set())
        names.discard(station)
        before.dismiss(station)
        if (older := self._older.pop(station, None)) is not None:
            older[0].hang_up()
        if _host(before) == _host(channel) and not names:
            before.hang_up()
        else:
            self._older[station] = before, now_us

    def faulty(self, channel: Channel, what: str, data: bytes) -> None:
        """Bytes of this call were no frame: counted, and told now and then."""
        self._listener.faulty(channel, what, data)

    def relay(
        self, station: str, frame: bytes | Callable[[], bytes], *, answered: bool
    ) -> None:  # fmt: skip
        """Hand a right frame of a claimed station on to a second centre, where the site names one.

        `frame` may be what makes it: most sites name none.
        """
        if self._listener.relays:
            data = frame if isinstance(frame, bytes) else frame()
            self._listener.relay(station, data, answered=answered)

    def standing(self, device: Device) -> Collection[str]:
        """Codes of alarms that a device has raised itself and not cleared, also before a restart."""
        return self._listener.standing(device)

    def wall_us(self) -> int | None:
        """Now, in unix microseconds; None while the clock is not trusted."""
        return self._listener.wall_us()

    @property
    def options(self) -> Mapping[str, Any]:
        """The channel's options, with secrets fetched: never logged."""
        return self._listener.options

    def call(self, station: str) -> Channel | None:
        """The call that a station is on; None while it is on none."""
        return self._calls.get(station)

    def leave(self, channel: Channel) -> None:
        """This call is over."""
        for station in self._names.pop(channel, ()):
            if self._calls.get(station) is channel:
                del self._calls[station]
        for station in [name for name, (older, _) in self._older.items() if older is channel]:
            del self._older[station]


def _host(channel: Channel) -> str:
    return channel.peer.rpartition(":")[0]


class Question(NamedTuple):
    """What asks a station on line for its values now, and the function of its answer's origin."""

    data: bytes
    function: str


class AttendingDriver(ListeningDriver):
    """A listening driver that is written as what happens on one call."""

    def question(self, device: Device, wall_us: int | None) -> Question | None:
        """How to ask a station that is on a call for its values now; None: such stations cannot be asked.

        Pure. The answer comes as any report does, through `attend`.
        """
        return None

    @cached_property
    def questions(self) -> Questions[Any]:
        """What `write` and `errand` wait for on all calls; `attend` tells it each frame that may be one."""
        return Questions()

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """What such a station can be asked besides its values now, by name (`version`, `clock`). Pure.

        What moves something is no errand but a writable point: `write` is called for it, with the call
        that the station is on as the channel.
        """
        return {}

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        """Do one of `errands` over the call that the station is on. `arguments` are by the errand's names.

        Measured values in an answer go through `deliver` in `attend`, as those of a report do. The core
        puts one question at a time to a station.

        Raises:
            DeviceRefused: the station said no, or an argument is none (HG-3655): nothing was sent.
            ChannelTimeout, ChannelClosed: no answer came.
        """
        raise NotImplementedError(f"driver {self.name} has no errands")

    @abstractmethod
    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """Serve one call until it ends; returning hangs up.

        What a protocol wants acknowledged is acknowledged after `await deliver(...)` returned. Errors
        of the tree end this call alone.
        """

    async def serve(self, listener: Listener, devices: Sequence[Device]) -> AsyncIterator[Delivery]:
        """Deliveries of all calls, as they come."""
        roll = Roll(listener, devices)
        #: Each call has one at a time here; None: something ended.
        ready: asyncio.Queue[Delivery | None] = asyncio.Queue()

        async def deliver(
            blocks: Sequence[Block], origin: Origin, alarms: Sequence[Alarm] = ()
        ) -> None:
            taken = asyncio.get_running_loop().create_future()
            delivery = _Awaited(blocks, origin, taken, alarms)
            ready.put_nowait(delivery)
            await taken
            await delivery.durable()

        async def one(channel: Channel) -> None:
            try:
                with suppress(ChannelClosed):
                    await self.attend(channel, roll, deliver)
            except Exception as error:  # noqa: BLE001 - the listener tells it; the other calls go on
                listener.broke(channel, error)
            finally:
                roll.leave(channel)
                self.questions.over(channel)
                channel.hang_up()

        calls: set[asyncio.Task[None]] = set()

        async def answer() -> None:
            async for channel in listener.accept():
                task = asyncio.create_task(one(channel), name=f"call {channel.id}")
                calls.add(task)
                task.add_done_callback(over)

        def over(task: asyncio.Task[None]) -> None:
            calls.discard(task)
            if answering.done():
                ready.put_nowait(None)

        answering = asyncio.create_task(answer(), name=f"calls {listener.id}")
        answering.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            while not answering.done() or calls or not ready.empty():
                if (delivery := await ready.get()) is not None:
                    yield delivery
            answering.result()
        finally:
            await _over({answering, *calls})


async def _over(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Awaited(Delivery):
    """A delivery whose call goes on once the core has taken it over."""

    def __init__(
        self,
        blocks: Sequence[Block],
        origin: Origin,
        taken: asyncio.Future[None],
        alarms: Sequence[Alarm] = (),
    ) -> None:
        super().__init__(blocks, origin, alarms)
        self._taken = taken

    def bind(self, wait: Callable[[], Awaitable[None]]) -> None:
        super().bind(wait)
        if not self._taken.done():
            self._taken.set_result(None)
