"""What a device kept while it was not heard is no gap; what lies between is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from headgate.model import Alarm, Block, Event, Gap, GapReason, Origin, Plan, Point
from headgate.runtime.ownline import OwnLine
from headgate.runtime.streams import Stream, Talker
from headgate.sdk import Channel, Delivery, Device, DevicePoint, StreamingDriver
from headgate.testing.devices import make_device
from headgate.testing.env import LoopClock, fake_env, run

SECOND = 1_000_000


class Kept:
    """A sink that keeps gaps and blocks."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.blocks: list[Block] = []

    def put(self, block: Block, device: Device) -> bool:
        self.blocks.append(block)
        return True

    def put_item(self, item: Gap | Event | Plan | Alarm) -> None:
        if isinstance(item, Gap):
            self.gaps.append(item)

    async def durable(self) -> None:
        return

    async def room(self) -> None:
        return


class Script(StreamingDriver):
    """Speaks at instants: (when it speaks, of which instant), in seconds."""

    name: ClassVar[str] = "script"

    def __init__(self, said: Sequence[tuple[float, float]], device: Device) -> None:
        self._said = said
        self._device = device
        self.done = asyncio.Event()

    async def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm | Gap]:
        loop = asyncio.get_running_loop()
        for when, at in self._said:
            await asyncio.sleep(when - loop.time())
            yield self._device.block(self.start_us + int(at * SECOND), {"level": 1.0})
        self.done.set()
        await asyncio.Event().wait()

    start_us = 0


def gaps_of(said: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """Gaps as (from, to) in seconds, of a device that is due every second."""

    async def main() -> list[tuple[int, int]]:
        env = fake_env(LoopClock())
        device = make_device([DevicePoint(Point("level", "f64"))], interval_us=SECOND)
        kept, driver = Kept(), Script(said, device)
        driver.start_us = env.clock.boottime_us()
        line = OwnLine(env, "c", "opc.tcp://h", {})
        stream = Stream(env, kept, line, driver, [Talker(device, lambda block: block, None)])
        await driver.done.wait()
        await stream.stop()
        assert {gap.reason for gap in kept.gaps} <= {GapReason.DEVICE_SILENT}
        first = driver.start_us
        return [
            (round((g.first_us - first) / SECOND), round((g.last_us - first) / SECOND))
            for g in kept.gaps
        ]

    return run(main)


def test_silence_is_a_gap() -> None:
    assert gaps_of([(1, 1), (20, 20)]) == [(1, 20)]


def test_silence_of_which_everything_was_kept_is_none() -> None:
    kept = [(20, float(at)) for at in range(2, 20)]
    assert gaps_of([(1, 1), *kept, (20, 20)]) == []


def test_what_was_not_kept_of_it_is_one() -> None:
    begun = [(20, float(at)) for at in range(2, 8)]
    ended = [(20, float(at)) for at in range(15, 20)]
    assert gaps_of([(1, 1), *begun, *ended, (20, 20)]) == [(7, 15)]
    assert gaps_of([(1, 1), *begun, (20, 20)]) == [(7, 20)]


def test_a_past_that_takes_long_to_come_is_no_silence_either() -> None:
    slow = [(20 + at, float(at)) for at in range(2, 20)]
    assert gaps_of([(1, 1), *slow, (39, 39)]) == [(19, 39)]


class Confused(Script):
    """Talks on a line, and wants a receipt as one that dialled in would."""

    name: ClassVar[str] = "confused"

    async def listen(  # type: ignore[override]
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Delivery]:
        self.done.set()
        yield Delivery(
            [self._device.block(1, {"level": 1.0})], Origin("confused", "1", 1, None, b"")
        )


def test_a_delivery_on_a_line_that_nobody_dialled_is_the_drivers_fault_and_said() -> None:
    async def main() -> None:
        env = fake_env(LoopClock())
        device = make_device([DevicePoint(Point("level", "f64"))], interval_us=SECOND)
        kept, driver = Kept(), Confused([], device)
        line = OwnLine(env, "c", "opc.tcp://h", {})
        stream = Stream(env, kept, line, driver, [Talker(device, lambda block: block, None)])
        await driver.done.wait()
        await asyncio.sleep(0)
        assert stream.state == "down"
        assert "driver confused" in stream.reason
        await stream.stop()
        assert kept.blocks == []

    run(main)
