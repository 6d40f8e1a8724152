"""The whole street through the driver, with the truth as the judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kit.ble import Air
from kit.ble_bus import bleak_lets_go

from headgate.env import SystemFiles
from headgate.errors import ChannelError
from headgate.model import Alarm, Quality
from headgate.profiles import load, packaged_folder, resolve
from headgate.sdk import Device
from headgate_drivers.ble import BleDriver
from headgate_simulators.ble_street.street import BleStreet, StreetPlan
from headgate_simulators.truth import TruthList

pytestmark = pytest.mark.peer("dbus-daemon")

LIBRARY = load(SystemFiles(), [packaged_folder()], {"ble": BleDriver.point_keys})


@pytest.fixture
async def street(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BleStreet]:
    async with BleStreet(StreetPlan(count=12, every_s=0.1), TruthList()) as running:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", running.address)
        try:
            yield running
        finally:
            await bleak_lets_go()


def devices(street: BleStreet) -> list[Device]:
    return [
        resolve(
            LIBRARY.find(unit["model"]), device_id=unit["id"], number=number, channel="air",
            address=unit["address"], params=unit["params"], interval_us=400_000,
            sm3=lambda _, n=number: n.to_bytes(32, "big"),
        )
        for number, unit in enumerate(street.description, 1)
    ]  # fmt: skip


def truth_of(street: BleStreet, device: str) -> list[dict[str, Any]]:
    assert isinstance(street.truth, TruthList)
    return [line["values"] for line in street.truth.looks(device)]


async def test_what_is_heard_is_what_was_true(street: BleStreet) -> None:
    units = devices(street)
    async with Air(units) as air:
        await air.until(lambda told: all(len(air.readings(unit.number)) >= 3 for unit in units))
    for unit in units:
        true = truth_of(street, unit.id)
        for said in air.readings(unit.number):
            values = {n: r.value for n, r in said.items() if r.quality is Quality.GOOD}
            assert any(
                all(values[name] == pytest.approx(one[name]) for name in values.keys() & one.keys())
                for one in true
            ), (unit.id, values)


async def test_a_silent_unit_is_missed_and_its_neighbours_are_not(street: BleStreet) -> None:
    units = devices(street)
    street.command({"fault": "silent", "device": "manhole-cover-ble-002", "on": True})
    async with Air(units) as air:
        await air.until(lambda told: all(air.readings(u.number) for u in units if u.number != 2))
        assert air.readings(2) == []
        street.command({"fault": "silent", "device": "manhole-cover-ble-002", "on": False})
        await air.until(lambda told: bool(air.readings(2)))


async def test_a_cover_that_is_opened_is_an_alarm(street: BleStreet) -> None:
    async with Air(devices(street)) as air:
        await air.until(lambda told: bool(air.readings(2)))
        street.command({"fault": "open", "device": "manhole-cover-ble-002", "on": True})
        await air.until(lambda told: any(isinstance(one, Alarm) for one in told))
    (alarm,) = [one for one in air.told if isinstance(one, Alarm)]
    assert (alarm.device, alarm.point, alarm.active) == (2, "cover_open", True)


@pytest.mark.parametrize(
    ("fault", "code"), [("power-off", "HG-3503"), ("bluetoothd-gone", "HG-3501")]
)
async def test_the_street_comes_back_after_a_fault_of_the_adapter(
    street: BleStreet, fault: str, code: str
) -> None:
    async with Air(devices(street)) as air:
        await air.until(lambda told: bool(told))
        street.command({"fault": fault, "on": True})
        assert getattr(await air.end(), "code", None) == code
        street.command({"fault": fault, "on": False})
        before = len(air.told)
        async with asyncio.timeout(20):
            while True:  # as the core does: again, until it is up
                air.begin()
                try:
                    await air.is_up()
                    break
                except ChannelError:
                    await asyncio.sleep(0.02)
        await air.until(lambda told: len(told) > before)


def test_commands_that_make_no_sense_are_refused() -> None:
    street = BleStreet(StreetPlan(), TruthList())
    for wrong in (
        {},
        {"fault": "thirsty", "on": True},
        {"fault": "silent", "device": "x", "on": True},
    ):
        with pytest.raises(ValueError, match=r"there|command"):
            street.command(wrong)
