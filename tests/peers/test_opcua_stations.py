"""The OPC UA driver against simulated pump stations: an asyncua server with faults by command."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.opcua import line, listening, refused, station, stations

from headgate.env import SystemFiles
from headgate.errors import ChannelClosed, ChannelError, DeviceRefused
from headgate.model import Quality, Status
from headgate.profiles import load, resolve
from headgate.runtime.ownline import OwnLine
from headgate_drivers.opcua import OpcUaDriver

#: The points of `generic/pump-station`: those told each cycle, and what is told when it changes.
POINTS = 27

# ---------------------------------------------------------------- values


async def test_every_cycle_of_the_controller_arrives_once_and_whole(tmp_path: Path) -> None:
    async with stations() as farm:
        async with listening(line(farm.url, tmp_path)) as ear:
            first = await ear.next()
            assert len(first) == POINTS
            heard = [await ear.next() for _ in range(30)]
        samples = [int(said["sample"].value) for said in heard]
        assert samples == list(range(samples[0], samples[0] + 30))
        truth = {x["sample"]: x["values"] for x in farm.truth.looks()}
        assert len(truth) >= 29
        for said in heard:
            expected = truth.get(said["sample"].value)
            if expected is not None:
                assert {name: float(said[name].value) for name in expected} == expected
        assert all(reading.taken_at_us > 0 for said in heard for reading in said.values())


async def test_a_broken_sensor_is_bad_with_its_reason_and_the_rest_is_not(tmp_path: Path) -> None:
    async with stations() as farm, listening(line(farm.url, tmp_path)) as ear:
        await farm.fault("ps-001", "sensor-fault")
        said = await ear.until(lambda s: s["level"].quality is Quality.BAD)
        assert said["level"].value is None
        assert said["level"].status == Status.DEVICE_FAULT << 8 | 0x8C
        assert said["inflow"].quality is Quality.GOOD
        await farm.fault("ps-001", "sensor-fault", on=False)
        await ear.until(lambda s: s["level"].quality is Quality.GOOD)


async def test_a_server_that_is_polled_gives_the_same(tmp_path: Path) -> None:
    async with (
        stations() as farm,
        listening(line(farm.url, tmp_path, read="poll"), station(interval_s=0.2)) as ear,
    ):
        said = [await ear.next() for _ in range(4)]
        assert all(len(look) == POINTS for look in said[:1])
        numbers = [look["sample"].value for look in said if "sample" in look]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 4


async def test_a_station_where_nothing_happens_is_heard_at_each_heartbeat(tmp_path: Path) -> None:
    async with stations(cycle_s=60) as farm:
        channel, device = line(farm.url, tmp_path), station(interval_s=0.3)
        async with listening(channel, device) as ear:
            looks = [await ear.next() for _ in range(4)]
        assert [len(look) for look in looks] == [POINTS] * 4


async def test_a_node_that_goes_away_is_bad_in_every_sample_until_it_is_back(
    tmp_path: Path,
) -> None:
    async with (
        stations() as farm,
        listening(line(farm.url, tmp_path)) as ear,  # the next look is a minute away
    ):
        await ear.until(lambda s: "inflow" in s and "sample" in s)
        await farm.fault("ps-001", "node-gone")
        await ear.until(lambda s: "inflow" in s and s["inflow"].quality is Quality.BAD)
        for _ in range(5):
            said = await ear.until(lambda s: "sample" in s)
            assert said["inflow"].quality is Quality.BAD
            assert said["inflow"].status >> 8 == Status.REFUSED
            assert said["level"].quality is Quality.GOOD
        await farm.fault("ps-001", "node-gone", on=False)
        after: list[Any] = []
        silent = 0
        while len([s for s in after if s["inflow"].quality is Quality.GOOD]) < 5:
            said = await ear.until(lambda s: "sample" in s)
            # One sample may fall between the watch that is taken away and the new one.
            silent += "inflow" not in said
            after += [said] if "inflow" in said else []
        assert silent <= 1
        truth = {x["sample"]: x["values"]["inflow"] for x in farm.truth.looks()}
        told = {s["sample"].value: s["inflow"].value for s in after}
        assert {n: told[n] for n in told if n in truth} == {n: truth[n] for n in told if n in truth}


@pytest.mark.parametrize("every_sample", [True, False])
async def test_a_node_deleted_and_made_again_between_two_looks_is_watched_again(
    tmp_path: Path, every_sample: bool
) -> None:
    device = station(interval_s=1.0)
    if not every_sample:
        points = tuple(
            msgspec.structs.replace(
                p, source={k: v for k, v in p.source.items() if k != "every_sample"}
            )
            for p in device.points
        )
        device = msgspec.structs.replace(device, points=points)
    async with (
        stations(speed=600) as farm,
        listening(line(farm.url, tmp_path), device) as ear,
    ):
        await ear.until(lambda s: "inflow" in s and "sample" in s)
        # The server tells nobody, and no look finds it missing.
        await farm.fault("ps-001", "node-gone-silently")
        await farm.fault("ps-001", "node-gone-silently", on=False)
        assert farm.stations[0].unheard == ["inflow"]
        while farm.stations[0].unheard:
            await ear.next()
        for _ in range(3 if every_sample else 0):
            said = await ear.until(lambda s: "sample" in s)
            assert said["inflow"].quality is Quality.GOOD


async def test_a_point_that_is_not_there_is_bad_from_the_first_look_on(tmp_path: Path) -> None:
    async with stations() as farm:
        await farm.fault("ps-001", "node-gone")
        async with listening(line(farm.url, tmp_path)) as ear:
            for _ in range(8):
                said = await ear.until(lambda s: "sample" in s)
                assert said["inflow"].status >> 8 == Status.REFUSED
                assert [n for n, r in said.items() if r.quality is Quality.BAD] == ["inflow"]


async def test_a_source_clock_an_hour_ahead_moves_no_reading_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stations() as farm:
        channel = line(farm.url, tmp_path)
        async with listening(channel) as ear:
            await ear.next()
            await farm.fault("ps-001", "clock-skew", value=3600)
            before_us = channel.now_us()
            with caplog.at_level(logging.WARNING):
                said = await ear.until(
                    lambda s: (
                        "sample" in s
                        and s["sample"].device_time_us / 1e6 > farm.clock.world_time(0) + 0
                        and "source clock differs from server clock" in caplog.text
                    )
                )
            assert said["sample"].taken_at_us <= channel.now_us()
            assert said["sample"].taken_at_us > before_us - 2_000_000
        assert caplog.text.count("source clock differs") == 1


# ---------------------------------------------------------------- the line


async def test_namespaces_that_change_their_index_at_a_restart_are_found_by_uri(
    tmp_path: Path,
) -> None:
    async with stations() as farm:
        port = farm.port
        async with listening(line(farm.url, tmp_path)) as ear:
            assert (await ear.next())["level"].quality is Quality.GOOD
    async with (
        stations(port=port, shift_namespaces=3) as farm,
        listening(line(farm.url, tmp_path)) as ear,
    ):
        said = await ear.next()
        assert all(reading.quality is Quality.GOOD for reading in said.values())


@asynccontextmanager
async def process(port: int, *more: str) -> AsyncIterator[Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate_simulators", "pump-station", "--cycle", "0.05",
        "--bind", f"127.0.0.1:{port}", *more, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        ready = json.loads(await child.stdout.readline())
        yield child, ready["devices"][0]["url"]
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_server_killed_ends_the_line_and_the_next_try_finds_it_restarted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    async with process(port) as (child, url), listening(line(url, tmp_path)) as ear:
        await ear.next()
        child.send_signal(signal.SIGKILL)
        with pytest.raises(ChannelError):
            await ear.until(lambda _: False)
    await refused(line(url, tmp_path), "HG-3001")
    async with process(port) as (_, url), listening(line(url, tmp_path)) as ear:
        assert (await ear.next())["sample"].quality is Quality.GOOD
    # The library writes a traceback a second while a server is away.
    assert "Traceback" not in capfd.readouterr().err


async def test_a_server_that_stops_answering_is_noticed(tmp_path: Path) -> None:
    async with (
        process(free_port()) as (child, url),
        listening(line(url, tmp_path, timeout_s=1.0)) as ear,
    ):
        await ear.next()
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(ChannelError):
            await ear.until(lambda _: False)


async def test_a_server_without_a_session_left_is_said_to_be_that(tmp_path: Path) -> None:
    async with stations(folder=tmp_path / "server") as farm:
        channel = line(farm.url, tmp_path, security="best", trust="any")
        await refused(channel, "HG-3311")
        trust_us(tmp_path)
        await farm.fault("*", "session-limit")
        await refused(channel, "HG-3314")
        await farm.fault("*", "session-limit", on=False)
        async with listening(channel) as ear:
            await ear.next()


# ---------------------------------------------------------------- security


def trust_us(folder: Path) -> None:
    """What the server's keeper does with our certificate."""
    ours = (folder / "opcua/own/certificate.der").read_bytes()
    (folder / "server/trusted/gateway.der").write_bytes(ours)


