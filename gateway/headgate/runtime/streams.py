"""Devices that talk by themselves: one task per line takes what a streaming driver yields.

Policies, each visible upstream as data:

- a block is judged, goes through its stages and to the writer; when the writer has no room the driver
  is not asked for the next one until there is;
- an alarm that a driver raises passes by the stages and never waits for room; the driver goes on when it is
  on disk, so that it may acknowledge then;
- a line that ends or fails is begun again after a pause that doubles, with jitter, or as soon as it is up;
- a device that says nothing for one and a half of its heartbeats gets one bad block (`STALE`), so that
  it shows, and a gap `device-silent` over the time until it speaks again, or the gateway stops;
- a block of an instant in that time, which a device or its server kept, is no gap: only what lies
  between such blocks is one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress

from headgate import columns
from headgate.channels import ChannelState
from headgate.env import Env
from headgate.errors import ChannelError, HeadgateError, SpoolError
from headgate.model import Alarm, Block, Event, Gap, GapReason, Reading, Status
from headgate.runtime.health import ChannelHealth, DeviceHealth, DeviceState
from headgate.runtime.ownline import OwnLine
from headgate.runtime.polled import Judge
from headgate.runtime.sink import Sink
from headgate.sdk import Channel, Delivery, Device, Driver, Listener, Step, StreamingDriver

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
#: A device is silent after this many of its heartbeats.
PATIENCE = 1.5


class Talker:
    """One device that talks, and when it was last heard."""

    def __init__(self, device: Device, judge: Judge, step: Step | None) -> None:
        self.device = device
        self.judge = judge
        self.step = step
        self.health = DeviceHealth(device.id, device.channel)
        self.heard_us: int | None = None
        self.silent_since_us: int | None = None
        self.timer: asyncio.TimerHandle | None = None
        #: What each point said last, kept only for who commands: None where nobody asks.
        self.watched: dict[str, Reading] | None = None

    @property
    def heartbeat_us(self) -> int | None:
        """How often it should be heard; None: whenever it likes."""
        return self.device.table.heartbeat_us or self.device.interval_us


class Stream:
    """One line with its talkers, kept going until `stop`."""

    def __init__(
        self,
        env: Env,
        sink: Sink,
        line: Channel | Listener,
        driver: Driver,
        talkers: Sequence[Talker],
    ) -> None:
        self.line = line
        self.talkers = {talker.device.number: talker for talker in talkers}
        self.state = "opening"
        self.reason = ""
        #: The message that `reason` is of, with what to try; "" where it is of none.
        self.code = ""
        self._env = env
        self._now_us = env.clock.boottime_us
        self._sink = sink
        self._driver = driver
        self._progress_us: int | None = None
        self._connects = 0
        self._blocks = 0
        self._strangers = 0
        self._line_up = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        began = self._now_us()
        for talker in talkers:
            talker.heard_us = began
            self._watch(talker)
        self._task = self._loop.create_task(self._keep(), name=f"stream {line.id}")

    # ------------------------------------------------------------ the line

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        devices = [talker.device for talker in self.talkers.values()]
        while True:
            self._connects += 1
            before = self._blocks
            self._line_up.clear()
            try:
                await self._follow(self._told(devices))
                self._enter("down", "the line ended")
            except HeadgateError as error:
                self._enter("down", str(error), error.code)
                if not error.retryable:
                    log.error(
                        "stream failed for good",
                        extra={"channel": self.line.id, "code": error.code, "reason": str(error)},
                    )
                    return
            except Exception as error:
                # A driver that breaks must not take the other lines along.
                log.exception("driver broke", extra={"channel": self.line.id})
                self._enter("down", f"{type(error).__name__}: {error}")
            if self._blocks > before:
                pause_s = FIRST_PAUSE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(self._env.random.uniform(pause_s / 2, pause_s)):
                    await self._line_up.wait()
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _told(self, devices: Sequence[Device]) -> AsyncIterator[Block | Alarm | Gap | Delivery]:
        """What the driver tells, from now on."""
        assert isinstance(self._driver, StreamingDriver)
        assert isinstance(self.line, Channel)
        return self._driver.listen(self.line, devices)

    async def _deliver(self, delivery: Delivery) -> None:
        """What a device that dialled in sent: a port takes it over; on a line nobody waits to be answered."""
        raise TypeError(f"driver {self._driver.name} gave a delivery, and nobody dialled in")

    async def _follow(self, told: AsyncIterator[Block | Alarm | Gap | Delivery]) -> None:
        """Take what a driver tells until it ends."""
        try:
            async for item in told:
                if isinstance(item, Delivery):
                    await self._deliver(item)
                elif isinstance(item, Alarm | Gap):
                    await self._raise(item)
                else:
                    await self._take(item)
        finally:
            # At once, so that the line is free for the next to listen.
            if isinstance(told, AsyncGenerator):
                await told.aclose()

    def line_changed(self, state: ChannelState) -> None:
        """What the core's own line says of itself: who talks on it is listened to as soon as it is up."""
        if state is ChannelState.UP:
            self._line_up.set()

    def report(self, state: str, reason: str = "") -> None:
        """What a driver with a connection of its own says of it: `up`, `down`, and why."""
        self._enter(state, reason)

    @property
    def devices(self) -> list[Device]:
        """The devices it was begun with."""
        return [talker.device for talker in self.talkers.values()]

    def _enter(self, state: str, reason: str, code: str = "") -> None:
        self.code = code
        if (state, reason) == (self.state, self.reason):
            return
        changed = state != self.state
        self.state, self.reason = state, reason
        if state == "down":
            for talker in self.talkers.values():
                if talker.watched:
                    talker.watched.clear()  # who is not heard may have changed meanwhile
        if changed and state in ("up", "down"):
            fields: dict[str, str | int | float | bool | None] = {
                "channel": self.line.id,
                "reason": reason,
            }
            self._sink.put_item(Event(f"line-{state}", self._now_us(), fields))
            log.info("line-%s", state, extra=fields)

    # ------------------------------------------------------------ what it brings

    async def _raise(self, said: Alarm | Gap) -> None:
        """What a device raises itself, or says that it lost. An alarm is on disk when this returns."""
        if said.device not in self.talkers:
            self._strangers += 1
            return
        self._sink.put_item(said)
        if isinstance(said, Alarm):
            try:
                await self._sink.durable()
            except SpoolError as error:
                # It is kept and tried again; but who repeats until acknowledged must not be told so.
                raise ChannelError(str(error), code=error.code, **error.fields) from error

    async def _take(self, block: Block) -> None:
        talker = self.talkers.get(block.device)
        if talker is None:
            self._strangers += 1
            return
        if self.state != "up":
            self._enter("up", "")
        self._blocks += 1
        now_us = self._progress_us = self._now_us()
        health = talker.health
        health.looks += 1
        health.last_look_us = now_us
        judged = talker.judge(block)
        if judged.columns is None:
            health.failed += 1
            health.failures += 1
            health.state = DeviceState.FAULTY
        else:
            health.good += 1
            health.failures = 0
            health.last_good_us = now_us
            health.state = DeviceState.OK
        self._heard(talker, min(block.at_us, now_us), now_us)
        if talker.watched is not None:
            talker.watched.update(
                (r.point, r) for r in columns.readings(judged, talker.device.table)
            )
        for out in (judged,) if talker.step is None else talker.step(judged):
            if isinstance(out, Alarm):
                self._sink.put_item(out)
                continue
            while not self._sink.put(out, talker.device):
                await self._sink.room()

    # ------------------------------------------------------------ who is silent

    def _watch(self, talker: Talker) -> None:
        """Look again when the heartbeat is over; a block in time only moves that instant."""
        beat_us = talker.heartbeat_us
        if not beat_us:
            return
        heard_us = self._now_us() if talker.heard_us is None else talker.heard_us
        left_us = heard_us + int(beat_us * PATIENCE) - self._now_us()
        if left_us > 0:
            talker.timer = self._loop.call_later(max(left_us / 1e6, 0.01), self._watch, talker)
            return
        talker.timer = None
        talker.silent_since_us = heard_us
        talker.health.state = DeviceState.SILENT
        block = talker.device.failed(self._now_us(), Status.STALE)
        # Without room the gap alone will say it.
        self._sink.put(block, talker.device)

    def _heard(self, talker: Talker, at_us: int, now_us: int) -> None:
        """It spoke of the instant `at_us`; only what it says of the present ends its silence."""
        self._tell_silence(talker, at_us)
        beat_us = talker.heartbeat_us
        if beat_us and now_us - at_us > beat_us * PATIENCE:
            talker.heard_us = max(talker.heard_us or 0, at_us)
            return
        talker.heard_us = now_us
        talker.silent_since_us = None
        if talker.timer is None:
            self._watch(talker)

    def _tell_silence(self, talker: Talker, until_us: int) -> None:
        """A gap from where it was heard last to `until_us`, where it is known to be heard again."""
        since_us, beat_us = talker.silent_since_us, talker.heartbeat_us
        if since_us is None or not beat_us or until_us <= since_us:
            return
        talker.silent_since_us = until_us
        if until_us - since_us < beat_us * PATIENCE:
            return  # what was kept goes on here
        looks = max(1, (until_us - since_us) // beat_us - 1)
        readings = looks * len(talker.device.points)
        gap = Gap(
            talker.device.number, GapReason.DEVICE_SILENT, since_us, until_us, looks, readings
        )
        self._sink.put_item(gap)

    # ------------------------------------------------------------ end

    async def stop(self) -> None:
        """End the line; what is open is told."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        now_us = self._now_us()
        for talker in self.talkers.values():
            if talker.timer is not None:
                talker.timer.cancel()
            self._tell_silence(talker, now_us)

    def health(self) -> ChannelHealth:
        """The line at this moment."""
        return ChannelHealth(
            channel=self.line.id,
            url=self.line.url,
            state=self.state,
            reason=self.reason,
            code=self.code,
            depth=1,
            devices=len(self.talkers),
            waiting=0,
            busy=0,
            silent_share=0.0,
            last_progress_us=self._progress_us,
            counters={
                "requests": 0, "answers": self._blocks, "timeouts": 0,
                "stale": self._strangers, "connects": self._connects,
            },
            tally=dict(self.line.tally()) if isinstance(self.line, OwnLine) else {},
        )  # fmt: skip


class Streams:
    """All lines of streaming drivers."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def add(self, stream: Stream) -> None:
        """Keep one line."""
        self._streams[stream.line.id] = stream

    async def remove(self, channel_id: str) -> None:
        """End one line. Raises KeyError."""
        await self._streams.pop(channel_id).stop()

    async def stop(self) -> None:
        """End all."""
        for channel_id in list(self._streams):
            await self.remove(channel_id)

    @property
    def lines(self) -> Mapping[str, Stream]:
        """Lines by channel id."""
        return self._streams

    def channel_health(self) -> Sequence[ChannelHealth]:
        """Every line."""
        return [stream.health() for stream in self._streams.values()]

    def device_health(self) -> Sequence[DeviceHealth]:
        """Every device on them."""
        return [t.health for s in self._streams.values() for t in s.talkers.values()]
