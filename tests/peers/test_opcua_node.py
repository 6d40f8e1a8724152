"""The OPC UA driver against node-opcua, another implementation, with security on."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.columns import readings
from headgate.env import system_env
from headgate.errors import ChannelError
from headgate.model import Access, Block, Point, PointTable, Quality, Status
from headgate.runtime.ownline import OwnLine
from headgate.sdk import Device, DevicePoint
from headgate_drivers.opcua import OpcUaDriver

HERE = Path(__file__).parent
pytestmark = pytest.mark.peer("node", "node-opcua-server")


def station() -> Device:
    points = (
        DevicePoint(Point("level", "f64"), {"path": "Level"}),
        DevicePoint(Point("setpoint", "f32", access=Access.READ_WRITE), {"path": "Setpoint"}),
        DevicePoint(Point("count", "u32"), {"path": "Count"}),
        DevicePoint(
            Point("running", "bool", access=Access.READ_WRITE),
            {"path": "Running", "start": "Start", "stop": "Stop"},
        ),
        DevicePoint(Point("nobody", "f64"), {"path": "Nobody"}),
    )
    points = tuple(sorted(points, key=lambda p: p.point.type))
    table = PointTable(1, "station", tuple(p.point for p in points))
    return Device(
        id="station", number=1, channel="c", address="/Station", points=points, table=table,
        table_hash=bytes(32), quirks={"namespace": "urn:example:pumps"}, interval_us=60_000_000,
    )  # fmt: skip


@asynccontextmanager
async def server(folder: Path, user: str = "") -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = shutil.which("node")
    assert node is not None
    child = await asyncio.create_subprocess_exec(
        node, HERE / "opcua_server.js", str(port), folder / "server", user,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=HERE,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        async with asyncio.timeout(40):
            while (said := await child.stdout.readline()).strip() != str(port).encode():
                assert said, "node-opcua ended"
        yield f"opc.tcp://127.0.0.1:{port}"
    finally:
        child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)


def line(url: str, folder: Path, **options: Any) -> OwnLine:
    given = {"publishing": "100ms", "sampling": "20ms", "folder": str(folder), "gateway": "gw-1",
             "timeout_s": 5.0, "connect_timeout_s": 5.0, **options}  # fmt: skip
    return OwnLine(system_env(), "c", url, {"url": url, **given})


async def code_of(channel: OwnLine) -> str:
    with pytest.raises(ChannelError) as raised:
        async with aclosing(OpcUaDriver().listen(channel, [station()])) as blocks:
            await anext(blocks)
    return raised.value.code


def trust_us(folder: Path) -> None:
    """What the server's keeper does: our certificate from rejected to trusted."""
    (rejected,) = (folder / "server/pki/rejected").iterdir()
    rejected.rename(folder / "server/pki/trusted/certs" / rejected.name)


async def _carries_values(channel: OwnLine) -> None:
    device = station()
    async with aclosing(OpcUaDriver().listen(channel, [device])) as blocks:
        counts: list[int] = []
        statuses: set[tuple[Quality, int]] = set()
        taken: list[int] = []
        async with asyncio.timeout(30):
            async for block in blocks:
                assert isinstance(block, Block)
                for reading in readings(block, device.table):
                    if reading.point == "level":
                        statuses.add((reading.quality, reading.status))
                    elif reading.point == "count":
                        counts.append(int(reading.value))
                        taken.append(reading.taken_at_us)
                    elif reading.point == "nobody":
                        assert reading.status >> 8 == Status.REFUSED
                if len(counts) > 45:
                    break
    # 20 a second, told five at a time. The server samples on a timer of its own, which a busy
    # machine may delay past a value; what it did sample is told once and in order.
    assert counts == sorted(set(counts))
    assert len(counts) >= 0.8 * (counts[-1] - counts[0] + 1)
    assert taken[1:] == sorted(taken[1:])
    assert statuses == {(Quality.GOOD, 0), (Quality.BAD, Status.DEVICE_FAULT << 8 | 0x8C)}


@pytest.mark.timeout(120)
async def test_every_policy_with_user_and_password_once_each_trusts_the_other(
    tmp_path: Path,
) -> None:
    async with server(tmp_path, "operator:secret") as url:
        assert await code_of(line(url, tmp_path)) == "HG-3310"
        met = await OpcUaDriver().meet(line(url, tmp_path))
        assert met is not None
        assert met.server.uri == "urn:test:node-opcua"
        met.trust.accept(met.server)
        login = {"username": "operator", "password": "secret"}
        assert await code_of(line(url, tmp_path, **login)) == "HG-3311"
        trust_us(tmp_path)
        # It sees that the file has moved when its watcher tells it.
        async with asyncio.timeout(30):
            while (code := await code_of(line(url, tmp_path))) == "HG-3311":
                await asyncio.sleep(0.2)
        assert code == "HG-3313"
        wrong = {"username": "operator", "password": "wrong"}
        assert await code_of(line(url, tmp_path, **wrong)) == "HG-3313"
        for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"):
            for mode in ("Sign", "SignAndEncrypt"):
                channel = line(url, tmp_path, security=policy, mode=mode, **login)
                async with aclosing(OpcUaDriver().listen(channel, [station()])) as blocks:
                    assert isinstance(await anext(blocks), Block)
        await _carries_values(line(url, tmp_path, **login))


async def test_it_writes_and_calls(tmp_path: Path) -> None:
    async with server(tmp_path) as url:
        driver, device = OpcUaDriver(), station()
        channel = line(url, tmp_path, security="None")
        assert await driver.write(channel, device, "setpoint", 3.25) == 3.25
        assert await driver.write(channel, device, "running", True) is True
        assert await driver.write(channel, device, "running", False) is False
        identity = await driver.identify(channel, device)
        assert identity is not None
        assert (identity.model, identity.firmware) == ("Pump controller", "7.1")
