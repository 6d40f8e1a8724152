"""All polled devices: who is on which line, when each is due, and what one says when asked now.

Every slot of every plan is accounted for exactly once: as a block (good or bad) or in one gap. Plans
travel as items before their first slot, so that anybody upstream can count what was due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from headgate.channels import Direction, ManagedChannel
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.model import Block, GapReason, Plan
from headgate.runtime.health import ChannelHealth, DeviceHealth
from headgate.runtime.openings import Opening
from headgate.runtime.patience import Tuning
from headgate.runtime.polled import Judge, Polled, Work, work_on
from headgate.runtime.sink import Gate, Sink
from headgate.runtime.slots import SlotLedger
from headgate.runtime.wheel import Wheel, phase_us
from headgate.runtime.worker import ChannelWorker
from headgate.sdk import Channel, Device, PollingDriver, Step

T = TypeVar("T")


class SeenFrame(msgspec.Struct, frozen=True):
    """Bytes that went over the line, in hex, at a boottime in microseconds."""

    direction: Direction
    hex: str
    at_us: int


class LookDetail(msgspec.Struct, frozen=True):
    """One look at one device on demand: every byte, and the block, or why there is none."""

    device: str
    frames: tuple[SeenFrame, ...]
    block: Block | None
    took_us: int
    error: str = ""
    code: str = ""


class Poller:
    """The polled devices of a gateway. Make it in a running loop."""

    def __init__(self, env: Env, sink: Sink, tuning: Tuning | None = None) -> None:
        self._env = env
        self._sink = sink
        self._gate = Gate(sink)
        self._tuning = tuning or Tuning()
        self._now_us = env.clock.boottime_us
        self._wheel = Wheel(env.clock)
        self._workers: dict[str, ChannelWorker] = {}
        self._polled: dict[str, Polled] = {}
        #: Told when a device is well again (or for the first time), or begins to answer nonsense.
        self.on_turn: Callable[[DeviceHealth], None] | None = None

    # ------------------------------------------------------------ channels

    def add_channel(self, channel: ManagedChannel) -> None:
        """Open a channel and put lanes on it. The poller closes it again."""
        if channel.id in self._workers:
            raise ValueError(f"channel {channel.id} is there already")
        self._workers[channel.id] = ChannelWorker(self._env, channel, self._gate, self._tuning)
        channel.open()

    async def remove_channel(self, channel_id: str) -> None:
        """Take away a channel and all devices on it."""
        worker = self._workers[channel_id]
        for device_id in list(worker.devices):
            await self.remove(device_id)
        del self._workers[channel_id]
        await worker.stop()
        await worker.channel.close()

    async def between(self, channel_id: str, action: Callable[[Channel], Awaitable[T]]) -> T:
        """Run `action` alone on a line, between two looks. Raises KeyError: no such channel."""
        return await self._workers[channel_id].between(action)

    # ------------------------------------------------------------ devices

    def add(
        self,
        device: Device,
        driver: PollingDriver,
        plan: Any,
        judge: Judge,
        step: Step | None = None,
        *,
        first_slot: int = 0,
    ) -> None:
        """Poll a device from now on. Its channel must be there; its interval must be set."""
        if device.id in self._polled:
            raise ValueError(f"device {device.id} is polled already")
        worker = self._workers[device.channel]
        interval_us = _interval_us(device)
        work = work_on(device, driver, plan, judge, step)
        polled = Polled(work, self._tuning, self._ledger(device))
        polled.turned = self._turned
        self._polled[device.id] = worker.devices[device.id] = polled
        now_us = self._now_us()
        within_us = int(self._tuning.first_look_s * 1_000_000)
        first_us = _on_phase(device.number, interval_us, now_us)
        if first_us - now_us > within_us:
            # Nobody wants to wait an hour for the first value of an hourly device.
            first_us = now_us + phase_us(device.number, within_us)
        self._schedule(polled, first_us, first_slot)

    async def remove(self, device_id: str) -> None:
        """Poll a device no more; returns when no look at it is in hand. Raises KeyError."""
        polled = self._polled.pop(device_id)
        self._wheel.remove(polled.turn)
        polled.forget(GapReason.GATEWAY_OFF)
        await polled.idle.wait()
        del self._workers[polled.work.device.channel].devices[device_id]
        self._end(polled)

    async def replace(
        self,
        device: Device,
        driver: PollingDriver,
        plan: Any,
        judge: Judge,
        step: Step | None = None,
    ) -> None:
        """The same device under another map, interval or channel. Slots go on counting.

        A look in hand is finished as it was begun; no slot is lost on the same channel.
        """
        polled = self._polled[device.id]
        if polled.work.device.channel != device.channel:
            await self.remove(device.id)
            next_slot = polled.turn.next_slot
            self.add(device, driver, plan, judge, step, first_slot=next_slot)
            return
        _interval_us(device)
        await polled.idle.wait()
        polled.ledger.close()
        polled.latest = None
        polled.work = work_on(device, driver, plan, judge, step)
        polled.ledger = self._ledger(device)
        # The new plan takes over at the slot that would have been next, so no instant has no plan.
        self._wheel.remove(polled.turn)
        self._schedule(polled, polled.turn.next_us, polled.turn.next_slot)

    async def read_once(self, device_id: str) -> LookDetail:
        """Look at a device now, between the looks that are due; nothing of it goes to the sink.

        Raises KeyError: no such device.
        """
        polled = self._polled[device_id]
        work = polled.work
        worker = self._workers[work.device.channel]
        frames: list[SeenFrame] = []

        def tap(direction: Direction, data: bytes, at_us: int) -> None:
            frames.append(SeenFrame(direction, data.hex(), at_us))

        async def look(line: Channel) -> LookDetail:
            started_us = self._now_us()
            block, error, code = None, "", ""
            worker.channel.add_tap(tap)
            try:
                block = work.judge(await work.driver.read(line, work.device, work.plan))
            except HeadgateError as failed:
                error, code = str(failed), failed.code
            except Exception as failed:  # noqa: BLE001 - a driver that breaks is an answer, too
                error, code = f"{type(failed).__name__}: {failed}", "HG-3103"
            finally:
                worker.channel.remove_tap(tap)
            took_us = self._now_us() - started_us
            return LookDetail(device_id, tuple(frames), block, took_us, error, code)

        return await worker.between(look)

    def latest(self) -> Iterator[tuple[Device, Block, int]]:
        """The last good look at every device that has had one, and its age in us; asks nobody."""
        now_us = self._now_us()
        for polled in self._polled.values():
            if polled.latest is not None:
                yield polled.work.device, polled.latest, now_us - polled.latest.at_us

    def work(self, device_id: str) -> Work:
        """What a look at a device does. Raises KeyError: no such device."""
        return self._polled[device_id].work

    def health(self, device_id: str) -> DeviceHealth:
        """How a device is. Raises KeyError."""
        return self._polled[device_id].health

    def channel(self, channel_id: str) -> ManagedChannel:
        """A line that is polled over. Raises KeyError."""
        return self._workers[channel_id].channel

    def _turned(self, health: DeviceHealth) -> None:
        if self.on_turn is not None:
            self.on_turn(health)

    # ------------------------------------------------------------ the whole

    async def stop(self) -> None:
        """Finish the looks in hand and stop: gaps and the end of every plan are told."""
        self._wheel.close()
        for worker in self._workers.values():
            await worker.stop()
        await self._gate.stop()
        for polled in self._polled.values():
            self._end(polled)
        self._polled.clear()
        for worker in self._workers.values():
            await worker.channel.close()
        self._workers.clear()

    def device_health(self) -> Sequence[DeviceHealth]:
        """Every polled device."""
        return [polled.health for polled in self._polled.values()]

    def channel_health(self) -> Sequence[ChannelHealth]:
        """Every channel that is polled over."""
        return [worker.health() for worker in self._workers.values()]

    def openings(self) -> list[Opening]:
        """Gaps that go on and are not told yet. Ask each second."""
        now_us = self._now_us()
        return [
            Opening(
                polled.work.device.number, reason, first_us, polled.turn.interval_us,
                len(polled.work.device.points),
            )
            for polled in self._polled.values()
            for reason, first_us in polled.ledger.unfinished(now_us)
        ]  # fmt: skip

    # ------------------------------------------------------------ items

    def _ledger(self, device: Device) -> SlotLedger:
        return SlotLedger(device.number, len(device.points), self._sink.put_item)

    def _schedule(self, polled: Polled, first_us: int, slot: int) -> None:
        """Slot `slot` is due at `first_us`, the next on the device's own phase, and so on."""
        device = polled.work.device
        interval_us = _interval_us(device)
        worker = self._workers[device.channel]
        self._sink.put_item(_plan(device, first_us, interval_us, slot))
        second_us = _on_phase(device.number, interval_us, first_us)
        polled.next_plan = None
        if second_us != first_us + interval_us:
            polled.next_plan = _plan(device, second_us, interval_us, slot + 1)
        polled.turn = self._wheel.add(
            partial(worker.came, polled), first_us, interval_us, slot=slot, second_us=second_us
        )

    def _end(self, polled: Polled) -> None:
        polled.ledger.close()
        turn = polled.turn
        # No slot that was accounted for falls behind the end, and none that was not before it.
        end_us = min(turn.next_us, max(self._now_us(), turn.last_us + 1))
        self._sink.put_item(_plan(polled.work.device, end_us, 0, turn.next_slot))


def _plan(device: Device, start_us: int, interval_us: int, slot: int) -> Plan:
    number, readings = device.number, len(device.points)
    return Plan(number, device.table_hash, start_us, interval_us, readings, slot)


def _interval_us(device: Device) -> int:
    if not device.interval_us:
        raise ValueError(f"device {device.id} is polled without an interval")
    return device.interval_us


def _on_phase(number: int, interval_us: int, after_us: int) -> int:
    """The next instant after `after_us` at which this device is due, the same on every start."""
    phase = phase_us(number, interval_us)
    return after_us + interval_us - (after_us - phase) % interval_us
