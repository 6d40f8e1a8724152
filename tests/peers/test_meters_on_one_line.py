"""32 meters of four protocols on one pair with echo: each read as itself, and the truth compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.channels import ManagedChannel, open_channel
from headgate.channels.base import ChannelSettings
from headgate.columns import readings
from headgate.env import SystemClock, system_env
from headgate.env.doors import ClockState
from headgate.errors import ChannelTimeout, DeviceRefused, HeadgateError, ProtocolError
from headgate.sdk import Device, DevicePoint, Point, PollingDriver
from headgate.testing.devices import make_device
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.cjt188.points import ITEMS
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.modbus import ModbusDriver
from headgate_simulators.meters import Meter, Stairs, StairsPlan
from headgate_simulators.meters.air import Air
from headgate_simulators.meters.electricity import Electricity
from headgate_simulators.meters.metered import Metered, WaterReversed
from headgate_simulators.truth import TruthList

#: What a site's profile would name; the words are the simulator's.
ITEM = {"power": "heat_power"}
#: A meter that must answer has time on a loaded machine; one that will not is not waited for.
PATIENT_S, SHORT_S = 5.0, 0.15
#: In the evening: meters set their clocks neither at midnight nor around it.
AT = 1_790_000_000.0


def served(
    meter: Meter, *, timeout_s: float, own_line: bool = False, few: bool = False
) -> tuple[PollingDriver, Device]:
    """The driver of a meter, and the meter as a site has it; `few`: its first identifier alone."""
    quirks: dict[str, Any] = {"line": meter.settings} if own_line else {}
    driver: PollingDriver = Dlt645Driver()
    address: str | int = meter.address
    if isinstance(meter, Electricity):
        points = [
            DevicePoint(Point(row.point, "f64"), {"di": di} | (
                {"field": row.point[:-1] + row.point[-1].upper()} if di.endswith("FF00") else {}))
            for di, rows in list(meter.registers.items())[: 1 if few else None] for row in rows
        ]  # fmt: skip
    elif isinstance(meter, Metered):
        driver, quirks["meter_type"] = Cjt188Driver(), meter.kind
        items = {name: ITEM.get(name, name) for name in sorted(meter.points)}
        points = [
            DevicePoint(Point(name, ITEMS[item][1]), {"item": item}) for name, item in items.items()  # type: ignore[arg-type]
        ]  # fmt: skip
        if isinstance(meter, WaterReversed) and timeout_s == PATIENT_S:
            quirks["identifier"] = "901F"
    else:
        driver, address = ModbusDriver(), meter.number
        points = [
            DevicePoint(Point("humidity", "u16"), {"register": 0, "type": "uint16"}),
            DevicePoint(Point("temperature", "i16"), {"register": 1, "type": "int16"}),
        ]
    device = make_device(points, name=meter.id, address=address, quirks=quirks)
    # A meter that is not waited for is not asked twice either.
    retries = 0 if timeout_s == SHORT_S else 1
    return driver, msgspec.structs.replace(device, timeout_s=timeout_s, retries=retries)


class Fixed(SystemClock):
    """A trusted clock that stands still, as the meters' world does."""

    def wall_us(self) -> int:
        return int(AT * 1_000_000)

    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


@asynccontextmanager
async def stairs(**wanted: Any) -> AsyncIterator[tuple[Stairs, ManagedChannel]]:
    """Meters on a pair, and a channel to it. The world stands still: what is read later is the same."""
    plan = StairsPlan(**{"echo": True, "real_time": False, **wanted})
    async with Stairs(plan, TruthList(), lambda: AT) as running:
        url = running.url
        url += ("&" if "?" in url else "?") + "baud=2400" if "baud" not in url else ""
        env = system_env()
        env.clock = Fixed()
        channel = open_channel(env, ChannelSettings("stairs", url))
        channel.open()
        try:
            await channel.settled()
            yield running, channel
        finally:
            await channel.close()


async def look(
    channel: ManagedChannel, meter: Meter, plans: dict[str, Any], timeout_s: float = PATIENT_S,
    **other: bool,
) -> dict[str, Any]:  # fmt: skip
    driver, device = served(meter, timeout_s=timeout_s, **other)
    plan = plans.setdefault(meter.id, driver.plan(device))
    block = await driver.read(channel, device, plan)
    return {r.point: r.value for r in readings(block, device.table)}


def truth(running: Stairs, meter: Meter) -> Mapping[str, Any]:
    values: Callable[[float], Mapping[str, Any]] = meter.values  # type: ignore[attr-defined]
    said = values(running.world_now())
    return (
        {name: round(10 * value) for name, value in said.items()}
        if isinstance(meter, Air)
        else said
    )


def same(running: Stairs, meter: Meter, found: Mapping[str, Any]) -> bool:
    said = truth(running, meter)
    return bool(found) and all(value == said[name] for name, value in found.items())


