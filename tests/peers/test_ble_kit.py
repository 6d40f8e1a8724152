"""A vendor tries a BLE profile with the public kit; docs/extend/ble-profiles.md shows the same lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.errors import ChannelClosed, ProfileError
from headgate.model import Quality
from headgate.testing.listening import listening
from headgate_simulators.ble_street.pytest import BleAir, RunningBleStreet

pytestmark = pytest.mark.peer("dbus-daemon")

PAGE = Path(__file__).parents[2] / "docs/extend/ble-profiles.md"
ADDRESS = "A4:C1:38:8D:18:B2"
THERMOMETER = "generic/temperature-humidity-ble"


def shown() -> Iterator[tuple[str, str]]:
    """(file name, text) of the page's examples: a comment in their first line names them."""
    for language, text in re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        if named := re.match(r"# (\S+\.\w+)\n", text):
            assert named[1].endswith({"python": ".py", "toml": ".toml"}[language])
            yield named[1], text


def test_the_vendors_example_runs_as_it_is_shown(pytester: pytest.Pytester) -> None:
    for name, text in shown():
        file = pytester.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    options = ["-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-W", "error"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)


async def test_what_is_said_is_read_and_judged(ble_air: BleAir) -> None:
    async with listening(THERMOMETER, ADDRESS, "ble://hci0") as tag:
        assert await ble_air.say(ADDRESS, service={"fcd2": bytes.fromhex("4002CA09")}, rssi=-71)
        assert await tag.value("temperature") == 25.06
        assert await tag.value("rssi") == -71
        assert await ble_air.say(ADDRESS, service={"fcd2": bytes.fromhex("4002B80B")})
        assert await tag.value("temperature") == 30
        await ble_air.say(ADDRESS, service={"fcd2": bytes.fromhex("40021027")})
        assert (await tag.reading("temperature")).quality is Quality.UNCERTAIN, "100 degrees"
        with pytest.raises(KeyError):
            await tag.reading("pressure")


async def test_older_firmware_and_a_sealed_sensor(ble_air: BleAir) -> None:
    async with listening(THERMOMETER, ADDRESS, "ble://hci0", firmware="1") as tag:
        await ble_air.say(ADDRESS, service={"181c": bytes.fromhex("2302CA09")})
        assert await tag.value("temperature") == 25.06
    sealed = "54:48:E6:8F:80:A5"
    key = {sealed: {"secret": "231d39c1d7cc1ab1aee224cd096db932"}}
    async with listening(THERMOMETER, sealed, "ble://hci0", bindkeys=key) as tag:
        await ble_air.say(sealed, service={"fcd2": bytes.fromhex("41A47266C95F730011223378237214")})
        assert await tag.value("temperature") == 25.06


async def test_a_connected_sensor(ble_air: BleAir) -> None:
    ble_air.holds(ADDRESS, "2a6e", b"\x66\x08")
    ble_air.holds(ADDRESS, "2a19", b"\x58")
    async with listening("generic/probe-thermometer-ble", ADDRESS, "ble://hci0") as probe:
        await ble_air.say(ADDRESS, name="probe")
        assert await probe.value("battery") == 88
        assert await ble_air.notify(ADDRESS, "2a6e", b"\x66\x08")
        assert await probe.value("temperature") == 21.5


async def test_what_goes_wrong_is_raised(ble_air: BleAir) -> None:
    with pytest.raises(ProfileError):
        async with listening(THERMOMETER, "not an address", "ble://hci0"):
            pass
    with pytest.raises(ValueError, match="modbus"):
        async with listening("generic/temperature-humidity", 1, "modbus+tcp://127.0.0.1"):
            pass
    async with listening(THERMOMETER, ADDRESS, "ble://hci0") as tag:
        ble_air.power(on=False)
        with pytest.raises(ChannelClosed):
            await tag.reading("temperature")


async def test_a_whole_street(ble_street: Callable[..., RunningBleStreet]) -> None:
    street = ble_street(count=2, kinds=("cover",), every_s=0.1)
    unit = street.devices[0]
    async with listening(
        unit["model"], unit["address"], "ble://hci0", params=unit["params"], interval_s=0.4
    ) as cover:
        assert await cover.value("cover_open") is False
        street.fault("open", unit["id"])
        while not await cover.value("cover_open"):
            pass
        assert [alarm.active for alarm in cover.alarms] == [True]
    assert street.truth.looks(unit["id"])
    assert unit["address"] in street.site()
