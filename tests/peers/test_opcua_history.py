"""What a server kept while the line was down, against asyncua servers with and without a history."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from kit.opcua import Relay, line, listening, refused, station, stations

from headgate.errors import ChannelError
from headgate_drivers.opcua import OpcUaDriver, history


async def outage(farm: Any, relay: Relay, ear: Any, cycles: int) -> list[Any]:
    """Cut the line while the station goes on; what was heard before, each as it came."""
    heard = [await ear.next() for _ in range(5)]
    await relay.cut()
    for _ in range(cycles):
        await farm.cycled()
    await relay.restore()
    return heard


def samples(heard: list[Any]) -> list[int]:
    return [int(said["sample"].value) for said in heard if "sample" in said]


async def test_what_the_server_kept_of_an_outage_comes_once_and_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 7)  # many pages
    async with stations(history=True) as farm, Relay(farm.port) as relay:
        driver = OpcUaDriver()
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path)
        async with listening(channel, driver=driver) as ear:
            heard = await outage(farm, relay, ear, 40)
        async with listening(channel, driver=driver) as ear:
            while len(heard) < 60:
                heard.append(await ear.next())
        told = samples(heard)
        assert told == list(range(told[0], told[-1] + 1))
        assert told[-1] - told[0] >= 45
        truth = {x["sample"]: x["values"] for x in farm.truth.looks()}
        at_us = 0
        for said in heard:
            expected = truth[int(said["sample"].value)]
            assert {name: float(said[name].value) for name in said if name in expected} == {
                name: expected[name] for name in said if name in expected
            }
            assert said["sample"].taken_at_us >= at_us - 1_000_000
            at_us = said["sample"].taken_at_us
        # Twenty to the second, by our clock, also those that came late.
        spread = heard[-10]["sample"].taken_at_us - heard[4]["sample"].taken_at_us
        assert spread > 0.5 * (told[-10] - told[4]) * 50_000


async def test_a_line_lost_while_the_past_comes_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 10)
    async with stations(history=True) as farm, Relay(farm.port) as relay:
        driver = OpcUaDriver()
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path)
        async with listening(channel, driver=driver) as ear:
            heard = await outage(farm, relay, ear, 60)
        async with listening(channel, driver=driver) as ear:
            heard += [await ear.next() for _ in range(12)]
        async with listening(channel, driver=driver) as ear:
            while len(heard) < 80:
                heard.append(await ear.next())
        told = samples(heard)
        assert told == list(range(told[0], told[-1] + 1))


async def test_a_server_without_history_says_so_once_and_live_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stations() as farm, Relay(farm.port) as relay:
        driver = OpcUaDriver()
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path)
        with caplog.at_level(logging.WARNING):
            async with listening(channel, driver=driver) as ear:
                heard = await outage(farm, relay, ear, 5)
            for _ in range(2):
                async with listening(channel, driver=driver) as ear:
                    heard += [await ear.next() for _ in range(3)]
        told = samples(heard)
        assert told == sorted(set(told))
        assert told[5] - told[4] > 4  # a gap, and nobody makes anything up
        assert caplog.text.count("no history") == 1


async def test_history_that_is_not_wanted_is_not_asked_for(tmp_path: Path) -> None:
    async with stations(history=True) as farm, Relay(farm.port) as relay:
        driver = OpcUaDriver()
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path, history="0s")
        async with listening(channel, driver=driver) as ear:
            heard = await outage(farm, relay, ear, 20)
        async with listening(channel, driver=driver) as ear:
            heard.append(await ear.next())
        told = samples(heard)
        assert told[-1] - told[-2] > 15


async def test_a_polled_server_is_asked_for_its_past_as_well(tmp_path: Path) -> None:
    async with stations(history=True) as farm, Relay(farm.port) as relay:
        driver, device = OpcUaDriver(), station(interval_s=0.2)
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path, read="poll")
        async with listening(channel, device, driver) as ear:
            heard = await outage(farm, relay, ear, 20)
        async with listening(channel, device, driver) as ear:
            heard += [await ear.next() for _ in range(25)]
        told = samples(heard)
        assert told == sorted(set(told))
        late = told[4:20]
        assert late == list(range(late[0], late[0] + len(late)))


async def test_a_line_that_is_cut_is_closed(tmp_path: Path) -> None:
    async with stations() as farm, Relay(farm.port) as relay:
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}/", tmp_path)
        async with listening(channel) as ear:
            await ear.next()
            await relay.cut()
            with pytest.raises(ChannelError):
                await ear.until(lambda _: False)
        await refused(channel, "HG-3001")
        await asyncio.sleep(0)
