"""32 meters of four protocols on one pair with echo: each read as itself, and the truth compared."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.channels import ManagedChannel, open_channel
from headgate.channels.base import ChannelSettings
from headgate.columns import readings
from headgate.env import system_env
from headgate.errors import ChannelTimeout, HeadgateError, ProtocolError
from headgate.sdk import Device, DevicePoint, Point, PollingDriver
from headgate.testing.devices import make_device
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.modbus import ModbusDriver
from headgate_simulators.meters import Kind, Meter, MeterLine, Wrong, stairwell
from headgate_simulators.ports import Port, PtyPort, TcpPort
from headgate_simulators.world import World

START = 1_790_000_000.0
ELECTRICITY = {"energy": "00010000", "voltage": "02010100", "power": "02030000"}
OLD = {"energy": "9010", "voltage": "B611"}
WATER = ("total", "settlement")
HEAT = ("heat", "volume", "supply_temperature", "return_temperature")


def served(meter: Meter, *, own_line: bool) -> tuple[PollingDriver, Device]:
    """The driver of a meter, and the meter as a site has it."""
    quirks: dict[str, Any] = {"line": meter.line} if own_line else {}
    driver: PollingDriver = Dlt645Driver()
    if meter.kind in (Kind.DLT645_2007, Kind.DLT645_1997):
        named = ELECTRICITY if meter.kind is Kind.DLT645_2007 else OLD
        points = [DevicePoint(Point(name, "f64"), {"di": di}) for name, di in named.items()]
    elif meter.kind is Kind.MODBUS:
        driver = ModbusDriver()
        points = [
            DevicePoint(Point("energy", "u32"), {"register": 0, "type": "uint32"}),
            DevicePoint(Point("voltage", "u16"), {"register": 2, "type": "uint16"}),
        ]
    else:
        driver = Cjt188Driver()
        heat = meter.kind in (Kind.HEAT, Kind.HEAT_UNIT_FIRST)
        quirks["meter_type"] = 0x20 if heat else 0x10
        points = [DevicePoint(Point(i, "f64"), {"item": i}) for i in (HEAT if heat else WATER)]
    address: str | int = int(meter.address) if meter.kind is Kind.MODBUS else meter.address
    device = make_device(points, name=meter.id, address=address, quirks=quirks)
    return driver, msgspec.structs.replace(device, timeout_s=0.4, retries=1)


@asynccontextmanager
async def stairs(
    port: Port, count: int = 32
) -> AsyncIterator[tuple[MeterLine, ManagedChannel, dict[str, dict[str, float]]]]:
    """Meters on a pair, a channel to it, and what each meter said last."""
    truth: dict[str, dict[str, float]] = {}

    def keep(line: Mapping[str, Any]) -> None:
        truth.setdefault(line["device"], {}).update(line["values"])

    began = time.monotonic()
    meters = stairwell(World(7, START), count)
    line = MeterLine(port, meters, lambda: START + time.monotonic() - began, truth=keep)
    await line.plug()
    url = (
        "modbus+rtu"
        + port.url.partition("?")[0].removeprefix("serial")
        + "?baud=2400&parity=E&echo=1"
    )
    channel = open_channel(system_env(), ChannelSettings("stairs", url))
    channel.open()
    try:
        await channel.settled()
        yield line, channel, truth
    finally:
        await channel.close()
        await line.pull()


async def look(channel: ManagedChannel, meter: Meter, plans: dict[str, Any], *, own: bool) -> Any:
    driver, device = served(meter, own_line=own)
    plan = plans.setdefault(meter.id, driver.plan(device))
    block = await driver.read(channel, device, plan)
    return {r.point: r.value for r in readings(block, device.table)}


def same(meter: Meter, found: Mapping[str, Any], truth: Mapping[str, float]) -> bool:
    times = {"energy": 100, "voltage": 10} if meter.kind is Kind.MODBUS else {}
    return all(value == round(truth[name] * times[name]) if name in times else value == truth[name]
               for name, value in found.items())  # fmt: skip


async def test_every_one_of_32_meters_is_read_as_itself() -> None:
    async with stairs(TcpPort("127.0.0.1")) as (line, channel, truth):
        plans: dict[str, Any] = {}
        for meter in line.meters.values():
            found = await look(channel, meter, plans, own=False)
            assert found
            assert same(meter, found, truth[meter.id]), meter.id
        assert len(truth) == 32
        # Who wants its identifier the other way round was found out once.
        orders = {line.meters[name].kind: plan.order for name, plan in plans.items()
                  if line.meters[name].kind in (Kind.WATER, Kind.WATER_REVERSED)}  # fmt: skip
        assert orders == {Kind.WATER: "1F90", Kind.WATER_REVERSED: "901F"}


async def test_meters_of_other_speeds_share_a_real_port(tmp_path: Path) -> None:
    async with stairs(PtyPort(tmp_path / "pair"), 8) as (line, channel, truth):
        plans: dict[str, Any] = {}
        for meter in line.meters.values():
            if meter.kind is not Kind.MODBUS:
                found = await look(channel, meter, plans, own=True)
                assert same(meter, found, truth[meter.id]), meter.id


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Wrong.SILENT, ChannelTimeout), (Wrong.WRONG_CHECKSUM, ProtocolError),
        (Wrong.WRONG_ADDRESS, HeadgateError), (Wrong.SLOW, ChannelTimeout), (Wrong.NOISE, None),
    ],
)  # fmt: skip
async def test_one_bad_meter_spoils_nobody_else(
    wrong: Wrong, error: type[Exception] | None
) -> None:
    async with stairs(TcpPort("127.0.0.1"), 4) as (line, channel, truth):
        plans: dict[str, Any] = {}
        for bad in [m for m in line.meters.values() if m.kind is not Kind.MODBUS][::2]:
            line.wrong = {bad.id: wrong}
            if error is None:
                assert same(bad, await look(channel, bad, plans, own=False), truth[bad.id])
            else:
                with pytest.raises(error):
                    await look(channel, bad, plans, own=False)
            for meter in line.meters.values():
                if meter is not bad:
                    found = await look(channel, meter, plans, own=False)
                    assert same(meter, found, truth[meter.id]), (bad.id, meter.id)
