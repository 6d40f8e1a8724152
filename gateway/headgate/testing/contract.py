"""What every driver promises, as one test that a vendor runs over a recorded exchange.

A driver that is dialled promises more: nothing is acknowledged that is not on disk.

async def test_it_keeps_the_contract():
await run_driver_contract(TH20(), device, FakeChannel([(request, answer)]))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from headgate import columns
from headgate.errors import DeviceRefused, HeadgateError, SpoolError
from headgate.sdk import (
    Block,
    Delivery,
    Device,
    Driver,
    ListeningDriver,
    PollingDriver,
    StreamingDriver,
)
from headgate.testing.channel import FakeChannel, FakeListener

#: How many damaged conversations a driver must survive.
HOSTILE = 300

_block = msgspec.msgpack.Decoder(Block)
_device = msgspec.msgpack.Decoder(Device)


async def run_driver_contract(
    driver: Driver,
    device: Device | Sequence[Device],
    line: FakeChannel | FakeListener,
    *,
    hostile: int = HOSTILE,
) -> list[Block]:
    """Check a driver of any shape against a recorded conversation; the blocks that it brought.

    Args:
        driver: the driver under test.
        device: the device, or the devices, that the conversation is with.
        line: the recording: a `FakeListener` for a listening driver, else a `FakeChannel`.
        hostile: how many damaged variations of the recording are played.

    Raises:
        AssertionError: with the promise that was broken.
    """
    devices = [device] if isinstance(device, Device) else list(device)
    before = asyncio.all_tasks()
    copies = [_device.decode(msgspec.msgpack.encode(each)) for each in devices]
    assert copies == devices, "a device must be the same at the other end of a wire"

    blocks = await _talk(driver, devices, line.again())
    assert blocks, "the recording brought no block"
    for block in blocks:
        _fits(block, devices)

    for seed in range(hostile):
        try:
            brought = await _talk(driver, devices, line.spoilt(seed))
        except HeadgateError as error:
            _detail(error)
            continue
        except Exception as error:
            raise AssertionError(
                f"bad bytes (seed {seed}) gave {error!r}: raise ProtocolError instead"
            ) from error
        for block in brought:
            _fits(block, devices)

    if isinstance(driver, ListeningDriver):
        assert isinstance(line, FakeListener)
        await _acknowledges_what_is_safe(driver, devices, line)

    talk = asyncio.ensure_future(_talk(driver, devices, line.silent()))
    for _ in range(8):
        await asyncio.sleep(0)
    assert not talk.done(), "a driver waits for its line"
    talk.cancel()
    done, _ = await asyncio.wait([talk], timeout=5.0)
    assert done, "cancelled, and still running"
    assert talk.cancelled(), "a cancelled driver lets CancelledError pass"
    for _ in range(8):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    return blocks


async def _talk(
    driver: Driver, devices: Sequence[Device], line: FakeChannel | FakeListener
) -> list[Block]:
    blocks: list[Block] = []
    if isinstance(driver, PollingDriver):
        assert isinstance(line, FakeChannel)
        for device in devices:
            plan = driver.plan(device)
            assert line.sent == [] or len(devices) > 1, "planning is pure"
            blocks.append(await driver.read(line, device, plan))
    elif isinstance(driver, StreamingDriver):
        assert isinstance(line, FakeChannel)
        said = [told async for told in driver.listen(line, devices)]
        blocks += [told for told in said if isinstance(told, Block)]
    else:
        assert isinstance(driver, ListeningDriver)
        assert isinstance(line, FakeListener)
        async for delivery in driver.serve(line, devices):
            assert isinstance(delivery, Delivery)
            delivery.bind(_stored)
            blocks += delivery.blocks
    return blocks


async def _acknowledges_what_is_safe(
    driver: ListeningDriver, devices: Sequence[Device], line: FakeListener
) -> None:
    """Where the disk refuses, less is said than where it does not."""
    first, again, refused = line.again(), line.again(), line.again()
    names = [delivery.origin async for delivery in _deliveries(driver, devices, first, _stored)]
    repeated = [delivery.origin async for delivery in _deliveries(driver, devices, again, _stored)]
    assert names == repeated, (
        "a repetition has the origin of the first time: it is known again by it"
    )

    async def full() -> None:
        raise SpoolError("the disk is full")

    async for _ in _deliveries(driver, devices, refused, full):
        pass
    said = [channel.sent for channel in first.channels]
    left = [channel.sent for channel in refused.channels]
    assert left != said or not any(said), "acknowledged what is not on disk"


async def _deliveries(
    driver: ListeningDriver,
    devices: Sequence[Device],
    line: FakeListener,
    durable: Callable[[], Awaitable[None]],
) -> AsyncIterator[Delivery]:
    async for delivery in driver.serve(line, devices):
        delivery.bind(durable)
        yield delivery


async def _stored() -> None:
    """The spool of a test: everything is safe at once."""


def _fits(block: Block, devices: Sequence[Device]) -> None:
    device = next((d for d in devices if d.number == block.device), None)
    assert device is not None, f"a block of device {block.device}, which is none of these"
    assert block.table == device.table_hash, "a block names its device's table"
    try:
        list(columns.readings(block, device.table))
    except ValueError as error:
        raise AssertionError(f"a block that does not fit its table: {error}") from error
    assert _block.decode(msgspec.msgpack.encode(block)) == block, "a block must cross a wire"


def _detail(error: HeadgateError) -> None:
    if isinstance(error, DeviceRefused):
        assert 0 <= error.detail <= 255, "the detail of a refusal is one byte"
