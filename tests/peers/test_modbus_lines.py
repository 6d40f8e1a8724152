"""Devices of other people's making on every kind of line: read, written and asked who they are."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
UNIT = HERE.parent / "unit"
sys.path[:0] = [str(UNIT / "modbus"), str(UNIT / "channels"), str(HERE)]

from modbus_device import make  # noqa: E402
from ptybus import pty_pair  # noqa: E402
from test_modbus_devices import (  # noqa: E402
    BITS,
    MEMORY,
    check_device,
    libmodbus_slave,
    process,
)

from headgate.channels import (  # noqa: E402
    ChannelSettings,
    ChannelState,
    ManagedChannel,
    TlsFiles,
    open_channel,
)
from headgate.channels.dialin import DialInChannel  # noqa: E402
from headgate.columns import readings  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.sdk import ChannelTimeout, Device, DeviceRefused, Identity, Value  # noqa: E402
from headgate_drivers.modbus import ModbusDriver  # noqa: E402

__all__ = ["libmodbus_slave"]

REGISTERS, COILS = f"20:{MEMORY.hex()}", f"7:{BITS}"


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[ManagedChannel]:
    channel = open_channel(system_env(), ChannelSettings("c1", url, **settings))
    channel.open()
    await channel.settled()
    try:
        yield channel
    finally:
        await channel.close()


# ---------------------------------------------------------------- serial


@pytest.mark.peer("gcc", "libmodbus")
async def test_an_rtu_device_on_libmodbus(libmodbus_slave: Path, tmp_path: Path) -> None:
    with pty_pair(tmp_path) as (ours, theirs):
        async with process(libmodbus_slave, REGISTERS, COILS, str(theirs.path)):
            await check_device(f"modbus+rtu://{ours.path}?baud=115200")


@pytest.mark.peer("node", "modbus-serial")
async def test_an_rtu_device_on_npm_modbus_serial(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    with pty_pair(tmp_path) as (ours, theirs):
        command = (node, HERE / "modbus" / "slave.js", REGISTERS, COILS, str(theirs.path))
        async with process(*command):
            await check_device(f"modbus+rtu://{ours.path}?baud=115200")


@pytest.mark.peer("gcc", "libmodbus")
async def test_a_silent_neighbour_and_noise_cost_an_rtu_device_no_value(
    libmodbus_slave: Path, tmp_path: Path
) -> None:
    with pty_pair(tmp_path) as (ours, theirs):
        async with process(libmodbus_slave, REGISTERS, COILS, str(theirs.path)):
            url = f"modbus+rtu://{ours.path}?baud=115200"
            async with opened(url, quiet_s=0.01) as channel:
                driver = ModbusDriver()
                # libmodbus takes what follows a neighbour's request for the neighbour's answer, and
                # so may swallow the first request that is meant for it.
                there = make({"register": 20}, timeout_s=1, retries=2)
                silent = make({"register": 20}, address=2, timeout_s=0.05)
                first = int.from_bytes(MEMORY[:2], "big")
                for _ in range(3):
                    with pytest.raises(ChannelTimeout):
                        await driver.read(channel, silent, driver.plan(silent))
                    ours.say(b"\x01\x03\x02")  # a neighbour's frame that broke off
                    block = await driver.read(channel, there, driver.plan(there))
                    assert [r.raw for r in readings(block, there.table)] == [first]


# ---------------------------------------------------------------- writing


def writable() -> Device:
    return make(
        {"name": "word", "register": 300, "access": "rw"},
        {"name": "signed", "register": 301, "type": "int16", "access": "rw"},
        {"name": "real", "register": 302, "type": "float32", "order": "CDAB", "access": "rw"},
        {"name": "counter", "register": 304, "type": "uint32", "order": "BADC", "access": "rw"},
        {"name": "bcd", "register": 306, "type": "bcd32", "access": "rw"},
        {"name": "bit", "register": 308, "type": "bool", "bit": 9, "access": "rw"},
        {"name": "low", "register": 308, "type": "uint8_low", "access": "rw"},
        {"name": "text", "register": 310, "type": "text", "length": 4, "access": "rw"},
        {"name": "coil", "register": 200, "area": "coil", "type": "bool", "access": "rw"},
        {"name": "fixed", "register": 320},
        {"name": "input", "register": 320, "area": "input", "access": "rw"},
        timeout_s=5,
    )


VALUES: dict[str, Value] = {
    "word": 0xBEEF, "signed": -2, "real": 12.5, "counter": 305_419_896, "bcd": 12_345_678,
    "bit": True, "low": 0x5A, "text": "PUMP-2", "coil": True,
}  # fmt: skip


async def check_writing(channel: ManagedChannel, device: Device) -> None:
    driver = ModbusDriver()
    for name, value in VALUES.items():
        assert await driver.write(channel, device, name, value) == value
    block = await driver.read(channel, device, driver.plan(device))
    got = {r.point: r.raw for r in readings(block, device.table)}
    assert {name: got[name] for name in VALUES} == VALUES
    # One part of a register left the other alone.
    assert await driver.write(channel, device, "bit", False) is False
    block = await driver.read(channel, device, driver.plan(device))
    assert {r.point: r.raw for r in readings(block, device.table)}["low"] == 0x5A


@pytest.mark.peer("gcc", "libmodbus")
@pytest.mark.parametrize("multiple", [False, True])
async def test_what_is_written_to_libmodbus_reads_back(
    libmodbus_slave: Path, multiple: bool
) -> None:
    async with (
        process(libmodbus_slave, "0:0000", "0:0") as port,
        opened(f"modbus+tcp://127.0.0.1:{port}") as channel,
    ):
        import msgspec

        device = msgspec.structs.replace(writable(), quirks={"write_multiple": multiple})
        await check_writing(channel, device)


@pytest.mark.peer("gcc", "libmodbus")
async def test_what_is_written_over_rtu_reads_back(libmodbus_slave: Path, tmp_path: Path) -> None:
    with pty_pair(tmp_path) as (ours, theirs):
        async with (
            process(libmodbus_slave, "0:0000", "0:0", str(theirs.path)),
            opened(f"modbus+rtu://{ours.path}?baud=115200") as channel,
        ):
            await check_writing(channel, writable())


@pytest.mark.peer("gcc", "libmodbus")
@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("fixed", 1), ("input", 1), ("nobody", 1), ("word", 0x10000), ("word", -1), ("word", 1.5),
        ("word", "7"), ("bcd", 123_456_789), ("bit", 2), ("low", 256), ("text", "much too long"),
        ("text", 5), ("coil", 7), ("signed", 40_000),
    ],
)  # fmt: skip
async def test_what_must_not_be_written_is_refused_before_the_wire(
    libmodbus_slave: Path, point: str, value: Value
) -> None:
    async with (
        process(libmodbus_slave, "0:0000", "0:0") as port,
        opened(f"modbus+tcp://127.0.0.1:{port}") as channel,
    ):
        with pytest.raises(DeviceRefused) as refused:
            await ModbusDriver().write(channel, writable(), point, value)
        assert refused.value.code == "HG-3130"
        assert channel.counters.requests == 0


# ---------------------------------------------------------------- pymodbus: every other line


@asynccontextmanager
async def pymodbus(
    kind: str = "ModbusTcpServer", **more: Any
) -> AsyncIterator[tuple[int, list[int]]]:
    """A pymodbus server of that kind, its registers being MEMORY and BITS; its port."""
    import pymodbus.server
    from pymodbus.simulator import DataType, SimData, SimDevice

    words = list(struct.unpack(f">{len(MEMORY) // 2}H", MEMORY))
    registers = [
        SimData(0, values=0x0203, datatype=DataType.REGISTERS),
        SimData(20, values=words, datatype=DataType.REGISTERS),
    ]
    coils = [SimData(7, values=[bit == "1" for bit in BITS], datatype=DataType.BITS)]
    device = SimDevice(1, simdata=(coils, coils, registers, registers))
    server = getattr(pymodbus.server, kind)(device, address=("127.0.0.1", 0), **more)
    await server.serve_forever(background=True)
    try:
        transport = server.transport
        sockets = getattr(transport, "sockets", None)
        name = sockets[0].getsockname() if sockets else transport.get_extra_info("sockname")
        yield name[1], words
    finally:
        await server.shutdown()


async def test_modbus_over_udp() -> None:
    async with pymodbus("ModbusUdpServer") as (port, _):
        await check_device(f"modbus+udp://127.0.0.1:{port}")


async def test_a_udp_port_that_nobody_listens_on_takes_the_line_down() -> None:
    async with opened("modbus+udp://127.0.0.1:9", retry_first_s=60) as channel:
        driver, device = ModbusDriver(), make({"register": 1}, timeout_s=60)
        down = asyncio.Event()
        channel.on_state = lambda state: down.set() if state is ChannelState.DOWN else None
        with pytest.raises(Exception, match="not open"):
            await driver.read(channel, device, driver.plan(device))
        await down.wait()
        channel.on_state = None


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
async def test_serial_framings_through_a_serial_server(framing: str) -> None:
    from pymodbus import FramerType

    async with pymodbus(framer=FramerType(framing)) as (port, _):
        await check_device(f"modbus+{framing}+tcp://127.0.0.1:{port}")


async def test_ascii_on_a_serial_port(tmp_path: Path) -> None:
    from pymodbus import FramerType

    async with pymodbus(framer=FramerType.ASCII) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pty_pair(tmp_path) as (ours, theirs):
            ours.heard = lambda data: writer.write(data)

            async def back() -> None:
                while data := await reader.read(4096):
                    ours.say(data)

            copying = asyncio.ensure_future(back())
            await check_device(f"modbus+ascii://{ours.path}?baud=115200")
            assert theirs.path.exists()
        writer.close()
        await writer.wait_closed()
        await copying


def certificates(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plc")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "plc.pem").write_bytes(certificate.public_bytes(pem))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "plc.key").write_bytes(key.private_bytes(pem, form, none))
    return folder / "plc.pem", folder / "plc.key"


async def test_modbus_over_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    async with pymodbus("ModbusTlsServer", sslctx=context) as (port, words):
        url = f"modbus+tls://127.0.0.1:{port}"
        ours = TlsFiles(str(certificate), str(certificate), str(key))
        driver, device = ModbusDriver(), make({"register": 20}, timeout_s=5)
        async with opened(url, tls_files=ours) as channel:
            block = await driver.read(channel, device, driver.plan(device))
            assert [r.raw for r in readings(block, device.table)] == words[:1]
        for files in (TlsFiles(), TlsFiles(str(tmp_path / "gone.pem"))):
            async with opened(url, tls_files=files) as channel:
                assert channel.state is ChannelState.DOWN
                assert channel.reason


# ---------------------------------------------------------------- dial-in


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
async def test_a_dtu_in_front_of_a_device(framing: str) -> None:
    from pymodbus import FramerType

    form = FramerType.RTU if framing == "rtu" else FramerType.SOCKET
    async with pymodbus(framer=form) as (port, words):
        url = f"modbus+dtu+listen://127.0.0.1:0?registration=D1&heartbeat=ping&framing={framing}"
        async with opened(url) as channel:
            assert isinstance(channel, DialInChannel)
            near, far = await asyncio.gather(
                asyncio.open_connection("127.0.0.1", channel.listening_on),
                asyncio.open_connection("127.0.0.1", port),
            )
            up = asyncio.Event()
            channel.on_state = lambda state: up.set() if state is ChannelState.UP else None
            near[1].write(b"D1")
            await up.wait()
            channel.on_state = None

            async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(4096):
                    near[1].write(b"ping")
                    writer.write(data)

            copies = [
                asyncio.ensure_future(copy(near[0], far[1])),
                asyncio.ensure_future(copy(far[0], near[1])),
            ]
            driver, device = ModbusDriver(), make({"register": 20}, timeout_s=5)
            for _ in range(20):
                block = await driver.read(channel, device, driver.plan(device))
                assert [r.raw for r in readings(block, device.table)] == words[:1]
            for copying in copies:
                copying.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            for _, writer in (near, far):
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)


# ---------------------------------------------------------------- who are you


async def test_a_device_that_knows_function_43_says_who_it_is() -> None:
    from pymodbus import FramerType, ModbusDeviceIdentification

    said = {0: "Maker", 1: "RL-100", 2: "2.4.1", 5: "RL-100 radar"}
    for form, scheme in ((FramerType.SOCKET, "tcp"), (FramerType.RTU, "rtu+tcp")):
        identity = ModbusDeviceIdentification(info=said)
        async with (
            pymodbus(framer=form, identity=identity) as (port, _),
            opened(f"modbus+{scheme}://127.0.0.1:{port}") as channel,
        ):
            found = await ModbusDriver().identify(channel, make({"register": 1}, timeout_s=5))
            assert found == Identity("Maker", "RL-100 radar", "2.4.1")


async def test_a_version_register_comes_before_function_43() -> None:
    import msgspec

    async with pymodbus() as (port, _), opened(f"modbus+tcp://127.0.0.1:{port}") as channel:
        device = make({"register": 20}, timeout_s=5)
        # The first rule asks for what is not there, the second for what is.
        rules = (
            {"register": 5000, "format": "major.minor bytes"},
            {"register": 0, "area": "input", "format": "major.minor bytes"},
        )
        device = msgspec.structs.replace(device, identify=rules)
        found = await ModbusDriver().identify(channel, device)
        assert found is not None
        assert found.firmware == "2.3"


@pytest.mark.peer("gcc", "libmodbus")
async def test_a_device_that_cannot_tell_is_nobody(libmodbus_slave: Path) -> None:
    async with (
        process(libmodbus_slave, REGISTERS, COILS) as port,
        opened(f"modbus+tcp://127.0.0.1:{port}") as channel,
    ):
        device = make({"register": 20}, timeout_s=5)
        assert await ModbusDriver().identify(channel, device) is None
        assert await ModbusDriver().present(channel, device)
