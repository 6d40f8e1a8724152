"""Conditions and events of a server as alarms, against an asyncua server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from kit.opcua import line, station, stations

from headgate.model import Alarm
from headgate.sdk import Device
from headgate_drivers.opcua import OpcUaDriver


async def until(told: Any, wanted: Callable[[Alarm], bool]) -> Alarm:
    async with asyncio.timeout(30):
        async for item in told:
            if isinstance(item, Alarm) and wanted(item):
                return item
    raise AssertionError("the line ended")


def listens(driver: OpcUaDriver, channel: Any, *devices: Device) -> Any:
    return aclosing(driver.listen(channel, devices or [station()]))


async def test_a_condition_is_told_with_severity_message_and_states(tmp_path: Path) -> None:
    async with (
        stations() as farm,
        listens(OpcUaDriver(), line(farm.url, tmp_path, events="server")) as told,
    ):
        await anext(told)
        await farm.fault("ps-001", "pump-trip")
        raised = await until(told, lambda alarm: alarm.code == "PumpTripped")
        assert (raised.device, raised.point, raised.severity) == (1, "pump1_tripped", 600)
        assert raised.active
        assert raised.text.startswith("PumpTripped raised [not acknowledged; 20")
        await farm.fault("ps-001", "acknowledge")
        acked = await until(told, lambda alarm: alarm.code == "PumpTripped")
        assert acked.active
        assert "[acknowledged; " in acked.text
        await farm.fault("ps-001", "pump-trip", on=False)
        over = await until(told, lambda alarm: alarm.code == "PumpTripped")
        assert (over.point, over.active) == ("pump1_tripped", False)
        assert raised.at_us <= acked.at_us <= over.at_us


async def test_what_ended_and_what_began_while_the_line_was_down_is_told_at_reconnection(
    tmp_path: Path,
) -> None:
    async with stations() as farm:
        driver, channel = OpcUaDriver(), line(farm.url, tmp_path, events="server")
        async with listens(driver, channel) as told:
            await anext(told)
            await farm.fault("ps-001", "pump-trip")
            raised = await until(told, lambda alarm: alarm.code == "PumpTripped")
        await farm.fault("ps-001", "pump-trip", on=False)
        farm.stations[0].well.level_m = 4.4
        async with asyncio.timeout(20):
            while farm.stations[0].conditions["Pump1/PumpTripped"].active:
                await farm.cycled()
            while not farm.stations[0].conditions["WetWell/HighLevel"].active:
                await farm.cycled()
        async with listens(driver, channel) as told:
            seen: dict[str, Alarm] = {}
            async with asyncio.timeout(30):
                while len(seen) < 2:
                    alarm = await until(told, lambda _: True)
                    seen[alarm.code] = alarm
        assert (seen["PumpTripped"].active, seen["PumpTripped"].point) == (False, raised.point)
        assert "ended unseen" in seen["PumpTripped"].text
        assert (seen["HighLevel"].active, seen["HighLevel"].point) == (True, "level")


async def test_a_condition_that_stands_unchanged_is_not_told_again(tmp_path: Path) -> None:
    async with stations() as farm:
        driver, channel = OpcUaDriver(), line(farm.url, tmp_path, events="server")
        for turn in range(2):
            async with listens(driver, channel) as told:
                await anext(told)
                if turn == 0:
                    await farm.fault("ps-001", "pump-trip")
                    await until(told, lambda alarm: alarm.code == "PumpTripped")
                else:
                    await farm.fault("ps-001", "acknowledge")
                    said = await until(told, lambda _: True)
                    assert "[acknowledged; " in said.text


async def test_an_event_is_of_the_device_above_its_source(tmp_path: Path) -> None:
    async with stations(count=2) as farm:
        devices = [station(), station(address="/ps-002", name="ps-002", number=2)]
        channel = line(farm.url, tmp_path, events="server")
        async with listens(OpcUaDriver(), channel, *devices) as told:
            await anext(told)
            await farm.fault("ps-002", "pump-trip")
            said = await until(told, lambda alarm: alarm.code == "PumpTripped")
            assert said.device == 2


async def test_what_is_less_severe_than_wanted_is_not_told(tmp_path: Path) -> None:
    async with stations() as farm:
        channel = line(farm.url, tmp_path, events="server", events_severity=700)
        async with listens(OpcUaDriver(), channel) as told:
            await anext(told)
            await farm.fault("ps-001", "pump-trip")
            await farm.cycled()
            farm.stations[0].well.level_m = 4.4
            said = await until(told, lambda _: True)
            assert said.code == "HighLevel"
