"""The BLE driver on the real bleak, against an org.bluez on a private D-Bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from bleak import BleakClient
from kit.ble import Air, device, point
from kit.ble_bus import bleak_lets_go

from headgate.errors import ChannelClosed, ChannelTimeout, ConfigError
from headgate.model import Alarm, Quality
from headgate_simulators.ble_street.bluez import FakeBluez, Said
from headgate_simulators.ble_street.bus import PrivateBus

pytestmark = pytest.mark.peer("dbus-daemon")

THERMOMETER = "A4:C1:38:8D:18:B2"
BEACON = "fda50693-a4e2-4fb1-afcf-c6eb07647825"
BTHOME = 'format = "bthome"'


@pytest.fixture
async def bluez(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBluez]:
    async with street(monkeypatch) as fake:
        yield fake


@asynccontextmanager
async def street(monkeypatch: pytest.MonkeyPatch, **wanted: bool) -> AsyncIterator[FakeBluez]:
    async with PrivateBus() as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        fake = FakeBluez(bus.address, **wanted)
        await fake.start()
        try:
            yield fake
        finally:
            await bleak_lets_go()
            await fake.die()


def thermometer(**more: float) -> object:
    return device(BTHOME, point("temperature") + point("humidity") + point("rssi", "int16"),
                  THERMOMETER, **more)  # fmt: skip


def warm(hundredths: int, address: str = THERMOMETER, rssi: int = -60) -> Said:
    data = b"\x40\x02" + hundredths.to_bytes(2, "little", signed=True) + b"\x03\xbf\x13"
    return Said(address, rssi, service={"fcd2": data})


async def test_an_advert_becomes_readings(bluez: FakeBluez) -> None:
    async with Air([thermometer()], scan="active") as air:
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)
    (said,) = air.readings()
    assert {name: r.value for name, r in said.items()} == {
        "temperature": 25.06,
        "humidity": 50.55,
        "rssi": -60,
    }
    assert air.states == ["up"]
    assert not bluez.scanning, "the scan ends with the line"


async def test_auto_listens_passively_to_what_always_changes(bluez: FakeBluez) -> None:
    async with Air([thermometer()]) as air:
        await on_the_air(bluez)
        assert bluez.passive
        assert not bluez.advertise(Said("11:22:33:44:55:66", company={0x004C: b"\x10\x05"}))
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)
        bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 2)


async def on_the_air(bluez: FakeBluez, scans: int = 1) -> None:
    async with asyncio.timeout(10):
        while bluez.started < scans or not bluez.scanning:
            await asyncio.sleep(0.005)


async def test_a_bluez_without_monitors_is_scanned_actively(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with street(monkeypatch, monitors=False) as bluez:
        async with Air([thermometer()]) as air:
            assert bluez.scanning
            assert not bluez.passive
            bluez.advertise(warm(2506))
            await air.until(lambda told: len(told) == 1)
        with pytest.raises(ChannelClosed) as caught:
            async with Air([thermometer()], scan="passive"):
                pass
        assert caught.value.code == "HG-3504"


async def test_a_beacon_that_never_changes_is_heard_for_as_long_as_it_is_there(
    bluez: FakeBluez,
) -> None:
    """Without DuplicateData BlueZ tells of it once, and everybody would seem to have left."""
    tag = device(
        'format = "ibeacon"', point("rssi", "int16"), f"{BEACON}/10001/19247", interval_s=0.2
    )
    data = bytes.fromhex("0215fda50693a4e24fb1afcfc6eb07647825") + bytes.fromhex("27114b2fc5")
    async with Air([tag]) as air:
        for _ in range(400):
            # Its address changes, its beacon does not.
            assert bluez.advertise(Said("51:00:00:00:00:01", -70, company={0x004C: data}))
            await asyncio.sleep(0.005)
            if len(air.blocks) >= 3:
                break
    assert len(air.blocks) >= 3
    assert {said["rssi"].value for said in air.readings()} == {-70}


async def test_strangers_are_counted_and_not_kept(
    bluez: FakeBluez, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "headgate_drivers.ble")
    async with Air([thermometer()], scan="active") as air:
        for at in range(50):
            bluez.advertise(warm(2000 + at, f"C0:FF:EE:00:00:{at:02X}"))
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)
    (ended,) = [record for record in caplog.records if record.message == "ble scan ended"]
    assert ended.strangers == 50
    assert ended.adverts == 1


async def test_what_was_counted_is_there_to_be_asked_over_all_lines(bluez: FakeBluez) -> None:
    async with Air([thermometer()], scan="active") as air:
        for at in range(250):
            bluez.advertise(warm(2000, f"C0:FF:EE:00:00:{at:02X}"))
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)
        tally = air.line.tally()
        assert (tally["strangers"], tally["adverts"]) == (250, 1)
        assert tally["stranger_senders"] == pytest.approx(250, rel=0.05)
        bluez.power(on=False)
        await air.end()
        bluez.power(on=True)
        air.begin()
        await air.is_up()
        bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 2)
        assert air.line.tally()["strangers"] == 250
        assert air.line.tally()["adverts"] == 2


async def test_250_tags_at_once_are_each_told(bluez: FakeBluez) -> None:
    tags = [
        device(BTHOME, point("temperature"), address_of(at), number=at + 1) for at in range(250)
    ]
    async with Air(tags, scan="active") as air:
        for look in range(4):
            for at in range(250):
                bluez.advertise(warm(look * 1000 + at, address_of(at)))
            await air.until(lambda told, n=(look + 1) * 250: len(told) == n)
    for at in range(250):
        told = [said["temperature"].value for said in air.readings(at + 1)]
        assert told == [(look * 1000 + at) / 100 for look in range(4)]


def address_of(at: int) -> str:
    return f"C0:FF:EE:00:{at >> 8:02X}:{at & 255:02X}"


# ---------------------------------------------------------------- what goes wrong


async def test_a_bluetoothd_that_dies_ends_the_line_and_its_successor_is_heard(
    bluez: FakeBluez,
) -> None:
    """bleak itself does not notice: its scan would stay silent for ever."""
    async with Air([thermometer()], scan="active") as air:
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)
        await bluez.die()
        error = await air.end()
        assert isinstance(error, ChannelClosed)
        assert error.code == "HG-3501"
        assert error.retryable
        air.begin()
        assert (await air.end()).code == "HG-3501"  # type: ignore[union-attr]
        await bluez.start()
        air.begin()
        await air.is_up()
        bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 2)
    assert air.readings()[-1]["temperature"].value == 25.07


async def test_an_adapter_that_is_switched_off_is_told_and_heard_again(bluez: FakeBluez) -> None:
    async with Air([thermometer()], scan="active") as air:
        bluez.power(on=False)
        error = await air.end()
        assert isinstance(error, ChannelClosed)
        assert error.code == "HG-3503"
        air.begin()
        assert (await air.end()).code == "HG-3503"  # type: ignore[union-attr]
        bluez.power(on=True)
        air.begin()
        await air.is_up()
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)


async def test_an_adapter_that_is_pulled_ends_the_line(bluez: FakeBluez) -> None:
    async with Air([thermometer()], scan="active") as air:
        bluez.unplug()
        error = await air.end()
        assert isinstance(error, ChannelClosed)
        assert error.code == "HG-3502"


async def test_no_such_adapter_and_no_bus_are_said(
    bluez: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ChannelClosed) as caught:
        async with Air([thermometer()], "ble://hci7"):
            pass
    assert caught.value.code == "HG-3502"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/at/all")
    with pytest.raises(ChannelClosed) as caught:
        async with Air([thermometer()]):
            pass
    assert caught.value.code == "HG-3500"


async def test_a_stuck_scan_is_begun_again(bluez: FakeBluez) -> None:
    bluez.stuck = 2  # the first scan hears nothing, the second does
    async with Air([thermometer()], scan="active", watchdog="1s") as air:
        assert not bluez.advertise(warm(2506))
        await on_the_air(bluez, scans=2)
        assert bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 1)
    assert air.states == ["up"], "nobody upstream needs to know"


async def test_a_scan_that_stays_stuck_is_the_lines_fault(bluez: FakeBluez) -> None:
    bluez.stuck = 99
    async with Air([thermometer()], scan="active", watchdog="1s") as air:
        error = await air.end()
    assert isinstance(error, ChannelTimeout)
    assert error.code == "HG-3507"
    assert error.retryable
    assert bluez.started == 2
    assert not bluez.scanning


async def test_strangers_keep_the_watchdog_quiet(bluez: FakeBluez) -> None:
    async with Air([thermometer()], scan="active", watchdog="1s") as air:
        for at in range(30):
            bluez.advertise(warm(at, "C0:FF:EE:00:00:01"))
            await asyncio.sleep(0.05)
        assert air.up.is_set()
    assert bluez.started == 1


async def test_a_scan_that_is_refused_is_said(bluez: FakeBluez) -> None:
    bluez.refuses_scans = True
    with pytest.raises(ChannelClosed) as caught:
        async with Air([thermometer()], scan="active"):
            pass
    assert caught.value.code == "HG-3504"


async def test_options_that_make_no_sense_are_all_told(bluez: FakeBluez) -> None:
    with pytest.raises(ConfigError) as caught:
        async with Air(
            [thermometer()], "ble://garage", scan="sideways", watchdog="soon",
            bindkeys={"unit-1": {"secret": "0123"}},
        ):  # fmt: skip
            pass
    codes = [problem.code for problem in caught.value.problems]
    assert sorted(codes) == ["HG-1104", "HG-1107", "HG-3505", "HG-3506"]
    assert "0123" not in str(caught.value.problems)


async def test_a_device_that_bluez_only_remembers_is_not_heard(bluez: FakeBluez) -> None:
    """Bleak tells of whatever BlueZ says of it, with days-old data and an RSSI of -127."""
    async with Air([thermometer()], scan="active") as air:
        bluez.remember(warm(2506))
        bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 1)
        assert air.line.tally()["adverts"] == 1
    assert air.readings()[0]["temperature"].value == 25.07


async def test_a_bluetoothd_that_is_restarted_at_once_is_noticed(bluez: FakeBluez) -> None:
    """Its successor knows nothing of our scan, and the name was hardly ever without an owner."""
    async with Air([thermometer()], scan="active") as air:
        await bluez.die()
        await bluez.start()
        assert getattr(await air.end(), "code", None) == "HG-3501"
        air.begin()
        await air.is_up()
        bluez.advertise(warm(2506))
        await air.until(lambda told: len(told) == 1)


async def test_a_bluez_that_does_not_let_a_scan_end_is_no_reason_not_to_begin_anew(
    bluez: FakeBluez,
) -> None:
    bluez.stuck = 3
    bluez.rejected_stops = 1
    async with Air([thermometer()], scan="active", watchdog="1s") as air:
        # The second is the library's own, to make BlueZ forget the first.
        await on_the_air(bluez, scans=3)
        bluez.advertise(warm(2507))
        await air.until(lambda told: len(told) == 1)


async def test_a_scan_that_never_ends_does_not_hold_the_line(
    bluez: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate_drivers.ble.radio._STOP_S", 0.05)
    monkeypatch.setattr("bleak.BleakScanner.stop", for_ever)
    async with Air([thermometer()], scan="active") as air:
        bluez.power(on=False)
        assert getattr(await air.end(), "code", None) == "HG-3503"


async def for_ever(*_: object) -> None:
    await asyncio.Event().wait()


async def test_a_bus_that_ends_is_the_lines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = PrivateBus()
    async with bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        fake = FakeBluez(bus.address)
        await fake.start()
        async with Air([thermometer()], scan="active") as air:
            await bus.__aexit__()
            error = await air.end()
            assert isinstance(error, ChannelClosed)
            assert error.code in ("HG-3500", "HG-3501")
            assert error.retryable
        await bleak_lets_go()
        with suppress(EOFError):
            await fake.die()


# ---------------------------------------------------------------- sealed


async def test_a_sealed_sensor_opens_with_its_key_and_a_replay_does_not_survive_the_line(
    bluez: FakeBluez,
) -> None:
    unit = device(BTHOME, point("temperature") + point("humidity"), "54:48:E6:8F:80:A5")
    keys = {"unit-1": {"secret": "231d39c1d7cc1ab1aee224cd096db932"}}
    newer = bytes.fromhex("41E445F3C9962B332211006C7C4519")
    older = bytes.fromhex("41723D3035FB88322211009E7414C0")
    async with Air([unit], scan="active", bindkeys=keys) as air:
        bluez.advertise(Said("54:48:E6:8F:80:A5", service={"fcd2": newer}))
        await air.until(lambda told: len(told) == 1)
        assert air.readings()[0]["temperature"].value == 25.06
        bluez.power(on=False)
        await air.end()
        bluez.power(on=True)
        air.begin()
        await air.is_up()
        # Neither the older frame nor the same again is news after the line came back.
        bluez.advertise(Said("54:48:E6:8F:80:A5", service={"fcd2": older}))
        bluez.advertise(Said("54:48:E6:8F:80:A5", service={"fcd2": newer}))
        bluez.advertise(Said("54:48:E6:8F:80:A5", service={"fcd2": b"\x40\x02\x00\x00"}))
        await asyncio.sleep(0.1)
    assert len(air.blocks) == 1


# ---------------------------------------------------------------- connected sensors

PROBE = "C0:FF:EE:00:00:01"


def probe(mode: str, **more: float) -> object:
    return device(
        'format = "gatt"',
        point("temperature", "int16", characteristic="2a6e", mode=mode, scale=0.01),
        PROBE, **more,
    )  # fmt: skip


async def test_a_connected_sensor_is_read_at_its_interval(bluez: FakeBluez) -> None:
    level = iter(range(2150, 9999))
    bluez.values[PROBE, "2a6e"] = lambda: next(level).to_bytes(2, "little")
    async with Air([probe("read", interval_s=0.05)]) as air:
        bluez.advertise(Said(PROBE, name="probe"))
        await air.until(lambda told: len(told) == 3)
    assert [said["temperature"].value for said in air.readings()][:3] == [21.5, 21.51, 21.52]
    assert bluez.connects == 1


async def test_a_connected_sensor_tells_by_itself_and_comes_back_when_it_left(
    bluez: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate_drivers.ble.gatt.FIRST_PAUSE_S", 0.01)
    bluez.values[PROBE, "2a6e"] = lambda: b"\0\0"
    async with Air([probe("notify")]) as air:
        await said_until_connected(bluez, 1)
        await noticed(bluez, b"\x66\x08")
        await air.until(lambda told: len(told) == 1)
        bluez.leave(PROBE)
        await said_until_connected(bluez, 2)
        await noticed(bluez, b"\x67\x08")
        await air.until(lambda told: len(told) == 2)
        # A bluetoothd that dies is not waited for: bleak would, for ten seconds.
        await bluez.die()
        error = await air.end()
        assert isinstance(error, ChannelClosed)
    assert [said["temperature"].value for said in air.readings()] == [21.5, 21.51]


async def test_a_sensor_that_a_killed_gateway_left_connected_is_freed_and_connected_to(
    bluez: FakeBluez,
) -> None:
    """BlueZ keeps the connection of a program that was killed, and the sensor stays silent with it."""
    bluez.values[PROBE, "2a6e"] = lambda: b"\0\0"
    bluez.hold(PROBE)
    async with Air([probe("notify")]) as air:
        await said_until_connected(bluez, 1)
        await noticed(bluez, b"\x66\x08")
        await air.until(lambda told: len(told) == 1)


async def test_a_sensor_whose_bluetoothd_died_is_connected_to_by_its_successor(
    bluez: FakeBluez,
) -> None:
    """The kernel keeps the connection, and the new bluetoothd with it."""
    bluez.values[PROBE, "2a6e"] = lambda: b"\0\0"
    async with Air([probe("notify")]) as air:
        await said_until_connected(bluez, 1)
        await bluez.die()
        await air.end()
        await bluez.start()
        air.begin()
        await air.is_up()
        await said_until_connected(bluez, 2)
        await noticed(bluez, b"\x67\x08")
        await air.until(lambda told: len(told) == 1)


async def test_a_connection_that_shows_late_is_freed_when_the_sensor_stays_unheard(
    bluez: FakeBluez, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate_drivers.ble.gatt.UNHEARD_S", 0.05)
    bluez.values[PROBE, "2a6e"] = lambda: b"\0\0"
    async with Air([probe("notify")]) as air:
        bluez.hold(PROBE)
        assert not bluez.advertise(Said(PROBE, name="probe"))
        await said_until_connected(bluez, 1)
        await noticed(bluez, b"\x66\x08")
        await air.until(lambda told: len(told) == 1)


@pytest.mark.parametrize("mode", ["read", "notify"])
async def test_a_bluetoothd_that_is_gone_is_not_waited_for_by_a_connected_sensor(
    bluez: FakeBluez, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Bleak goes on saying that it is connected, and its `disconnect` waits for an answer for long."""
    monkeypatch.setattr("headgate_drivers.ble.gatt._LEAVE_S", 3600.0)
    bluez.values[PROBE, "2a6e"] = lambda: b"\0\0"
    async with Air([probe(mode, interval_s=0.05)]) as air:
        await said_until_connected(bluez, 1)
        if mode == "notify":
            await noticed(bluez, b"\x66\x08")
        await air.until(lambda told: len(told) >= 1)
        let_go = BleakClient.disconnect

        async def slow(client: BleakClient) -> None:
            try:
                await for_ever()
            finally:
                await let_go(client)

        monkeypatch.setattr("bleak.BleakClient.disconnect", slow)
        await bluez.die()
        assert getattr(await air.end(), "code", None) == "HG-3501"