@pytest.mark.parametrize("mode", ["SignAndEncrypt", "Sign"])
@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
async def test_each_policy_and_mode_carries_values(tmp_path: Path, policy: str, mode: str) -> None:
    async with stations(folder=tmp_path / "server") as farm:
        channel = line(farm.url, tmp_path, security=policy, mode=mode, trust="any")
        await refused(channel, "HG-3311")
        trust_us(tmp_path)
        async with listening(channel) as ear:
            assert len(await ear.next()) == POINTS
            await ear.until(lambda said: "sample" in said)


async def test_trust_is_made_both_ways_with_a_clear_word_each_time(tmp_path: Path) -> None:
    from headgate_drivers.opcua.settings import settings_of
    from headgate_drivers.opcua.trust import Trust

    async with stations(folder=tmp_path / "server") as farm:
        channel = line(farm.url, tmp_path, security="best")
        met = await refused(channel, "HG-3310")
        rejected = list((tmp_path / "opcua/rejected").iterdir())
        assert [str(met.fields["thumbprint"]) in file.name for file in rejected] == [True]
        trust = Trust(settings_of("channel pumps", channel.options))
        theirs = await OpcUaDriver().meet(channel)
        trust.accept(theirs.server)
        said = await refused(channel, "HG-3311")
        assert said.fields["uri"] == "urn:headgate:gw-1"
        trust_us(tmp_path)
        async with listening(channel) as ear:
            await ear.next()
        key = tmp_path / "opcua/own/key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert trust.forget(theirs.server.thumbprint) == 1
        await refused(channel, "HG-3310")


