"""The OPC UA driver against node-opcua, another implementation, with security on."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.certificates import Authority
from kit.opcua import Relay

from headgate.columns import readings
from headgate.env import system_env
from headgate.errors import ChannelError
from headgate.model import Access, Alarm, Block, Point, PointTable, Quality, Status
from headgate.runtime.ownline import OwnLine
from headgate.sdk import Device, DevicePoint
from headgate_drivers.opcua import OpcUaDriver, history

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
        DevicePoint(Point("sump", "f64", access=Access.READ_WRITE), {"path": "Sump"}),
        DevicePoint(Point("nobody", "f64"), {"path": "Nobody"}),
    )
    points = tuple(sorted(points, key=lambda p: p.point.type))
    table = PointTable(1, "station", tuple(p.point for p in points))
    return Device(
        id="station", number=1, channel="c", address="/Station", points=points, table=table,
        table_hash=bytes(32), quirks={"namespace": "urn:example:pumps"}, interval_us=60_000_000,
    )  # fmt: skip


@asynccontextmanager
async def server(folder: Path, user: str = "", most: str = "") -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = shutil.which("node")
    assert node is not None
    child = await asyncio.create_subprocess_exec(
        node, HERE / "opcua_server.js", str(port), folder / "server", user, most,
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


def trust_us_again(folder: Path, number: int) -> None:
    """The same file once more, under another name."""
    trusted = next((folder / "server/pki/trusted/certs").iterdir())
    shutil.copy(trusted, trusted.with_stem(f"{trusted.stem[:20]}-{number}"))


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
        # It sees that the file has moved when its watcher tells it. A watcher that was still at work on
        # the folder it came from misses that, as in the field: the keeper puts the file there again.
        async with asyncio.timeout(60):
            tries = 0
            while (code := await code_of(line(url, tmp_path))) == "HG-3311":
                await asyncio.sleep(0.2)
                tries += 1
                if tries % 25 == 0:
                    trust_us_again(tmp_path, tries)
        assert code == "HG-3313"
        wrong = {"username": "operator", "password": "wrong"}
        assert await code_of(line(url, tmp_path, **wrong)) == "HG-3313"
        for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"):
            for mode in ("Sign", "SignAndEncrypt"):
                channel = line(url, tmp_path, security=policy, mode=mode, **login)
                async with aclosing(OpcUaDriver().listen(channel, [station()])) as blocks:
                    assert isinstance(await anext(blocks), Block)
        await _carries_values(line(url, tmp_path, **login))


def quiet_station() -> Device:
    """Two points that rise by one, twenty times a second; the server is to be silent about most of it."""
    points = (
        DevicePoint(Point("count", "f64"), {"path": "Count", "server_deadband": 4.5}),
        DevicePoint(Point("flow", "f64"), {"path": "Flow", "server_deadband_percent": 7.5}),
    )
    return msgspec.structs.replace(
        station(), points=points, table=PointTable(1, "station", tuple(p.point for p in points))
    )


async def _is_silent_within_a_deadband(channel: OwnLine) -> None:
    device = quiet_station()
    told: dict[str, list[float]] = {"count": [], "flow": []}
    async with aclosing(OpcUaDriver().listen(channel, [device])) as blocks, asyncio.timeout(40):
        async for block in blocks:
            assert isinstance(block, Block)
            for reading in readings(block, device.table):
                told[reading.point].append(float(reading.value))
            if all(len(values) > 8 for values in told.values()):
                break
    # The first two of each are the look with which a session begins and the first of the subscription.
    for name, band in (("count", 4.5), ("flow", 7.5)):
        steps = [b - a for a, b in pairwise(told[name][2:])]
        assert all(abs(step) > band for step in steps), (name, told[name])


async def test_it_writes_and_calls_and_is_silent_within_a_deadband(tmp_path: Path) -> None:
    async with server(tmp_path) as url:
        driver, device = OpcUaDriver(), station()
        channel = line(url, tmp_path, security="None")
        assert await driver.write(channel, device, "setpoint", 3.25) == 3.25
        assert await driver.write(channel, device, "running", True) is True
        assert await driver.write(channel, device, "running", False) is False
        identity = await driver.identify(channel, device)
        assert identity is not None
        assert (identity.model, identity.firmware) == ("Pump controller", "7.1")
        await _is_silent_within_a_deadband(channel)


async def _next_alarm(told: Any, code: str) -> Alarm:
    async with asyncio.timeout(30):
        async for item in told:
            if isinstance(item, Alarm) and item.code == code:
                return item
    raise AssertionError("the line ended")


@pytest.mark.timeout(120)
async def test_its_limit_alarm_is_told_also_what_changed_while_the_line_was_down(
    tmp_path: Path,
) -> None:
    async with server(tmp_path) as url:
        driver, device = OpcUaDriver(), station()
        channel = line(url, tmp_path, security="None", events="server")
        async with aclosing(driver.listen(channel, [device])) as told:
            await anext(told)
            await driver.write(channel, device, "sump", 6.0)
            raised = await _next_alarm(told, "SumpLevel")
            assert (raised.point, raised.active) == ("sump", True)
            assert "High" in raised.text
            assert "not acknowledged" in raised.text
            await driver.write(channel, device, "sump", 9.0)
            worse = await _next_alarm(told, "SumpLevel")
            assert "HighHigh" in worse.text
        await driver.write(channel, device, "sump", 1.0)
        async with aclosing(driver.listen(channel, [device])) as told:
            over = await _next_alarm(told, "SumpLevel")
            assert (over.point, over.active) == ("sump", False)


@pytest.mark.timeout(120)
async def test_what_it_kept_of_an_outage_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 9)
    async with server(tmp_path) as url, Relay(int(url.rpartition(":")[2])) as relay:
        driver, device = OpcUaDriver(), station()
        channel = line(f"opc.tcp://127.0.0.1:{relay.port}", tmp_path, security="None")
        counts: list[int] = []

        async def hear(until: int) -> None:
            async with (
                aclosing(driver.listen(channel, [device])) as told,
                asyncio.timeout(40),
            ):
                async for block in told:
                    if isinstance(block, Block):
                        counts.extend(
                            int(reading.value)
                            for reading in readings(block, device.table)
                            if reading.point == "count"
                        )
                    if counts and counts[-1] >= until:
                        return

        await hear(20)
        await relay.cut()
        plain = line(url, tmp_path, security="None")
        # Its own clock says how far it has gone on meanwhile.
        watch = replace_points(device, "count")
        async with aclosing(OpcUaDriver().listen(plain, [watch])) as told, asyncio.timeout(40):
            async for block in told:
                if isinstance(block, Block) and any(
                    reading.point == "count" and int(reading.value) > counts[-1] + 40
                    for reading in readings(block, watch.table)
                ):
                    break
        await relay.restore()
        before = len(counts)
        await hear(counts[-1] + 80)
        assert counts == sorted(set(counts))
        late = counts[before : before + 35]
        assert late == list(range(counts[before - 1] + 1, counts[before - 1] + 36))


def replace_points(device: Device, name: str) -> Device:
    """The same device with one point."""
    points = tuple(point for point in device.points if point.point.name == name)
    table = PointTable(1, "station", tuple(point.point for point in points))
    return msgspec.structs.replace(device, points=points, table=table)


@pytest.mark.timeout(120)
@pytest.mark.timeout(180)
async def test_a_user_certificate_lets_us_in_and_a_subscription_too_many_is_polled(
    tmp_path: Path,
) -> None:
    ca = Authority("City Water CA")
    ca.issue(tmp_path / "user", "urn:person:operator")
    ca.issue(tmp_path / "other", "urn:person:somebody")
    trusted = tmp_path / "server/users/trusted/certs"
    trusted.mkdir(parents=True)
    # It takes a user's certificate for what it is when it knows it, and the CA behind it.
    (trusted / "operator.der").write_bytes((tmp_path / "user/certificate.der").read_bytes())
    issuers = tmp_path / "server/users/issuers/certs"
    issuers.mkdir(parents=True)
    (issuers / "ca.der").write_bytes(ca.der)
    nobody = ca.issue(tmp_path / "nobody", "urn:person:nobody")
    ca.revoke(nobody, tmp_path / "server/users/issuers/crl/ca.crl")

    def card(name: str) -> dict[str, str]:
        return {
            "user_certificate": str(tmp_path / name / "certificate.der"),
            "user_key": str(tmp_path / name / "key.pem"),
        }

    async with server(tmp_path, "operator:secret", "1") as url:
        secure = {"security": "Aes256Sha256RsaPss", "trust": "any"}
        assert await code_of(line(url, tmp_path, **secure, **card("user"))) == "HG-3311"
        trust_us(tmp_path)
        async with asyncio.timeout(120):
            while (
                code := await code_of(line(url, tmp_path, **secure, **card("other")))
            ) == "HG-3311":
                await asyncio.sleep(0.2)
        assert code == "HG-3313"
        channel = line(url, tmp_path, **secure, **card("user"))
        async with aclosing(OpcUaDriver().listen(channel, [station()])) as told:
            assert isinstance(await anext(told), Block)
            second = line(url, tmp_path, **secure, **card("user"))
            reports: list[str] = []
            second.on_report = lambda _state, reason: reports.append(reason)
            quick = msgspec.structs.replace(station(), interval_us=300_000)
            async with aclosing(OpcUaDriver().listen(second, [quick])) as polled:
                for _ in range(3):
                    assert isinstance(await anext(polled), Block)
            assert any("HG-3340: no subscription (BadTooManySubscriptions)" in r for r in reports)