async def test_every_one_of_32_meters_is_read_as_itself() -> None:
    async with stairs(count=32) as (running, channel):
        plans: dict[str, Any] = {}
        unknown = next(m for m in running.meters.values() if isinstance(m, WaterReversed))
        whole: set[type[Meter]] = set()
        for meter in running.meters.values():
            patience = 0.3 if meter is unknown else PATIENT_S
            found = await look(channel, meter, plans, patience, few=type(meter) in whole)
            assert same(running, meter, found), meter.id
            whole.add(type(meter))
        # Who wants its identifier the other way round was found out once.
        orders = {type(running.meters[name]).__name__: plan.order for name, plan in plans.items()
                  if isinstance(running.meters[name], Metered)}  # fmt: skip
        assert (orders["Water"], orders["WaterReversed"], orders["Gas"]) == ("1F90", "901F", "1F90")


async def test_meters_of_other_speeds_share_a_real_port(tmp_path: Path) -> None:
    # What is said at another speed a meter does not hear: 1200, 2400 and 9600 baud on one pair.
    async with stairs(count=8, modbus=2, path=tmp_path / "pair") as (running, channel):
        plans: dict[str, Any] = {}
        speeds = set()
        for meter in running.meters.values():
            found = await look(channel, meter, plans, own_line=True)
            assert same(running, meter, found), meter.id
            speeds.add(meter.baud)
        assert speeds == {1200, 2400, 9600}


#: Fault, what a look at such a meter ends in: by kind of meter where it differs. None: it is read.
ENDS: list[tuple[str, dict[type[Meter], type[Exception] | None]]] = [
    ("silent", {Meter: ChannelTimeout}),
    ("wrong-checksum", {Meter: HeadgateError}),
    ("neighbour", {Meter: HeadgateError}),
    ("refuses", {Meter: DeviceRefused}),
    ("wrong-di", {Electricity: ProtocolError, Meter: None}),
    ("preambles", {Meter: None}),
    ("noise", {Meter: None}),
    ("unit-first", {Meter: None}),
    ("follow-ups", {Meter: None}),
]


@pytest.mark.parametrize(("fault", "ends"), ENDS, ids=[fault for fault, _ in ENDS])
async def test_one_bad_meter_spoils_nobody_else(
    fault: str, ends: dict[type[Meter], type[Exception] | None]
) -> None:
    waited_for = ChannelTimeout in ends.values() or HeadgateError in ends.values()
    # One edition is enough where a test must wait for what never comes.
    kinds = ("electricity", "heat") if waited_for else ("electricity", "electricity-1997", "heat")
    async with stairs(count=len(kinds), modbus=1, kinds=kinds) as (running, channel):
        plans: dict[str, Any] = {}
        for bad in list(running.meters.values())[1:]:
            running.command({"fault": fault, "device": bad.id, "on": True})
            error = next(found for kind, found in ends.items() if isinstance(bad, kind))
            if error is None:
                assert same(running, bad, await look(channel, bad, plans, few=True)), bad.id
            else:
                patience = PATIENT_S if error is DeviceRefused else SHORT_S
                with pytest.raises(error):
                    await look(channel, bad, {}, patience, few=True)
            for meter in running.meters.values():
                if meter is not bad:
                    assert same(running, meter, await look(channel, meter, plans, few=True)), (
                        meter.id
                    )
            running.command({"fault": fault, "device": bad.id, "on": False})


async def test_an_answer_that_comes_too_late_is_nobody_else_s() -> None:
    async with stairs(count=3, kinds=("electricity-1997", "water", "water")) as (running, channel):
        plans: dict[str, Any] = {}
        _, late, other, third = running.meters.values()
        running.command({"fault": "late", "device": late.id, "on": True, "value": 0.4})
        with suppress(HeadgateError):  # it may be heard when it is asked again, as what it is
            for name, value in (await look(channel, late, {}, SHORT_S, few=True)).items():
                assert value in (None, truth(running, late)[name])
        for meter in (other, third):
            assert same(running, meter, await look(channel, meter, plans))


async def test_the_time_is_told_once_to_all_that_hear_it_and_believe_it(tmp_path: Path) -> None:
    """One broadcast: heard at its speed alone, taken where a clock is at most five minutes off."""
    kinds = ("electricity", "switch", "switch", "electricity-1997", "water")
    async with stairs(count=5, kinds=kinds, path=tmp_path / "pair") as (running, channel):
        _, asked, near, far, *_ = running.meters.values()
        for meter, off in ((asked, 75), (near, -40), (far, 4000)):
            running.command({"fault": "clock", "device": meter.id, "on": True, "value": off})
        points = [DevicePoint(Point("off", "f64"), {"di": "clock_offset"})]
        quirks = {"sync_clock": "day", "line": asked.settings}
        device = make_device(points, address=asked.address, quirks=quirks)
        device = msgspec.structs.replace(device, timeout_s=PATIENT_S)
        driver = Dlt645Driver()
        plan = driver.plan(device)
        told = []
        for _ in range(3):
            block = await driver.read(channel, device, plan)
            told += [r.value for r in readings(block, device.table)]
        # The first look tells the time, and the second sees that it was taken.
        assert told == [75.0, 0.0, 0.0]
        clocks = [(line["device"], line["outcome"]) for line in running.writes.of("clock")]
        assert clocks == [(asked.id, "done"), (near.id, "done"), (far.id, "ignored")]