async def said_until_connected(bluez: FakeBluez, times: int) -> None:
    async with asyncio.timeout(10):
        while bluez.connects < times:
            bluez.advertise(Said(PROBE, name="probe"))
            await asyncio.sleep(0.02)


async def noticed(bluez: FakeBluez, value: bytes) -> None:
    async with asyncio.timeout(10):
        while not bluez.notify(PROBE, "2a6e", value):
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- alarms


async def test_an_open_cover_is_an_alarm_once_and_cleared_once(bluez: FakeBluez) -> None:
    cover = device(
        BTHOME,
        '\n[[point]]\nname = "cover_open"\ntype = "bool"\nfield = "opening"\nclass = "alarm"\n'
        + point("tilt", field="rotation"),
        THERMOMETER,
    )

    def says(open_: int, tilt: int) -> Said:
        data = b"\x44\x11" + bytes([open_]) + b"\x3f" + tilt.to_bytes(2, "little")
        return Said(THERMOMETER, service={"fcd2": data})

    async with Air([cover], scan="active") as air:
        for at, (open_, tilt) in enumerate([(0, 6), (1, 380), (1, 381), (0, 7)], 1):
            bluez.advertise(says(open_, tilt))
            await air.until(lambda _, n=at: len(air.blocks) == n)
    alarms = [told for told in air.told if isinstance(told, Alarm)]
    assert [(alarm.point, alarm.active) for alarm in alarms] == [
        ("cover_open", True),
        ("cover_open", False),
    ]
    assert air.told.index(alarms[0]) < air.told.index(air.blocks[1]), "before its block"
    assert air.readings()[1]["tilt"].value == 38.0
    assert air.readings()[1]["tilt"].quality is Quality.GOOD