async def test_a_server_with_another_certificate_than_before_is_not_believed(
    tmp_path: Path,
) -> None:
    channel: OwnLine | None = None
    for turn in ("first", "second"):
        async with stations(folder=tmp_path / turn) as farm:
            channel = line(farm.url, tmp_path, security="best")
            if turn == "first":
                met = await OpcUaDriver().meet(channel)
                met.trust.accept(met.server)
            else:
                await refused(channel, "HG-3318")


async def test_best_never_means_none(tmp_path: Path) -> None:
    async with stations() as farm:
        said = await refused(line(farm.url, tmp_path, security="best"), "HG-3317")
        assert "None" in str(said.fields["offered"])


async def test_a_wrong_password_is_said_to_be_that_and_a_right_one_lets_us_in(
    tmp_path: Path,
) -> None:
    async with stations(folder=tmp_path / "server", users={"operator": "right"}) as farm:
        secure = {"security": "best", "trust": "any", "username": "operator"}
        await refused(line(farm.url, tmp_path, **secure, password="right"), "HG-3311")
        trust_us(tmp_path)
        await refused(line(farm.url, tmp_path, **secure, password="wrong"), "HG-3313")
        async with listening(line(farm.url, tmp_path, **secure, password="right")) as ear:
            await ear.next()


async def test_a_password_does_not_leave_in_the_clear(tmp_path: Path) -> None:
    async with stations(users={"operator": "right"}) as farm:
        open_line = {"username": "operator", "password": "right"}
        await refused(line(farm.url, tmp_path, **open_line), "HG-3315")
        async with listening(line(farm.url, tmp_path, **open_line, plain_password=True)) as ear:
            await ear.next()


# ---------------------------------------------------------------- writing


async def test_a_pump_is_started_and_stopped_by_its_methods_and_a_setpoint_is_written(
    tmp_path: Path,
) -> None:
    driver, device = OpcUaDriver(), station()
    async with stations() as farm:
        channel = line(farm.url, tmp_path)
        pump = farm.stations[0].well.pumps[0]
        await driver.write(channel, device, "pump1_running", True)
        assert pump.commanded is True
        await driver.write(channel, device, "pump1_running", False)
        assert pump.commanded is False
        assert await driver.write(channel, device, "alarm_level", 3.2) == 3.2
        await farm.fault("ps-001", "pump-trip")
        with pytest.raises(DeviceRefused):
            await driver.write(channel, device, "pump1_running", True)
        with pytest.raises(DeviceRefused) as raised:
            await driver.write(channel, device, "level", 1.0)
        assert raised.value.code == "HG-3322"


async def test_a_server_tells_its_software(tmp_path: Path) -> None:
    async with stations() as farm:
        identity = await OpcUaDriver().identify(line(farm.url, tmp_path), station())
        assert identity is not None
        assert (identity.vendor, identity.model, identity.firmware) == (
            "Example Controls", "PC-40", "2.4.1"
        )  # fmt: skip


async def test_a_line_that_nobody_answers_is_closed_not_broken(tmp_path: Path) -> None:
    with pytest.raises(ChannelClosed):
        async with listening(line(f"opc.tcp://127.0.0.1:{free_port()}/", tmp_path)) as ear:
            await ear.next()


# ---------------------------------------------------------------- the technician


