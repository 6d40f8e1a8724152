"""Ports that everybody reaches: whatever strangers do, stations are served, and memory is bounded."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from kit.callers import PROTOCOLS, Hostile, Protocol
from kit.dialled import PATIENCE_S, Heard, site
from kit.running import Site

from headgate.channels import calls
from headgate.model import Alarm, Block
from headgate.sdk import stations

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS),
]
#: Strangers have three seconds here, not half a minute.
SHORT = "options = { limits = { introduce_s = 3.0 } }"
REPORTS = 40


def gateway(folder: Path, port: int, protocol: Protocol, options: str, udp: str = "") -> Site:
    ours = {f"st-{n}": protocol.address(n) for n in (1, 2, 3)}
    return site(folder, protocol.scheme, port, ours, protocol.profile, udp=udp, options=options)


class Station:
    """A station of ours: one report after the other, each confirmed before the next."""

    def __init__(self, protocol: Protocol, number: int, port: int) -> None:
        self._protocol, self._number, self._port = protocol, number, port
        self.late_s: list[float] = []

    async def say(self, reports: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for number in range(reports):
                began = time.monotonic()
                writer.write(self._protocol.report(self._number, number))
                assert await reader.read(4096), "hung up"
                self.late_s.append(time.monotonic() - began)
        writer.close()
        await writer.wait_closed()


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def test_whatever_strangers_do_a_station_beside_them_is_served_and_memory_is_bounded(
    tmp_path: Path, port: int, protocol: Protocol
) -> None:
    here = gateway(tmp_path, port, protocol, SHORT)
    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        await Station(protocol, 1, port).say(2)
        before = resident_mb()
        async with Hostile(port, protocol, known=3) as hostile:
            station = Station(protocol, 2, port)
            await station.say(REPORTS)
            while hostile.came < 60:
                await asyncio.sleep(0.02)
            status = await here.until(
                lambda s: (
                    {"refused-unnamed", "refused-stranger"} <= s["channels"][0]["tally"].keys()
                )
            )
        grown = resident_mb() - before
        left = await here.until(lambda s: s["channels"][0]["tally"]["on-line"] <= 1)
    assert len(station.late_s) == REPORTS
    assert grown < 40
    tally = status["channels"][0]["tally"]
    assert any(name.startswith("bad-") for name in tally)
    assert left["channels"][0]["state"] == "up"
    items = here.stored()
    looks = [item for item in items if isinstance(item, Block) and item.origin is not None]
    assert len({each.origin.digest for each in looks if each.origin}) == len(looks)  # none twice


async def test_a_number_in_two_places_is_one_alarm_and_the_newer_is_served(
    tmp_path: Path, port: int, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stations, "UNDER_WAY_US", 100_000)
    here = gateway(tmp_path, port, protocol, "")
    number = 0

    async def dial(source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        nonlocal number
        number += 1
        writer.write(protocol.report(1, number))
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await reader.read(4096)
            except ConnectionError:
                return b""

    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        for turn in range(3):  # the number flaps between two places
            real, thief = await dial("127.0.0.1"), await dial("127.0.0.2")
            assert await say(*real)
            assert await say(*thief)
            while turn == 0 and await say(*real):  # what was under way then is still taken
                await asyncio.sleep(0.05)
            assert await say(*thief)
            for _, writer in (real, thief):
                writer.close()
        await Station(protocol, 2, port).say(3)
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["two-sources"] >= 1
    raised = [item for item in here.stored() if isinstance(item, Alarm)]
    both = [each.active for each in raised if each.code == "two-sources"]
    assert both == [True, False]  # once, however often it flaps; and its end at the stop


async def talk_for_ever(line: socket.socket, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await loop.sock_sendall(line, data)
        await asyncio.sleep(0)


async def test_who_never_reads_what_it_is_told_is_hung_up_on(
    tmp_path: Path, port: int, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_UNREAD", 4096)
    here = gateway(tmp_path, port, protocol, "options = { limits = { bytes_burst = 100000000 } }")
    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            said = talk_for_ever(deaf, protocol.report(1, 1) * 20)
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(ConnectionError):
                    await said
        await Station(protocol, 2, port).say(3)


async def test_datagrams_of_nobody_are_not_answered_and_no_answer_is_a_weapon(
    tmp_path: Path, port: int, protocol: Protocol
) -> None:
    here = gateway(
        tmp_path, port, protocol, "options = { limits = { strangers = 20 } }", udp="+udp"
    )
    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        strangers = [await Heard.to(port) for _ in range(40)]
        for number, (transport, _) in enumerate(strangers):
            transport.sendto(protocol.report(1000 + number, 1))
            transport.sendto(protocol.endless + b"\x00" * 900)
        # A station finds a place all the same, and what it is told is no more than what it said.
        transport, station = await Heard.to(port)
        said = told = 0
        for number in range(5):
            report = protocol.report(1, number)
            transport.sendto(report)
            said += len(report)
            told += len(await station.answer())
        assert told <= said
        assert all(heard.data.empty() for _, heard in strangers)
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["refused-stranger"] >= 20
        transport.close()
        for each, _ in strangers:
            each.close()
