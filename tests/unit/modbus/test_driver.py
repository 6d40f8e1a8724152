"""The driver over a real socket, against a byte server that lies in every way we know of."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from byteserver import ByteServer, Peer, byte_server
from modbus_device import MakeDevice, make

from headgate.channels import ChannelSettings, ManagedChannel, open_channel
from headgate.columns import readings
from headgate.env import system_env
from headgate.sdk import (
    Block,
    ChannelClosed,
    ChannelTimeout,
    Device,
    DeviceRefused,
    ProtocolError,
    Status,
    status_word,
)
from headgate_drivers.modbus import ModbusDriver

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "protocols" / "modbus.json").read_text()
)["vectors"]


class Unit:
    """A device with register n holding n, that lies where the test says so."""

    def __init__(self) -> None:
        self.lies: list[Callable[[bytes, bytes], bytes | None]] = []
        self.holes: set[int] = set()
        self.refusal = 2
        self.silent: set[int] = set()
        self.asked: list[tuple[int, int, int]] = []

    async def __call__(self, request: bytes, peer: Peer) -> None:
        transaction, unit, function, start, count = struct.unpack(">H4xBBHH", request)
        self.asked.append((unit, start, count))
        if unit in self.silent or start in self.silent:
            return
        if self.holes & set(range(start, start + count)):
            body = bytes([unit, function | 0x80, self.refusal])
        else:
            body = bytes([unit, function, count * 2]) + struct.pack(
                f">{count}H", *range(start, start + count)
            )
        answer = struct.pack(">HHH", transaction, 0, len(body)) + body
        if self.lies:
            lie = self.lies.pop(0)(request, answer)
            if lie is None:
                peer.hang_up()
                return
            answer = lie
        peer.say(answer)


@asynccontextmanager
async def site(unit: Unit, **settings: Any) -> AsyncIterator[tuple[ManagedChannel, ByteServer]]:
    async with byte_server(unit) as server:
        url = f"modbus+tcp://127.0.0.1:{server.port}"
        channel = open_channel(system_env(), ChannelSettings("c1", url, **settings))
        channel.open()
        await channel.settled()
        try:
            yield channel, server
        finally:
            await channel.close()


def values(device: Device, block: Block) -> list[Any]:
    return [reading.value for reading in readings(block, device.table)]


def statuses(device: Device, block: Block) -> list[int]:
    return [reading.status for reading in readings(block, device.table)]


TWO = ({"register": 5}, {"register": 6})


def body(change: Callable[[bytes], bytes]) -> Callable[[bytes, bytes], bytes]:
    """A lie about unit and PDU, its MBAP length made to fit."""

    def lie(request: bytes, answer: bytes) -> bytes:
        changed = change(answer[6:])
        return answer[:4] + len(changed).to_bytes(2, "big") + changed

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(body(lambda b: b[:2] + b"\6" + b[3:] + b"\0\7"), id="three registers for two"),
        pytest.param(body(lambda b: b[:2] + b"\2" + b[3:5]), id="one register for two"),
        pytest.param(body(lambda b: b[:-2]), id="count right, data short"),
        pytest.param(body(lambda b: b"\2" + b[1:]), id="another unit"),
        pytest.param(body(lambda b: b[:1] + b"\4" + b[2:]), id="another function"),
        pytest.param(body(lambda b: b[:1]), id="no function"),
        pytest.param(body(lambda b: b[:1] + b"\x84\2"), id="a refusal of something else"),
        pytest.param(body(lambda b: b[:1] + b"\x41" + b[2:]), id="a function nobody knows"),
        pytest.param(body(lambda b: b[:1] + b"\x80" + b[2:]), id="a refusal of function 0"),
    ],
)
async def test_a_lie_is_never_a_value(lie: Any, device: MakeDevice) -> None:
    unit = Unit()
    unit.lies = [lie]
    async with site(unit) as (channel, _):
        d = device(*TWO)
        driver = ModbusDriver()
        plan = driver.plan(d)
        with pytest.raises((ProtocolError, ChannelTimeout)):
            await driver.read(channel, make(*TWO, timeout_s=0.05), plan)
        assert values(d, await driver.read(channel, d, plan)) == [5, 6]


async def test_an_answer_of_another_transaction_is_never_a_value(device: MakeDevice) -> None:
    unit = Unit()
    unit.lies = [lambda request, answer: b"\xfe\xfe" + answer[2:]]
    async with site(unit) as (channel, _):
        d = device(*TWO, timeout_s=0.05)
        driver = ModbusDriver()
        plan = driver.plan(d)
        with pytest.raises(ChannelTimeout):
            await driver.read(channel, d, plan)
        assert channel.counters.stale == 1
        assert values(d, await driver.read(channel, make(*TWO), plan)) == [5, 6]


async def test_a_late_answer_is_never_the_next_value(device: MakeDevice) -> None:
    late: list[bytes] = []

    def keep(request: bytes, answer: bytes) -> bytes:
        late.append(answer[:9] + b"\xde\xad\xbe\xef")
        return b""

    unit = Unit()
    unit.lies = [keep, lambda request, answer: late[0] + answer]
    async with site(unit) as (channel, _):
        driver = ModbusDriver()
        d = device(*TWO, timeout_s=0.05)
        plan = driver.plan(d)
        with pytest.raises(ChannelTimeout):
            await driver.read(channel, d, plan)
        assert values(d, await driver.read(channel, make(*TWO), plan)) == [5, 6]


async def test_garbage_before_an_answer_is_stepped_over(device: MakeDevice) -> None:
    unit = Unit()
    unit.lies = [lambda request, answer: b"\xff\x00\x17garbage" + answer]
    async with site(unit) as (channel, _):
        d = device(*TWO)
        driver = ModbusDriver()
        assert values(d, await driver.read(channel, d, driver.plan(d))) == [5, 6]


async def test_a_line_that_closes_in_the_middle_of_an_answer(device: MakeDevice) -> None:
    unit = Unit()
    unit.lies = [lambda request, answer: None]
    async with site(unit) as (channel, _):
        d = device(*TWO)
        driver = ModbusDriver()
        with pytest.raises(ChannelClosed):
            await driver.read(channel, d, driver.plan(d))


async def test_retries_ask_again(device: MakeDevice) -> None:
    unit = Unit()
    unit.lies = [lambda request, answer: b""]
    async with site(unit) as (channel, _):
        d = device(*TWO, timeout_s=0.2, retries=1)
        driver = ModbusDriver()
        assert values(d, await driver.read(channel, d, driver.plan(d))) == [5, 6]
        assert len(unit.asked) == 2


@pytest.mark.parametrize("refusal", [2, 3, 4])
async def test_a_refused_request_that_crosses_a_hole_is_cut_for_good(
    device: MakeDevice, refusal: int
) -> None:
    unit = Unit()
    unit.holes, unit.refusal = {12}, refusal
    async with site(unit) as (channel, _):
        d = device({"register": 10}, {"register": 11}, {"register": 14})
        driver = ModbusDriver()
        plan = driver.plan(d)
        assert values(d, await driver.read(channel, d, plan)) == [10, 11, 14]
        assert plan.splits == 1
        unit.asked.clear()
        assert values(d, await driver.read(channel, d, plan)) == [10, 11, 14]
        assert sorted(unit.asked) == [(1, 10, 2), (1, 14, 1)]


async def test_a_device_that_fails_after_it_answered_has_no_holes(device: MakeDevice) -> None:
    unit = Unit()
    async with site(unit) as (channel, _):
        d = device({"register": 10}, {"register": 14})
        driver = ModbusDriver()
        plan = driver.plan(d)
        assert values(d, await driver.read(channel, d, plan)) == [10, 14]
        unit.holes, unit.refusal = {12}, 4
        with pytest.raises(DeviceRefused):
            await driver.read(channel, d, plan)
        assert plan.splits == 0
        unit.refusal = 2  # new firmware without that register: said by its proper code
        assert values(d, await driver.read(channel, d, plan)) == [10, 14]
        assert plan.splits == 1


async def test_a_refusal_spoils_the_points_of_its_request_only(device: MakeDevice) -> None:
    unit = Unit()
    unit.holes = {100}
    async with site(unit) as (channel, _):
        d = device({"register": 10}, {"register": 100}, {"register": 200})
        driver = ModbusDriver()
        block = await driver.read(channel, d, driver.plan(d))
        assert values(d, block) == [10, None, 200]
        assert statuses(d, block) == [0, status_word(Status.REFUSED, 2), 0]


async def test_a_look_that_is_refused_whole_is_refused(device: MakeDevice) -> None:
    unit = Unit()
    unit.holes = {100}
    async with site(unit) as (channel, _):
        d = device({"register": 100})
        driver = ModbusDriver()
        with pytest.raises(DeviceRefused) as refused:
            await driver.read(channel, d, driver.plan(d))
        assert refused.value.detail == 2


async def test_a_silent_unit_costs_two_requests_not_all(device: MakeDevice) -> None:
    unit = Unit()
    unit.silent = {1}
    async with site(unit) as (channel, _):
        d = device(*({"register": r * 100} for r in range(8)), timeout_s=0.02)
        driver = ModbusDriver()
        with pytest.raises(ChannelTimeout):
            await driver.read(channel, d, driver.plan(d))
        assert len(unit.asked) == 2


async def test_a_request_nobody_answers_is_asked_more_and_more_seldom(device: MakeDevice) -> None:
    unit = Unit()
    unit.silent = {100}
    async with site(unit, silent_limit=1000) as (channel, _):
        d = device({"register": 10}, {"register": 100}, timeout_s=0.02)
        driver = ModbusDriver()
        plan = driver.plan(d)
        for _ in range(40):
            block = await driver.read(channel, d, plan)
            assert values(d, block) == [10, None]
            assert statuses(d, block) == [0, status_word(Status.NO_ANSWER)]
        assert sum(start == 100 for _, start, _ in unit.asked) <= 8
        unit.silent = set()
        for _ in range(64):
            block = await driver.read(channel, d, plan)
        assert values(d, block) == [10, 100]


async def test_a_silent_unit_does_not_disturb_its_neighbours(device: MakeDevice) -> None:
    unit = Unit()
    unit.silent = {7}
    async with site(unit, depth=2) as (channel, server):
        driver = ModbusDriver()
        dead = device(*TWO, address=7, timeout_s=0.1)
        alive = device(*TWO, address=1)
        silent = asyncio.ensure_future(driver.read(channel, dead, driver.plan(dead)))
        plan = driver.plan(alive)
        for _ in range(20):
            assert values(alive, await driver.read(channel, alive, plan)) == [5, 6]
        with pytest.raises(ChannelTimeout):
            await silent
        assert server.connections == 1


# ---------------------------------------------------------------- recorded frames


def recorded(name: str) -> tuple[bytes, bytes]:
    vector = next(v for v in VECTORS if v["name"] == name)
    return bytes.fromhex(vector["request"]), bytes.fromhex(vector["response"])


FLOAT, COIL = {"type": "float32"}, {"area": "coil", "type": "bool"}
SOIL: list[Any] = [{"register": 0}, {"register": 1, "type": "int16"}, {"register": 3}]
RADAR: list[Any] = [{"register": 0, **FLOAT}, {"register": 2, **FLOAT}]
COILS: list[Any] = [{"register": r, **COIL} for r in range(19, 27)]


@pytest.mark.parametrize(
    ("name", "points", "expected"),
    [
        ("soil_4in1", SOIL, [658, -101, 56]),
        ("sl651_level_0002H", [{"register": 2, "type": "uint32"}], [21873]),
        ("radar_level_float", RADAR, [3.482, 21.518]),
        ("tcp_read_2_regs", [{"register": 0}, {"register": 1}], [658, 65435]),
        ("fc01_coils_37", COILS, [True, False, True, True, False, False, True, True]),
    ],
)
def test_recorded_frames_replay(name: str, points: list[Any], expected: list[Any]) -> None:
    frames = recorded(name)
    d = make(*points, address=frames[0][6 if "tcp" in name else 0])
    block = ModbusDriver().replay(d, [frames])
    assert values(d, block) == pytest.approx(expected, rel=1e-6)


def test_a_recorded_frame_that_does_not_fit_is_refused() -> None:
    request, answer = recorded("soil_4in1")
    for wrong in (answer[:-1], answer + b"\0", answer[:-1] + b"\0", recorded("tcp_read_2_regs")[1]):
        with pytest.raises(ProtocolError):
            ModbusDriver().replay(make({"register": 0}), [(request, wrong)])
    block = ModbusDriver().replay(make({"register": 0}, {"register": 50}), [(request, answer)])
    assert block.status == b"\0\0" + status_word(Status.NO_ANSWER).to_bytes(2, "big")
