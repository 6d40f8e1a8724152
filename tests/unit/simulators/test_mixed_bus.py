"""The mixed bus by itself, asked by a stranger: framings, firmware, plugs, and what makes no sense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient, AsyncModbusUdpClient

from headgate_simulators.faults import Fault
from headgate_simulators.manhole_street.frames import crc16_modbus
from headgate_simulators.mixed_bus.bus import BusPlan, LineKind, MixedBus
from headgate_simulators.mixed_bus.site import site_fragment
from headgate_simulators.pytest import BusMaker
from headgate_simulators.truth import TruthList


@asynccontextmanager
async def caller(device: dict[str, Any]) -> AsyncIterator[Any]:
    """A client that speaks as the line does."""
    scheme, _, where = device["url"].partition("://")
    host, _, port = where.partition(":")
    framers = {"modbus+rtu+tcp": FramerType.RTU, "modbus+ascii+tcp": FramerType.ASCII}
    if scheme == "modbus+udp":
        client: Any = AsyncModbusUdpClient(host, port=int(port), timeout=3, retries=0)
    else:
        client = AsyncModbusTcpClient(
            host, port=int(port), framer=framers[scheme], timeout=3, retries=0
        )
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("line", ["rtu-tcp", "ascii-tcp", "udp"])
async def test_every_model_answers_in_the_framing_of_its_line(
    mixed_bus: BusMaker, line: str
) -> None:
    bus = mixed_bus(line, per_line=4, models=("radar-1", "radar-2", "air-1", "ultrasonic-2"))
    async with caller(bus.devices[0]) as client:
        first = await client.read_input_registers(0, count=6, device_id=1)
        second = await client.read_holding_registers(0, count=8, device_id=2)
        air = await client.read_holding_registers(0, count=2, device_id=3)
        head = await client.read_holding_registers(0x10, count=9, device_id=4)
    assert (first.registers[0], first.registers[4]) == (0x0104, 1)
    assert (second.registers[0], second.registers[6]) == (0x0201, 1)
    assert isinstance(bus.truth, TruthList)
    (said,) = bus.truth.looks("unit-003")
    assert said["values"]["humidity"] == air.registers[0] / 10
    assert "sample" not in said["values"]
    (said,) = bus.truth.looks("unit-004")
    assert said["values"]["echo"] == head.registers[7]


async def test_a_new_firmware_changes_version_function_and_registers_at_once(
    mixed_bus: BusMaker,
) -> None:
    bus = mixed_bus("rtu-tcp", per_line=1, models=("radar-1",))
    async with caller(bus.devices[0]) as client:
        assert (await client.read_input_registers(0, count=6, device_id=1)).registers[4] == 1
        bus.fault("unit-001", "firmware-upgrade", 0.01)
        await asyncio.sleep(0.05)
        refused = await client.read_input_registers(0, count=6, device_id=1)
        if refused.isError() is False:  # the first request after the command is when it begins
            raise AssertionError("the old firmware still answers")
        now = await client.read_holding_registers(0, count=8, device_id=1)
        assert (now.registers[0], now.registers[6]) == (0x0201, 1)
        bus.fault("unit-001", "firmware-upgrade", on=False)
        assert (await client.read_input_registers(0, count=6, device_id=1)).registers[0] == 0x0104
    assert isinstance(bus.truth, TruthList)
    assert next(line["fault"] for line in bus.truth.lines if "fault" in line) == "firmware-upgrade"


async def test_a_reboot_begins_to_count_again(mixed_bus: BusMaker) -> None:
    bus = mixed_bus("rtu-tcp", per_line=1, models=("probe",))
    async with caller(bus.devices[0]) as client:
        for _ in range(3):
            before = await client.read_holding_registers(12, count=2, device_id=1)
        bus.fault("unit-001", "reboot", 0.01)
        await asyncio.sleep(0.05)
        after = await client.read_holding_registers(12, count=2, device_id=1)
    assert (before.registers[1], after.registers[1]) == (3, 1)


async def test_a_plug_comes_back_where_it_was(mixed_bus: BusMaker) -> None:
    bus = mixed_bus("rtu-tcp", per_line=2, models=("probe",))
    port = int(bus.devices[0]["url"].rpartition(":")[2])
    bus.fault("unit-002", "plug-pulled")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    bus.fault("unit-002", "plug-pulled", on=False)
    async with caller(bus.devices[0]) as client:
        assert not (await client.read_holding_registers(0, count=2, device_id=1)).isError()


async def test_a_dtu_says_who_it_is_and_that_it_lives() -> None:
    heard: list[bytes] = []
    said = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(len("DTU-0001")))
        request = bytes.fromhex("010400000006")
        writer.write(request + crc16_modbus(request).to_bytes(2, "little"))
        heard.append(await reader.readexactly(5 + 12))
        said.set()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    plan = BusPlan(
        lines=[LineKind.DTU], per_line=1, models=("radar-1",), dtu_port=server.sockets[0].getsockname()[1]
    )  # fmt: skip
    try:
        async with MixedBus(plan, TruthList()), asyncio.timeout(10):
            await said.wait()
    finally:
        server.close()
        await server.wait_closed()
    assert heard[0] == b"DTU-0001"
    assert heard[1][:5] == bytes.fromhex("01040c0104")


def test_the_site_names_every_line_once_and_the_settings_of_those_that_differ(
    tmp_path: Path,
) -> None:
    plan = BusPlan(lines=[LineKind.RTU, LineKind.UDP], per_line=3, folder=tmp_path)
    text = site_fragment(MixedBus(plan, TruthList()).description)
    assert text.count("[[channel]]") == 2 and text.count("[[device]]") == 6
    assert text.count("line = ") == 2 and 'line = "38400 8N1"' in text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"lines": []}, "at least one"),
        ({"per_line": 0}, "1 to 247"),
        ({"models": ("sonar",)}, "there are radar-1"),
        ({"lines": [LineKind.RTU]}, "in which folder"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BusPlan(**wanted)


@pytest.mark.parametrize("kind", ["noise", "wrong-checksum"])
def test_what_only_serial_lines_have_fits_no_datagrams(kind: str) -> None:
    plan = BusPlan(lines=[LineKind.UDP, LineKind.RTU_TCP], per_line=1)
    bus = MixedBus(plan, TruthList())
    with pytest.raises(ValueError, match="does not fit unit-001"):
        bus.fault(Fault.make("unit-001", kind), on=True)
    bus.fault(Fault.make("unit-002", kind), on=True)
