"""The long form of `test_sl651.py`: `make stations`. All that the field does, to whole processes.

The stations' own log is the truth: what was confirmed to them stands at the platform once.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from kit.command_station import carried_out
from kit.hydro import StationRoad, read_log, until_status
from kit.hydro_commands import STATION, StationsRoad, wish
from kit.small_disk import Tmpfs, can_mount

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    "fault", ["*:glue", "*:split=5", "*:wrong-crc", "*:clock"], ids=lambda fault: fault[2:]
)
async def test_what_the_field_does_to_frames_costs_no_reading(tmp_path: Path, fault: str) -> None:
    async with StationRoad(tmp_path, "--fault", fault, "--answer", "0.5", count=2) as road:
        await road.until_confirmed(6)
        found = await road.verdict()
    assert found.clean, found


async def test_datagrams_arrive_once_too(tmp_path: Path) -> None:
    async with StationRoad(tmp_path, "--udp") as road:
        await road.until_confirmed(9)
        found = await road.verdict()
    assert found.clean, found


async def test_a_station_that_no_confirmation_reaches_sends_again_and_is_stored_once(
    tmp_path: Path,
) -> None:
    deaf = {"fault": "deaf", "device": "*"}
    async with StationRoad(tmp_path, "--answer", "0.3") as road:
        await road.until_confirmed(3)
        await road.command(**deaf, on=True)
        # Twice more on the same line, then on another: each time with another time of sending.
        status = await until_status(road, lambda s: s["channels"][0]["tally"]["resends"] >= 8)
        assert status["channels"][0]["tally"]["calls"] > 3
        await road.command(**deaf, on=False)
        found = await road.verdict()
    assert found.clean, found


async def test_killed_between_receipt_and_confirmation_each_report_is_stored_once(
    tmp_path: Path,
) -> None:
    async with StationRoad(tmp_path, "--answer", "1", count=6) as road:
        for _ in range(5):
            await road.until_confirmed(2)
            await road.kill_and_start()
        await road.until_confirmed(6)
        found = await road.verdict()
    assert found.clean, found


async def test_a_storm_of_stations_that_all_dial_again_costs_no_reading(tmp_path: Path) -> None:
    async with StationRoad(tmp_path, count=40) as road:
        await road.until_confirmed(40)
        for _ in range(3):
            await road.command(redial="*")
            await road.until_confirmed(20)
        found = await road.verdict()
    assert found.clean, found


async def test_two_stations_with_one_number_raise_an_alarm_and_disturb_nobody_else(
    tmp_path: Path,
) -> None:
    async with StationRoad(tmp_path) as road:
        await road.until_confirmed(3)
        await road.command(fault="twin", device="st-002", on=True)
        await until_status(road, lambda s: s["channels"][0]["tally"].get("two-sources"))
        await road.command(fault="twin", device="st-002", on=False)
        await road.all_confirmed()
        assert await road.finish(60), road.gateway.tail()
    with closing(sqlite3.connect(f"file:{road.store}?mode=ro", uri=True)) as database:
        alarms = database.execute(
            "SELECT d.device, a.active FROM alarms a JOIN devices d ON d.number = a.number"
            " WHERE a.code = 'two-sources' ORDER BY a.record"
        ).fetchall()
    assert alarms[0] == ("st-002", 1)
    assert alarms[-1] == ("st-002", 0)  # its end is told, too
    assert {device for device, _ in alarms} == {"st-002"}


async def test_a_stranger_is_refused_and_shown_by_its_number(tmp_path: Path) -> None:
    async with StationRoad(tmp_path) as road:
        await road.until_confirmed(3)
        site = next((tmp_path / "site.d").glob("*.toml"))
        text = site.read_text()
        first = text.index("[[device]]", text.index("[[device]]") + 1)
        site.write_text(text[:first])  # two of three are not in the site any more
        await road.ask("reload")
        await until_status(road, lambda s: len(s["channels"][0]["strangers"]) == 2)
        port = await road.ask("stations")
        assert {each["station"] for each in port["strangers"]} == {"0060000002", "0060000003"}
        assert [each["station"] for each in port["on_line"]] == ["0060000001"]
        site.write_text(text)
        await road.ask("reload")
        found = await road.verdict()
    assert found.clean, found


async def test_hostile_callers_disturb_no_station(tmp_path: Path) -> None:
    async with StationRoad(tmp_path, "--answer", "5") as road:
        await road.until_confirmed(3)
        hostile = asyncio.create_task(_hostile(road.dialled))
        try:
            await road.until_confirmed(12)
        finally:
            hostile.cancel()
            await asyncio.gather(hostile, return_exceptions=True)
        found = await road.verdict()
        log = read_log(road.truth)
    assert found.clean, found
    assert log.tries.keys() == {1}  # nobody had to say anything twice


async def _hostile(port: int) -> None:
    """A flood of callers: some say nothing, some dribble, some lie about lengths, some talk garbage."""
    lines: list[socket.socket] = []
    huge = bytes.fromhex("7E7E010060000001123432") + b"\x0f\xff\x02" + b"\x00" * 20
    words = [b"", b"\x7e", huge, bytes(range(256)) * 8, b"GET / HTTP/1.1\r\n\r\n"]
    try:
        while True:
            for word in words:
                line = socket.socket()
                line.setblocking(False)
                line.connect_ex(("127.0.0.1", port))
                lines.append(line)
                await asyncio.sleep(0.01)
                with suppress(OSError):
                    line.send(word or b"\x00")
            while len(lines) > 200:
                lines.pop(0).close()
    finally:
        for line in lines:
            line.close()


async def test_a_trace_of_a_port_shows_each_caller_by_name(tmp_path: Path) -> None:
    from headgate.cli.client import call

    async with StationRoad(tmp_path) as road:
        await road.until_confirmed(3)
        socket_path = tmp_path / "gateway.sock"
        said: list[dict[str, Any]] = await asyncio.to_thread(
            lambda: list(call(socket_path, "trace", channel="stations", seconds=3))
        )
        await road.command(fault="hush", device="*", on=True)
    frames = [each for each in said if "hex" in each]
    assert {each["way"] for each in frames} == {"sent", "received"}
    assert all(each["hex"].startswith("7e 7e") for each in frames)
    assert any("006000000" in each["who"] for each in frames)


@pytest.mark.skipif(not can_mount(), reason="needs leave to mount a small file system")
async def test_on_a_full_disk_nothing_is_confirmed_and_nothing_is_lost(tmp_path: Path) -> None:
    disk = Tmpfs(tmp_path / "state", 24 << 20)
    try:
        async with StationRoad(tmp_path, "--answer", "0.5") as road:
            await road.until_confirmed(6)
            disk.fill()
            # The gateway gives up its ballast for room: that is taken, too.
            async with asyncio.timeout(60):
                while (status := await road.ask("status")) and not status["writer"]["failures"]:
                    disk.fill()
                    await asyncio.sleep(0.05)
            calls = status["channels"][0]["tally"]["calls"]
            await asyncio.sleep(1)  # what was confirmed before is written down by then
            confirmed = road.confirmed
            # Each station has said it three times, hung up and dialled again, twice.
            await until_status(road, lambda s: s["channels"][0]["tally"]["calls"] >= calls + 6)
            assert road.confirmed == confirmed
            disk.clear()
            found = await road.verdict()
        assert found.clean, found
    finally:
        disk.close()


async def test_a_second_centre_gets_every_report_and_may_be_away_without_costing_ours(
    tmp_path: Path,
) -> None:
    heard = bytearray()
    lines: set[asyncio.StreamWriter] = set()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.add(writer)
        while data := await reader.read(4096):
            heard.extend(data)
            writer.write(b"\x00")  # whatever a centre answers

    server = await asyncio.start_server(second, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with StationRoad(tmp_path) as road:
            site = next((tmp_path / "site.d").glob("*.toml"))
            relay = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{port}" }} }}\n\n[[device]]'
            site.write_text(site.read_text().replace("\n[[device]]", f"{relay}", 1))
            await road.ask("reload")
            await until_status(road, lambda s: s["channels"][0]["tally"].get("relayed", 0) > 5)
            server.close()
            for line in lines:
                line.transport.abort()
            await road.until_confirmed(9)  # ours go on
            status = await until_status(
                road, lambda s: s["channels"][0]["tally"]["relay-waiting"] > 3
            )
            assert status["channels"][0]["tally"]["relay-lost"] == 0
            found = await road.verdict()
        assert found.clean, found
        assert heard.startswith(b"\x7e\x7e")
    finally:
        server.close()
        await server.wait_closed()


async def test_killed_while_a_station_is_being_told_it_is_never_told_again(tmp_path: Path) -> None:
    async with StationsRoad(tmp_path) as road, road.operator() as commands:
        await road.on_line()
        await road.tell(fault="mute", device=STATION, on=True)
        told = asyncio.create_task(carried_out(commands, wish("gate", 70, "cm")))
        await road.ordered(("4E", "01010070"))  # it has been done, and the answer never comes
        await road.gateway.kill()
        await road.tell(fault="mute", device=STATION, on=False)
        await road.start_gateway()
        standing = await told
        async with asyncio.timeout(120):  # it looks for a minute whether the station says so itself
            async for now in commands.watch(standing.content.command):
                if now.state == "unknown":
                    break
        assert now.moved is None
        assert road.orders() == [("4E", "01010070")]
        assert (await carried_out(commands, wish("gate", 30, "cm"))).done
        await road.ordered(("4E", "01010070"), ("4E", "01010030"))


async def test_a_second_centre_that_comes_back_has_everything_in_order_though_the_gateway_was_killed(
    tmp_path: Path,
) -> None:
    heard: dict[str, list[int]] = {}
    lines: set[asyncio.StreamWriter] = set()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.add(writer)
        with suppress(OSError):
            while data := await reader.read(65536):
                at = data.rfind(b"\x7e\x7e")  # behind a keep-alive, which nobody answers
                if data[at + 10] != 0x2F:  # its function; a report's serial number begins its body
                    serial = int.from_bytes(data[at + 14 : at + 16], "big")
                    heard.setdefault(data[at + 3 : at + 8].hex(), []).append(serial)
                writer.write(b"\x06")
        lines.discard(writer)
        writer.close()

    server = await asyncio.start_server(second, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with StationRoad(tmp_path) as road:
            site = next((tmp_path / "site.d").glob("*.toml"))
            relay = f'options = {{ relay = {{ to = "tcp://127.0.0.1:{port}" }} }}\n\n[[device]]'
            site.write_text(site.read_text().replace("\n[[device]]", relay, 1))
            await road.ask("reload")
            await until_status(road, lambda s: s["channels"][0]["tally"].get("relayed", 0) > 5)
            server.close()
            for line in list(lines):
                line.transport.abort()
            for _ in range(3):
                await road.until_confirmed(9)
                await road.kill_and_start()
            server = await asyncio.start_server(second, "127.0.0.1", port)
            await road.all_confirmed()
            await until_status(road, lambda s: s["channels"][0]["tally"]["relay-waiting"] == 0)
            log = read_log(road.truth)
            found = await road.verdict()
        assert found.clean, found
        for number, serials in enumerate(heard[key] for key in sorted(heard)):
            told = [serial for device, serial in log.told if device == f"st-{number + 1:03d}"]
            # Once, and those that were under way at a kill once more: never out of order.
            assert sorted(set(serials) & set(told)) == [s for s in told if s >= min(serials)]
            assert len(serials) <= len(told) + 6
            first = list(dict.fromkeys(serials))
            assert first == sorted(first)
    finally:
        server.close()
        await server.wait_closed()