async def test_a_browsed_tree_is_a_profile_that_reads_the_same_values(tmp_path: Path) -> None:
    driver = OpcUaDriver()
    async with stations(cycle_s=60) as farm:
        channel = line(farm.url, tmp_path)
        tree = await driver.browse(channel, "/ps-001", 8)
        assert "  Level  float64" in tree
        text = await driver.browse(channel, "/ps-001", 8, "city/station-7")
        folder = tmp_path / "profiles/city/station-7"
        folder.mkdir(parents=True)
        (folder / "profile.toml").write_text(text, encoding="utf-8")
        library = load(SystemFiles(), [tmp_path / "profiles"], {"opcua": driver.point_keys})
        assert library.problems == ()
        device = resolve(
            library.find("city/station-7"), device_id="ps-001", number=1, channel="pumps",
            address="/ps-001", sm3=lambda _: bytes(32), interval_us=60_000_000,
        )  # fmt: skip
        async with listening(channel, device) as ear:
            said = await ear.next()
        assert len(said) == POINTS
        assert all(reading.quality is Quality.GOOD for reading in said.values())
        assert said["wetwell_level"].value == farm.stations[0].well.level_m


async def test_a_browsed_pump_of_the_standard_is_a_profile_with_the_address_to_use(
    tmp_path: Path,
) -> None:
    driver = OpcUaDriver()
    async with stations(cycle_s=60, shift_namespaces=2) as farm:
        channel = line(farm.url, tmp_path)
        text = await driver.browse(channel, "/Machines/ps-001-P1", 8, "city/pump")
        (said,) = [row for row in text.splitlines() if "has this address" in row]
        folder = tmp_path / "profiles/city/pump"
        folder.mkdir(parents=True)
        (folder / "profile.toml").write_text(text, encoding="utf-8")
        library = load(SystemFiles(), [tmp_path / "profiles"], {"opcua": driver.point_keys})
        assert library.problems == ()
        device = resolve(
            library.find("city/pump"), device_id="p1", number=1, channel="pumps",
            address=json.loads(said.partition(": ")[2]), sm3=lambda _: bytes(32),
            interval_us=60_000_000,
        )  # fmt: skip
        async with listening(channel, device) as ear:
            told = await ear.next()
        assert {name: reading.quality for name, reading in told.items()} == dict.fromkeys(
            told, Quality.GOOD
        )
        assert told["identification_serialnumber"].value == "EP-ps-001-P1"
        assert "operational_measurements_bearingtemperature" in told


async def test_a_pump_after_the_standard_is_read_by_its_profile(tmp_path: Path) -> None:
    device = station("generic/pump-opc40223", "/machinery:Machines/own:ps-001-P1")
    async with stations() as farm, listening(line(farm.url, tmp_path), device) as ear:
        said = await ear.next()
        assert said["serial_number"].value == "EP-ps-001-P1"
        assert said["bearing_temperature"].value > said["fluid_temperature"].value


# ---------------------------------------------------------------- telecontrol


async def test_what_is_written_is_in_the_stations_own_log(tmp_path: Path) -> None:
    async with stations() as farm:
        driver, channel, device = OpcUaDriver(), line(farm.url, tmp_path), station()
        await farm.command({"hold": True})  # between two cycles
        assert await driver.write(channel, device, "pump1_run", True) is True
        assert await driver.write(channel, device, "heartbeat", 7) == 7
        assert await driver.write(channel, device, "pump1_auto", True) is True
        await farm.command({"selector": "local", "device": "ps-001"})
        with pytest.raises(DeviceRefused):
            await driver.write(channel, device, "pump2_running", True)
        told = [(x["function"], x["name"], x["outcome"]) for x in farm.writes.lines]
        assert told == [
            ("call", "Pump1/Start", "done"),
            ("write", "Controller/Heartbeat", "done"),
            ("call", "Pump1/Release", "done"),
            ("call", "Pump2/Start", "refused BadInvalidState"),
        ]
        assert farm.writes.lines[1]["value"] == 7
        assert {x["device"] for x in farm.writes.lines} == {"ps-001"}


async def test_a_pump_whose_heartbeat_stops_is_the_automatics_again(tmp_path: Path) -> None:
    def told(said: dict[str, Any], point: str) -> Any:
        return said[point].value if point in said else None

    async with stations(watchdog_s=0.5) as farm, listening(line(farm.url, tmp_path)) as ear:
        await OpcUaDriver().write(line(farm.url, tmp_path), station(), "pump2_running", True)
        await ear.until(lambda s: told(s, "pump2_running") is True)
        await ear.until(lambda s: told(s, "fallen_back") is True)
        assert ear.now["pump2_auto"].value is True
        assert farm.stations[0].well.pumps[1].commanded is None
        await OpcUaDriver().write(line(farm.url, tmp_path), station(), "heartbeat", 1)
        await ear.until(lambda s: told(s, "fallen_back") is False)
