"""Ports that stations dial: what a listening driver delivers is on disk before it is acknowledged.

A stream like any other (judging, stages, silence, health), with three things more: a delivery is committed
at once and its sender told only then; one that is on disk already is not stored again; two sources of one
station raise an alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from headgate.channels import Direction
from headgate.channels.listening import ListeningPort
from headgate.env import Env
from headgate.errors import ChannelClosed, ChannelError, ChannelTimeout, SpoolError
from headgate.model import Alarm, Block, Event, Gap
from headgate.runtime.health import ChannelHealth
from headgate.runtime.origins import Origins
from headgate.runtime.poller import LookDetail, SeenFrame
from headgate.runtime.relay import Relay, Rule
from headgate.runtime.sink import Sink
from headgate.runtime.standing import Standing
from headgate.runtime.streams import Stream, Talker
from headgate.sdk import (
    ANSWER_S,
    AttendingDriver,
    Channel,
    Delivery,
    Device,
    Errand,
    ListeningDriver,
    Question,
    Told,
    no_call,
)

T = TypeVar("T")

#: After this long with one source only, the alarm is over.
CALM_S = 600.0
TWO_SOURCES = "two-sources"
RELAY_LOST = "relay-lost"
#: Strangers that a status names; `headgate stations` has all.
_SHOWN = 8


class OnLine(msgspec.Struct, frozen=True):
    """One station on a call: where from, how long, and how long since it last said anything."""

    channel: str
    station: str
    peer: str
    since_s: float
    heard_s: float


class Answered(msgspec.Struct, frozen=True):
    """What a station answered, and what went over its call meanwhile."""

    told: tuple[Told, ...]
    frames: tuple[SeenFrame, ...]


class Attendance(Stream):
    """One listening port with its stations, kept going until `stop`."""

    def __init__(
        self,
        env: Env,
        sink: Sink,
        port: ListeningPort,
        driver: ListeningDriver,
        talkers: Sequence[Talker],
        origins: Origins,
        folder: Path,
    ) -> None:
        self.port = port
        #: Where frames for a second centre wait.
        self._kept = folder / "relay" / f"{port.id}.db"
        self._standing = Standing(env, folder / "standing" / port.id)
        self._listening = driver
        self._origins = origins
        self._calm: dict[int, asyncio.TimerHandle] = {}
        self.resends = 0
        self._relay: Relay | None = None
        self._asked: list[tuple[int, str, asyncio.Future[Block]]] = []
        self._one_at_a_time: dict[int, asyncio.Lock] = {}
        self._by_address = {str(each.device.address): each.device for each in talkers}
        port.on_two_sources = self._two_sources
        super().__init__(env, sink, port, driver, talkers)

    async def _told(
        self, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm | Gap | Delivery]:
        relay = await self._second_centre()
        await self._standing.open()
        self.port.on_standing = lambda device: self._standing.of(device.id)
        try:
            try:
                await self.port.open()
            except OSError as error:
                raise ChannelError(
                    str(error), code="HG-3604", port=self.port.url, reason=str(error.strerror)
                ) from error
            self._enter("up", "")
            served = self._listening.serve(self.port, devices)
            try:
                async for delivery in served:
                    yield delivery
            finally:
                # Its calls end first: what they still wait for is closed behind them.
                if isinstance(served, AsyncGenerator):
                    await served.aclose()
        finally:
            await self.port.close()
            await self._standing.close()
            if relay is not None:
                await relay.stop()

    async def _second_centre(self) -> Relay | None:
        """Whoever gets the frames, too; before the first of them comes."""
        wanted = self.port.options.get("relay")
        if wanted is None and self._env.files.size(self._kept) is None:
            return None
        # What waits for a centre that the site does not name any more is given up, and told.
        rule = Rule("", keep_bytes=0) if wanted is None else Rule.of(wanted)
        relay = Relay(self._env, rule, self._kept, self._relay_lost)
        await relay.open()
        if wanted is None:
            await relay.stop()
            return None
        self._relay = relay
        self.port.on_relay = relay.put
        return relay

    async def _deliver(self, delivery: Delivery) -> None:
        """Take a delivery over, and tell its sender when it is on disk."""
        if self._asked:
            self._answered(delivery)
        fresh = self._origins.named(delivery.blocks, delivery.origin)
        if len(fresh) < len(delivery.blocks):
            self.resends += 1
        if fresh or not delivery.blocks:
            for alarm in delivery.alarms:
                if alarm.device in self.talkers:
                    self._sink.put_item(alarm)
        for block, _ in fresh:
            await self._take(block)

        async def durable() -> None:
            # A station forgets what was confirmed: by then a second centre's frame is on disk, too.
            saved = None if self._relay is None else self._relay.saved()
            # Also for what is known already: the record that holds it may still be under way.
            await self._sink.durable()
            if saved is not None:
                await saved
            if self._origins.held(delivery.blocks, delivery.origin):
                # Sent again while the disk refuses: it lies in memory, and a power cut would take it.
                raise SpoolError("held in memory only", code="HG-4001")
            await self._note(delivery.alarms)
            self._origins.kept(digest for _, digest in fresh)

        delivery.bind(durable)

    async def _note(self, alarms: Sequence[Alarm]) -> None:
        """Remember what is raised now, also where a resend says so: it may have been cut off here before."""
        for alarm in alarms:
            if alarm.device in self.talkers:
                device = self.talkers[alarm.device].device.id
                self._standing.take(device, alarm.code, alarm.active)
        await self._standing.saved()

    def on_call(self, device: Device) -> bool:
        """Whether a station is on a call now."""
        return self.port.call_of(str(device.address)) is not None

    async def at(self, device: Device, action: Callable[[Channel], Awaitable[T]]) -> T:
        """Run `action` on the call that a station is on; one at a time for each station.

        Raises:
            DeviceRefused: it is on no call, so nothing was sent (HG-3650).
        """
        async with self._one_at_a_time.setdefault(device.number, asyncio.Lock()):
            call = self.port.call_of(str(device.address))
            if call is None:
                raise no_call(device)
            return await action(call)

    @contextmanager
    def seen(self, device: Device) -> Iterator[list[SeenFrame]]:
        """What goes over the call of a station meanwhile, both ways."""
        frames: list[SeenFrame] = []
        station = str(device.address)

        def show(way: str, who: str, data: bytes) -> None:
            call = self.port.call_of(station)
            if call is not None and who.partition(" ")[0] == call.peer:
                direction: Direction = "received" if way == "rx" else "sent"
                frames.append(SeenFrame(direction, data.hex(), self._now_us()))

        self.port.watch(show)
        try:
            yield frames
        finally:
            self.port.unwatch(show)

    def question(self, device: Device) -> Question | None:
        """How to ask a station for its values now; None: it cannot be asked."""
        driver = self._listening
        if not isinstance(driver, AttendingDriver):
            return None
        return driver.question(device, self.port.wall_us())

    async def ask(self, device: Device) -> LookDetail:
        """Ask a station that is on line for its values now. The answer is stored as any report is.

        Raises:
            HeadgateError: it is on no call, or such stations cannot be asked.
        """
        if self.port.call_of(str(device.address)) is None:
            raise ChannelClosed(f"{device.id} is on no call", code="HG-3606", device=device.id)
        asked = self.question(device)
        if asked is None:
            raise ChannelError(f"{device.id} cannot be asked", code="HG-3607", device=device.id)
        question = asked
        began_us = self._now_us()
        answer: asyncio.Future[Block] = self._loop.create_future()
        waiting = (device.number, question.function, answer)
        block, error, code = None, "", ""

        async def put(call: Channel) -> Block:
            self._asked.append(waiting)
            try:
                await call.send(question.data)
                async with asyncio.timeout(ANSWER_S):
                    return self.talkers[device.number].judge(await answer)
            finally:
                self._asked.remove(waiting)

        with self.seen(device) as frames:
            try:
                block = await self.at(device, put)
            except TimeoutError:
                error = f"{device.id} did not answer in {ANSWER_S:g} s"
                code = ChannelTimeout.default_code
        took_us = self._now_us() - began_us
        return LookDetail(device.id, tuple(frames), block, took_us, error, code)

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """What a station can be asked besides its values, by name."""
        driver = self._listening
        return driver.errands(device) if isinstance(driver, AttendingDriver) else {}

    async def errand(self, device: Device, name: str, arguments: Mapping[str, str]) -> Answered:
        """Do one of `errands` over the call that a station is on.

        Raises:
            KeyError: no such errand.
            HeadgateError: it is on no call, said no, or gave no answer.
        """
        driver = self._listening
        if not isinstance(driver, AttendingDriver) or name not in driver.errands(device):
            raise KeyError(name)
        attending = driver

        async def put(call: Channel) -> Sequence[Told]:
            return await attending.errand(call, device, name, arguments)

        with self.seen(device) as frames:
            told = await self.at(device, put)
        return Answered(tuple(told), tuple(frames))

    def _answered(self, delivery: Delivery) -> None:
        """Who asked is told what came, whether it is stored for the first time or not."""
        for number, function, answer in self._asked:
            for block in delivery.blocks:
                ours = (block.device, delivery.origin.function) == (number, function)
                if ours and not answer.done():
                    answer.set_result(block)

    def _relay_lost(self, station: str, frames: int, active: bool) -> None:
        """Frames for a second centre were given up; also how many, when it is over."""
        now_us = self._now_us()
        fields: dict[str, str | int | float | bool | None] = {
            "channel": self.port.id, "station": station, "frames": frames, "over": not active,
        }  # fmt: skip
        self._sink.put_item(Event(RELAY_LOST, now_us, fields))
        if (device := self._by_address.get(station)) is not None:
            self._sink.put_item(
                Alarm(device.number, "", RELAY_LOST, 400, active, now_us, float(frames), "")
            )

    def _two_sources(self, device: Device, before: Channel, now: Channel) -> None:
        if (timer := self._calm.pop(device.number, None)) is not None:
            timer.cancel()
        else:
            self._alarm(device, active=True, text=f"{before.peer} {now.peer}")
        self._calm[device.number] = self._loop.call_later(CALM_S, self._calmed, device)

    def _calmed(self, device: Device) -> None:
        del self._calm[device.number]
        self._alarm(device, active=False, text="")

    def _alarm(self, device: Device, *, active: bool, text: str) -> None:
        now_us = self._env.clock.boottime_us()
        self._sink.put_item(Alarm(device.number, "", TWO_SOURCES, 700, active, now_us, None, text))

    async def stop(self) -> None:
        """End the port; what is open is told."""
        for timer in self._calm.values():
            timer.cancel()
        for number in list(self._calm):
            # Whoever begins after us knows nothing of it, and would never end it.
            self._calmed(self.talkers[number].device)
        await super().stop()

    def health(self) -> ChannelHealth:
        """The port at this moment; `tally` counts calls and who was refused, and why."""
        tally = {**self.port.tally, "on-line": len(self.port.calls), "resends": self.resends}
        if self._relay is not None:
            tally |= self._relay.tally
        strangers = tuple(each.station for each in self.port.strangers[:_SHOWN])
        return msgspec.structs.replace(super().health(), tally=tally, strangers=strangers)

    def on_line(self) -> list[OnLine]:
        """Stations that are on a call, from where, since when."""
        now_us = self._now_us()
        return [
            OnLine(
                self.port.id, station, call.peer,
                (now_us - call.began_us) / 1e6, (now_us - call.heard_us) / 1e6,
            )
            for station, call in self.port.stations().items()
        ]  # fmt: skip

    def off_line(self) -> list[str]:
        """Addresses of stations of ours that are on no call."""
        here = self.port.stations()
        addresses = (str(talker.device.address) for talker in self.talkers.values())
        return [address for address in addresses if address not in here]
