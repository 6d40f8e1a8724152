"""What becomes of every slot, under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import BOOT_US, FakeChannel, FakeDriver, ListSink, check_account, run, virtual_env

from headgate.channels import ChannelState
from headgate.model import Block, GapReason, Point, PointTable, Quality, Status, status_word
from headgate.runtime.health import DeviceState
from headgate.runtime.patience import Tuning
from headgate.runtime.poller import Poller
from headgate.sdk import (
    ChannelClosed,
    ChannelTimeout,
    Device,
    DeviceError,
    DevicePoint,
    DeviceRefused,
    FixedSize,
    ProtocolError,
)


def make_device(number: int = 1, interval_us: int = 1_000_000, **more: Any) -> Device:
    points = tuple(DevicePoint(Point(f"p{i}", "u16")) for i in range(3))
    name = f"d{number}"
    table = PointTable(number, name, tuple(p.point for p in points))
    given: dict[str, Any] = {"channel": "c1", "address": number, "interval_us": interval_us, **more}
    return Device(
        id=name, number=number, points=points, table=table, table_hash=bytes([number]) * 32, **given
    )


def good(device: Device) -> Block:
    at_us = BOOT_US + round(asyncio.get_running_loop().time() * 1e6)
    return Block(device.number, device.table_hash, at_us, None, (bytes(6),))


def answers(after_s: float = 0.01) -> Callable[[Device], Awaitable[Block]]:
    async def answer(device: Device) -> Block:
        await asyncio.sleep(after_s)
        return good(device)

    return answer


async def silence(device: Device) -> Block:
    await asyncio.sleep(device.timeout_s * (1 + device.retries))
    raise ChannelTimeout("no answer")


def same(block: Block) -> Block:
    return block


class Site:
    """A poller with one fake line."""

    def __init__(self, depth: int = 1, sink: ListSink | None = None, **tuning: Any) -> None:
        self.sink = sink or ListSink()
        self.poller = Poller(virtual_env(), self.sink, Tuning(**tuning))
        self.channel = FakeChannel(depth=depth)
        self.poller.add_channel(self.channel)

    def add(self, device: Device, answer: Callable[[Device], Awaitable[Block]]) -> FakeDriver:
        driver = FakeDriver(answer)
        self.poller.add(device, driver, None, same)
        return driver

    def health(self, number: int = 1) -> Any:
        return next(h for h in self.poller.device_health() if h.device == f"d{number}")


def test_a_device_that_answers_fills_every_slot() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(), answers())
        await asyncio.sleep(10)
        assert site.health().state is DeviceState.OK
        await site.poller.stop()
        due = check_account(site.sink, 1)
        assert len(site.sink.blocks) == len(due) >= 10
        assert not site.sink.gaps()
        for block in site.sink.blocks:
            assert block.slot is not None
            assert abs(block.at_us - due[block.slot] - 10_000) < 2_000

    run(main)


def test_a_sink_that_breaks_once_costs_one_look_and_not_the_line() -> None:
    class BreaksOnce(ListSink):
        broken = False

        def put(self, block: Block, device: Device) -> bool:
            if not self.broken:
                self.broken = True
                raise ZeroDivisionError
            return super().put(block, device)

    async def main() -> None:
        site = Site(sink=BreaksOnce())
        site.add(make_device(), answers())
        await asyncio.sleep(10)
        await site.poller.stop()
        assert len(site.sink.blocks) >= 9

    run(main)


async def never(device: Device) -> Block:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def test_a_driver_that_never_comes_back_holds_its_line_for_minutes_and_not_for_good() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(1), answers())
        site.add(make_device(2), never)
        await asyncio.sleep(1800)
        health = site.health(2)
        assert "did not come back" in health.text
        assert health.state is not DeviceState.OK
        assert site.health(1).good > 600
        await site.poller.stop()
        check_account(site.sink, 1)
        check_account(site.sink, 2)

    run(main)


def test_what_is_done_between_looks_and_never_ends_is_given_up_and_told() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(1), answers())

        async def stuck(channel: Any) -> None:
            await asyncio.get_running_loop().create_future()

        with pytest.raises(DeviceError) as told:
            await site.poller.between("c1", stuck)
        assert told.value.code == "HG-3104"
        before = site.health(1).good
        await asyncio.sleep(10)
        assert site.health(1).good > before + 5
        await site.poller.stop()

    run(main)


def test_a_driver_that_never_comes_back_does_not_keep_the_gateway_from_stopping() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(1), never)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await site.poller.stop()
        assert asyncio.get_running_loop().time() - began < 30
        check_account(site.sink, 1)

    run(main)


def test_a_slow_look_is_not_given_up_because_the_machine_slept() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(1, 86_400_000_000), answers(90))
        await asyncio.sleep(60)
        asyncio.get_running_loop().sleep_machine(7200)  # type: ignore[attr-defined]
        await asyncio.sleep(100)
        assert site.health().good == 1
        assert site.health().failed == 0
        await site.poller.stop()

    run(main)


def test_an_hourly_device_is_looked_at_at_once_and_then_on_its_phase() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(3, 3_600_000_000), answers())
        await asyncio.sleep(0.6)
        assert len(site.sink.blocks) == 1
        await asyncio.sleep(2 * 3600)
        await site.poller.stop()
        due = check_account(site.sink, 3)
        assert len(due) == 3
        assert due[2] - due[1] == 3_600_000_000

    run(main)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ChannelTimeout("x"), status_word(Status.NO_ANSWER)),
        (DeviceRefused("x", detail=2), status_word(Status.REFUSED, 2)),
        (ProtocolError("x"), status_word(Status.MALFORMED)),
        (ChannelClosed("x"), status_word(Status.LINE_CLOSED)),
        (ZeroDivisionError("x"), status_word(Status.DEVICE_FAULT)),
    ],
)
def test_a_failed_look_is_a_block_of_bad_quality(error: Exception, status: int) -> None:
    async def main() -> None:
        async def answer(device: Device) -> Block:
            raise error

        site = Site()
        site.add(make_device(), answer)
        await asyncio.sleep(1)
        await site.poller.stop()
        check_account(site.sink, 1)
        block = site.sink.blocks[0]
        assert block.columns is None
        assert block.quality == bytes([Quality.BAD])
        assert block.status == status.to_bytes(2, "big")

    run(main)


def test_a_slot_that_comes_while_the_last_one_waits_is_an_overrun() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(timeout_s=100), answers(2.5))
        await asyncio.sleep(60)
        assert site.health().overruns > 20
        await site.poller.stop()
        due = check_account(site.sink, 1)
        overruns = [g for g in site.sink.gaps() if g.reason is GapReason.OVERRUN]
        assert len(site.sink.blocks) in range(22, 26)
        assert sum(g.looks or 0 for g in overruns) >= len(due) - 26
        assert len(overruns) <= 21, "one in three seconds, not one a slot"
        assert all(g.readings == 3 * (g.looks or 0) for g in overruns)

    run(main)


def test_a_silent_device_is_left_alone_probed_and_taken_back() -> None:
    async def main() -> None:
        answer_now = False

        async def answer(device: Device) -> Block:
            return await (answers()(device) if answer_now else silence(device))

        site = Site()
        driver = site.add(make_device(), answer)
        await asyncio.sleep(120)
        asked = len(driver.asked)
        assert asked < 12
        assert site.health().state is DeviceState.QUARANTINED
        # Three looks said so at once; the rest is one gap that keeps being told.
        assert [b.slot for b in site.sink.blocks] == [0, 2, 3] or len(site.sink.blocks) == 3
        assert site.sink.events().count("device-quarantined") == 1
        told = [g for g in site.sink.gaps() if g.reason is GapReason.DEVICE_QUARANTINED]
        assert told
        answer_now = True
        await asyncio.sleep(400)
        assert site.health().state is DeviceState.OK
        assert "device-back" in site.sink.events()
        await site.poller.stop()
        check_account(site.sink, 1)

    run(main)


def test_silent_units_take_a_bounded_share_of_their_line() -> None:
    async def main() -> None:
        site = Site()
        for number in range(1, 5):
            site.add(make_device(number), answers(0.02))
        for number in range(5, 25):
            site.add(make_device(number, timeout_s=1.0), silence)
        await asyncio.sleep(60)  # twenty dead units, two tries each, are found out once
        before = {n: site.health(n).good for n in range(1, 5)}
        spent = site.poller.channel_health()[0].silent_share * 60
        await asyncio.sleep(300)
        spent = site.poller.channel_health()[0].silent_share * 360 - spent
        assert spent <= 0.2 * 300 + 3
        for number in range(1, 5):
            assert site.health(number).good - before[number] >= 0.75 * 300
        await site.poller.stop()
        for number in range(1, 25):
            check_account(site.sink, number)

    run(main)


def test_a_line_that_is_down_costs_no_time_and_shows_at_once() -> None:
    async def main() -> None:
        site = Site()
        driver = site.add(make_device(), answers())
        await asyncio.sleep(3)
        site.channel.set(ChannelState.DOWN)
        asked = len(driver.asked)
        await asyncio.sleep(150)
        assert len(driver.asked) == asked
        assert site.health().state is DeviceState.LINE_DOWN
        bad = [
            b
            for b in site.sink.blocks
            if b.status == status_word(Status.LINE_CLOSED).to_bytes(2, "big")
        ]
        assert len(bad) == 1
        site.channel.set(ChannelState.UP)
        await asyncio.sleep(3)
        assert len(driver.asked) > asked
        await site.poller.stop()
        check_account(site.sink, 1)
        gaps = site.sink.gaps()
        assert {g.reason for g in gaps} == {GapReason.LINE_DOWN}
        assert len(gaps) == 3  # told every minute, and when it was over
        assert {"line-up", "line-down"} <= set(site.sink.events())

    run(main)


def test_nobody_is_asked_while_the_sink_is_full() -> None:
    async def main() -> None:
        site = Site()
        driver = site.add(make_device(), answers())
        await asyncio.sleep(3)
        site.sink.fill()
        await asyncio.sleep(5)
        asked = len(driver.asked)
        await asyncio.sleep(20)
        assert len(driver.asked) == asked
        site.sink.empty()
        await asyncio.sleep(5)
        assert len(driver.asked) >= asked + 4
        await site.poller.stop()
        check_account(site.sink, 1)
        assert {g.reason for g in site.sink.gaps()} == {GapReason.DISK_SLOW}

    run(main)


def test_a_stage_that_breaks_does_not_cost_the_look() -> None:
    async def main() -> None:
        def broken(block: Block) -> Any:
            raise ValueError("a bug")

        site = Site()
        site.poller.add(make_device(), FakeDriver(answers()), None, same, broken)
        await asyncio.sleep(3)
        await site.poller.stop()
        assert len(check_account(site.sink, 1)) == len(site.sink.blocks)

    run(main)


def test_the_look_in_hand_is_finished_and_what_waited_is_told() -> None:
    async def main() -> None:
        site = Site(first_look_s=0.5)
        site.add(make_device(1, timeout_s=100), answers(3))
        site.add(make_device(2, timeout_s=100), answers(3))
        await asyncio.sleep(1.2)
        await site.poller.stop()
        check_account(site.sink, 1)
        check_account(site.sink, 2)
        assert any(b.columns is not None for b in site.sink.blocks)
        assert GapReason.GATEWAY_OFF in {g.reason for g in site.sink.gaps()}

    run(main)


def test_replacing_a_device_loses_no_slot() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(1, 1_000_000), answers(0.4))
        await asyncio.sleep(5.3)
        new = make_device(1, 250_000, timeout_s=3)
        await site.poller.replace(new, FakeDriver(answers()), None, same)
        await asyncio.sleep(5)
        await site.poller.replace(make_device(1, 700_000), FakeDriver(answers()), None, same)
        await asyncio.sleep(5)
        await site.poller.remove("d1")
        await site.poller.stop()
        due = check_account(site.sink, 1)
        assert len(due) == len(site.sink.blocks)
        assert sorted(due) == list(range(len(due)))

    run(main)


def test_a_device_that_moves_to_another_line_goes_on_counting() -> None:
    async def main() -> None:
        site = Site()
        site.poller.add_channel(FakeChannel("c2"))
        site.add(make_device(), answers())
        await asyncio.sleep(3)
        moved = make_device(1, channel="c2")
        await site.poller.replace(moved, FakeDriver(answers()), None, same)
        await asyncio.sleep(3)
        assert [h.devices for h in site.poller.channel_health()] == [0, 1]
        await site.poller.remove_channel("c2")
        await site.poller.stop()
        due = check_account(site.sink, 1)
        assert sorted(due) == list(range(len(due)))

    run(main)


def test_depth_is_how_many_looks_are_in_hand_at_once() -> None:
    async def main() -> None:
        site = Site(depth=4)
        driver = FakeDriver(answers(0.5))
        for number in range(1, 20):
            site.poller.add(make_device(number), driver, None, same)
        await asyncio.sleep(10)
        assert driver.most_in_hand == 4
        await site.poller.stop()
        for number in range(1, 20):
            check_account(site.sink, number)

    run(main)


def test_reading_once_goes_between_the_looks_and_shows_every_byte() -> None:
    async def main() -> None:
        site = Site(depth=2)

        async def ask(device: Device) -> Block:
            await asyncio.sleep(0.3)
            await site.channel.exchange(bytes([device.number, 0xAB]), FixedSize(2))
            await asyncio.sleep(0.3)
            return good(device)

        driver = FakeDriver(ask)
        for number in range(1, 6):
            site.poller.add(make_device(number), driver, None, same)
        await asyncio.sleep(3)
        detail = await site.poller.read_once("d2")
        assert [(f.direction, f.hex) for f in detail.frames] == [
            ("sent", "02ab"),
            ("received", "ab02"),
        ]
        assert detail.block is not None
        assert detail.block.slot is None
        with pytest.raises(KeyError):
            await site.poller.read_once("nobody")
        await asyncio.sleep(3)
        await site.poller.stop()
        for number in range(1, 6):
            check_account(site.sink, number)

    run(main)


def test_reading_once_says_why_there_is_no_block() -> None:
    async def main() -> None:
        site = Site()
        site.add(make_device(), silence)
        await asyncio.sleep(0.1)
        detail = await site.poller.read_once("d1")
        assert detail.block is None
        assert detail.code == "HG-3002"
        await site.poller.stop()

    run(main)


MOODS = ["good", "slow", "silent", "closed", "refused", "late-refused", "broken"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_due_slot_is_accounted_for_exactly_once(data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 3), "depth")
    intervals = data.draw(
        st.lists(st.integers(50_000, 8_000_000), min_size=1, max_size=5), "intervals"
    )
    events = data.draw(
        st.lists(
            st.tuples(
                st.floats(0.0, 20.0),
                st.sampled_from(
                    ["mood", "down", "up", "fill", "empty", "replace", "remove", "doze", "once"]
                ),
                st.integers(1, len(intervals)),
                st.sampled_from(MOODS),
            ),
            max_size=14,
        ),
        "events",
    )

    async def main() -> None:
        site = Site(depth=depth, quarantine_first_s=3.0, quarantine_cap_s=20.0)
        moods = dict.fromkeys(range(1, len(intervals) + 1), "good")

        async def answer(device: Device) -> Block:
            mood = moods[device.number]
            await asyncio.sleep(3.0 if mood == "slow" else 0.02)
            if mood == "silent":
                return await silence(device)
            if mood == "closed":
                raise ChannelClosed("gone")
            if mood == "refused":
                raise DeviceRefused("no", detail=4)
            if mood == "late-refused":
                await asyncio.sleep(device.timeout_s)
                raise DeviceRefused("no", detail=11)
            if mood == "broken":
                raise RuntimeError("a bug")
            return good(device)

        for number, interval in enumerate(intervals, 1):
            site.add(make_device(number, interval), answer)
        gone: set[int] = set()
        for wait, kind, number, mood in events:
            await asyncio.sleep(wait)
            if kind == "mood":
                moods[number] = mood
            elif kind == "down":
                site.channel.set(ChannelState.DOWN)
            elif kind == "up":
                site.channel.set(ChannelState.UP)
            elif kind == "fill":
                site.sink.fill()
            elif kind == "empty":
                site.sink.empty()
            elif kind == "doze":
                loop: Any = asyncio.get_running_loop()
                loop.sleep_machine(wait)
            elif number in gone:
                continue
            elif kind == "replace":
                new = make_device(number, intervals[number - 1] * 2 // 3)
                await site.poller.replace(new, FakeDriver(answer), None, same)
            elif kind == "remove":
                await site.poller.remove(f"d{number}")
                gone.add(number)
            else:
                await site.poller.read_once(f"d{number}")
        await asyncio.sleep(7)
        await site.poller.stop()
        for number in range(1, len(intervals) + 1):
            check_account(site.sink, number)

    run(main)
