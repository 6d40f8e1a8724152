"""DL/T 645 with the library `dlt645` at the other end: as the meter we ask, and as the master."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from headgate.channels import open_channel
from headgate.channels.base import ChannelSettings
from headgate.columns import readings
from headgate.env import system_env
from headgate.sdk import Device, DevicePoint, Point, Status, status_word
from headgate.testing.devices import make_device
from headgate_drivers.dlt645 import Dlt645Driver, requests
from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import Frame, encode
from headgate_drivers.dlt645.messages import ADDRESS as ASK_ADDRESS
from headgate_drivers.dlt645.values import write_number

foreign = pytest.importorskip(
    "dlt645", reason="the library dlt645 (pip install dlt645 loguru) is not installed here"
)
Demand = pytest.importorskip("dlt645.model.types.dlt645_type").Demand

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


@pytest.fixture(scope="module")
def master() -> tuple[Any, int]:
    """A client of the library, and the port it asks; one for all tests, for each copies a large table."""
    port = free_port()
    client = foreign.MeterClientService.new_tcp_client("127.0.0.1", port, timeout=30.0)
    client.set_address(ON_THE_WIRE)
    return client, port


async def _said(port: int, request: bytes) -> Frame | None:
    """What the foreign meter says to these bytes; None: a refusal's frame is given, silence is not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        codec = Codec("master")
        async with asyncio.timeout(20):
            while data := await reader.read(256):
                for event in codec.feed(data):
                    return event if isinstance(event, Frame) else event.frame
    finally:
        writer.close()
        await writer.wait_closed()
    return None


async def test_a_foreign_meter_is_read_takes_what_we_write_and_refuses_a_wrong_password(
    meter: tuple[Any, int],
) -> None:
    service, port = meter
    said = {
        "energy": 1234.56, "export": 0.26, "voltage": 230.1, "current": 4.999, "power": 0.2512,
        "factor": 0.501, "frequency": 50.03,
    }  # fmt: skip
    for name, value in said.items():
        di = int(POINTS[name], 16)
        assert (service.set_00 if di < 0x01000000 else service.set_02)(di, value)
    when = datetime(2026, 7, 18, 14, 30)  # noqa: DTZ001 - the meter's own zone
    assert service.set_01(0x01010000, Demand(12.3456, when))
    assert service.set_04(0x04000101, "26071806")
    assert service.set_04(0x04000102, "143000")
    at = {"di": "01010000", "field": "active_demand_import_total_at"}
    more = [
        DevicePoint(Point("demand", "f64"), {"di": "01010000"}), DevicePoint(Point("at", "text"), at),
        DevicePoint(Point("date", "text"), {"di": "04000101"}),
        DevicePoint(Point("time", "text"), {"di": "04000102"}),
        # It has no freezes, and says so.
        DevicePoint(Point("frozen", "f64"), {"di": "05060101"}),
    ]  # fmt: skip
    asked = make_device([*device(**POINTS).points, *more], address=METER)
    asked = msgspec.structs.replace(asked, timeout_s=10.0)
    line = open_channel(system_env(), ChannelSettings("bus", f"serial+tcp://127.0.0.1:{port}"))
    line.open()
    try:
        await line.settled()
        driver = Dlt645Driver()
        block = await driver.read(line, asked, driver.plan(asked))
        found = {r.point: r for r in readings(block, asked.table)}
        told = {name: reading.value for name, reading in found.items()}
        assert told == said | {
            "demand": 12.3456, "at": "2026-07-18T14:30", "date": "2026-07-18", "time": "14:30:00",
            "frozen": None,
        }  # fmt: skip
        assert found["frozen"].status == status_word(Status.REFUSED, 1)
        assert await driver.addresses(line, asked) == [METER]
        assert await driver.present(line, asked)
    finally:
        await line.close()
    assert service.set_password("00000000")
    content = bytes.fromhex("15")  # a demand period of 15 minutes
    answer = await _said(port, requests.write(METER, "04000103", content, "00000000", "00000007"))
    assert answer is not None
    assert (answer.control, answer.refused) == (0x94, False)
    read = await _said(port, requests.read(METER, "04000103"))
    assert read is not None
    assert read.message is not None
    assert [field.value for field in read.message.fields] == [15]
    refused = await _said(port, requests.write(METER, "04000103", content, "00111111", "00000007"))
    assert refused is not None
    assert refused.refused
    assert refused.message is not None
    assert refused.message.says == "password wrong / not authorised"
    frozen = await _said(port, requests.freeze(METER, "07182359"))
    assert frozen is not None
    assert (frozen.control, frozen.data) == (0x96, b"")


async def test_a_foreign_master_reads_what_we_write(master: tuple[Any, int]) -> None:
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

    client, port = master

    def ask() -> dict[str, Any]:
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

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        found = await asyncio.to_thread(ask)
    assert found == {identifier: value for identifier, (_, value) in content.items()}


async def test_what_a_foreign_master_commands_is_understood_and_no_password_told(
    master: tuple[Any, int],
) -> None:
    """Everything the library's client can send, cut and read by our codec; none of it is sent by us."""
    heard: list[Frame] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = Codec()
        while data := await reader.read(256):
            for event in codec.feed(data):
                frame = event if isinstance(event, Frame) else event.frame
                assert frame is not None
                heard.append(frame)
                if frame.address != "9" * 12:
                    writer.write(encode(Frame(METER, frame.control | 0x80, frame.data[:4])))
        writer.close()

    client, port = master

    def command() -> None:
        assert client.connect()
        client.broadcast_time_sync(datetime(2026, 7, 18, 14, 30, 5))  # noqa: DTZ001
        client.write_04(0x04000103, "15", "00445566")
        client.change_password("00445566", "00778899")
        client.clear_demand(0x01010000, "00445566")
        client.clear_event("00445566", "00000000", 0xFFFFFFFF)
        client.disconnect()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await asyncio.to_thread(command)
    said = {frame.function: frame.message for frame in heard if frame.message is not None}
    assert said.keys() == {0x08, 0x14, 0x18, 0x19, 0x1B}
    # It broadcasts the year first, which is no time by the standard (and by every meter that we know).
    assert said[0x08].flaws == ("053014180726 is no time",)
    assert said[0x14].identifier == "04000103"
    assert {f.name: f.value for f in said[0x14].fields}["demand_period"] == 15
    told = "".join(str((m.fields, m.content, m.says, m.flaws)) for m in said.values())
    assert "445566" not in told
    assert "665544" not in told
    assert "778899" not in told
