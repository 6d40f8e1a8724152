"""DL/T 645 with the library `dlt645` at the other end: as the meter we ask, and as the master."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from headgate.channels import open_channel
from headgate.channels.base import ChannelSettings
from headgate.columns import readings
from headgate.env import system_env
from headgate.sdk import Device, DevicePoint, Point
from headgate.testing.devices import make_device
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import Frame, encode
from headgate_drivers.dlt645.messages import ADDRESS as ASK_ADDRESS
from headgate_drivers.dlt645.values import write_number

foreign = pytest.importorskip(
    "dlt645", reason="the library dlt645 (pip install dlt645 loguru) is not installed here"
)

METER = "000000000161"
#: The library takes an address in the order of the wire.
ON_THE_WIRE = bytes.fromhex(METER)[::-1].hex()
POINTS = {
    "energy": "00010000", "export": "00020000", "voltage": "02010100", "current": "02020100",
    "power": "02030000", "factor": "02060000", "frequency": "02800002",
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def device(**points: str) -> Device:
    places = [DevicePoint(Point(name, "f64"), {"di": di}) for name, di in points.items()]
    return msgspec.structs.replace(make_device(places, address=METER), timeout_s=10.0)


@pytest.fixture
async def meter() -> AsyncIterator[tuple[Any, int]]:
    """A meter of the library's own making."""
    port = free_port()
    service = foreign.MeterServerService.new_tcp_server("127.0.0.1", port, timeout=30)
    service.set_address(ON_THE_WIRE)
    assert await asyncio.to_thread(service.start)
    yield service, port
    await asyncio.to_thread(service.stop)


async def test_we_read_a_foreign_meter(meter: tuple[Any, int]) -> None:
    service, port = meter
    said = {
        "energy": 1234.56, "export": 0.26, "voltage": 230.1, "current": 4.999, "power": 0.2512,
        "factor": 0.501, "frequency": 50.03,
    }  # fmt: skip
    for name, value in said.items():
        di = int(POINTS[name], 16)
        assert (service.set_00 if di < 0x01000000 else service.set_02)(di, value)
    line = open_channel(system_env(), ChannelSettings("bus", f"serial+tcp://127.0.0.1:{port}"))
    line.open()
    try:
        await line.settled()
        driver, asked = Dlt645Driver(), device(**POINTS)
        block = await driver.read(line, asked, driver.plan(asked))
        assert {r.point: r.value for r in readings(block, asked.table)} == said
        assert await driver.addresses(line, asked) == [METER]
        assert await driver.present(line, asked)
    finally:
        await line.close()


async def test_a_foreign_master_reads_what_we_write() -> None:
    """Our codec answers; the library's client understands every one of them."""
    content = {
        "00010000": (write_number(7502.64, 4, 2, signed=False), 7502.64),
        "02010100": (write_number(217.0, 2, 1, signed=False), 217.0),
        "02030000": (write_number(0.2512, 3, 4, signed=True), 0.2512),
        "02800002": (write_number(50.03, 2, 2, signed=False), 50.03),
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = Codec()
        while data := await reader.read(256):
            for event in codec.feed(data):
                assert isinstance(event, Frame)
                assert event.message is not None
                if event.function == ASK_ADDRESS:
                    body = bytes.fromhex(METER)[::-1]
                else:
                    identifier = event.message.identifier
                    body = bytes.fromhex(identifier)[::-1] + content[identifier][0]
                writer.write(encode(Frame(METER, event.control | 0x80, body, 4)))
                await writer.drain()
        writer.close()

    def ask(port: int) -> dict[str, Any]:
        client = foreign.MeterClientService.new_tcp_client("127.0.0.1", port, timeout=30.0)
        client.set_address(ON_THE_WIRE)
        assert client.connect()
        try:
            found: dict[str, Any] = {}
            for identifier in content:
                code = int(identifier, 16)
                read = client.read_00 if code < 0x01000000 else client.read_02
                found[identifier] = read(code).value
            return found
        finally:
            client.disconnect()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await asyncio.to_thread(ask, port)
    assert found == {identifier: value for identifier, (_, value) in content.items()}
