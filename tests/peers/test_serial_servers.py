"""Serial servers of other people's making that speak RFC 2217: ser2net, and pyserial's own."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import serial
from serial.rfc2217 import PortManager

HERE = Path(__file__).parent
UNIT = HERE.parent / "unit"
sys.path[:0] = [str(UNIT / "modbus"), str(UNIT / "channels"), str(HERE)]

from modbus_device import make  # noqa: E402
from ptybus import PtyPort, pty_pair  # noqa: E402
from test_modbus_devices import (  # noqa: E402
    BITS,
    MEMORY,
    check_device,
    libmodbus_slave,
    process,
)

from headgate.channels import ChannelSettings, ManagedChannel, open_channel  # noqa: E402
from headgate.columns import readings  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.sdk import Delimited, LineSettings  # noqa: E402
from headgate_drivers.modbus import ModbusDriver  # noqa: E402

__all__ = ["libmodbus_slave"]

REGISTERS, COILS = f"20:{MEMORY.hex()}", f"7:{BITS}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ManagedChannel]:
    settings = ChannelSettings("c1", url, timeout_s=20.0, connect_timeout_s=20.0)
    channel = open_channel(system_env(), settings)
    channel.open()
    await channel.settled()
    try:
        yield channel
    finally:
        await channel.close()


# ---------------------------------------------------------------- ser2net


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@asynccontextmanager
async def ser2net(folder: Path, port: PtyPort) -> AsyncIterator[int]:
    """ser2net before one port; the TCP port that it listens on."""
    program = shutil.which("ser2net") or "/usr/sbin/ser2net"
    number = free_port()
    config = folder / "ser2net.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        "connection: &one\n"
        f"  accepter: telnet(rfc2217),tcp,127.0.0.1,{number}\n"
        "  timeout: 0\n"
        f"  connector: serialdev,{port.path},9600n81,local\n"
        "  options:\n    kickolduser: true\n"
    )
    command = (program, "-n", "-u", "-c", str(config), "-P", str(folder / "pid"))
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                with socket.create_connection(("127.0.0.1", number)):
                    break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
        yield number
    finally:
        child.kill()
        await child.wait()
        await asyncio.sleep(0)


@pytest.mark.peer("ser2net", "gcc", "libmodbus")
async def test_an_rtu_device_behind_ser2net(libmodbus_slave: Path, tmp_path: Path) -> None:
    with pty_pair(tmp_path) as (servers, theirs):
        async with (
            process(libmodbus_slave, REGISTERS, COILS, str(theirs.path)),
            ser2net(tmp_path, servers) as port,
        ):
            await check_device(f"modbus+rtu+rfc2217://127.0.0.1:{port}?baud=19200")


@pytest.mark.peer("ser2net", "gcc", "libmodbus")
async def test_ser2net_sets_its_port_anew_for_each_device(
    libmodbus_slave: Path, tmp_path: Path
) -> None:
    with pty_pair(tmp_path) as (servers, theirs):
        speeds: list[int] = []

        def heard(data: bytes) -> None:
            speeds.append(servers.attributes[4])
            theirs.say(data)

        servers.heard = heard
        async with (
            process(libmodbus_slave, REGISTERS, COILS, str(theirs.path)),
            ser2net(tmp_path, servers) as port,
            opened(f"modbus+rtu+rfc2217://127.0.0.1:{port}?baud=9600") as channel,
        ):
            driver = ModbusDriver()
            point = {"register": 20, "area": "holding", "type": "uint16"}
            for line in ("", "2400 8N1", "", "4800"):
                quirks = {"line": line} if line else {}
                device = make(point, timeout_s=20, quirks=quirks)
                block = await driver.read(channel, device, driver.plan(device))
                [reading] = readings(block, device.table)
                assert reading.raw == int.from_bytes(MEMORY[:2], "big")
            assert channel.counters.timeouts == 0
        # A request may be heard in pieces.
        changes = [speed for speed, _ in itertools.groupby(speeds)]
        assert changes == [termios.B9600, termios.B2400, termios.B9600, termios.B4800]


# ---------------------------------------------------------------- pyserial


class Port(serial.SerialBase):
    """A port without hardware, as pyserial's server knows ports: it remembers how it was set."""

    cts = dsr = ri = cd = False

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True
        self.set: list[str] = []

    def _reconfigure_port(self) -> None:
        self.set.append(f"{self.baudrate} {self.bytesize}{self.parity}{self.stopbits}")

    def reset_input_buffer(self) -> None: ...

    def reset_output_buffer(self) -> None: ...

    def _update_break_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    def _update_dtr_state(self) -> None: ...


@asynccontextmanager
async def pyserial_server() -> AsyncIterator[tuple[Port, int]]:
    """What is sent to the port comes back from it, preceded by how the port is set."""
    port = Port()
    tasks: set[asyncio.Task[None]] = set()

    class Connection:
        def __init__(self, writer: asyncio.StreamWriter) -> None:
            self.writer = writer

        def write(self, data: bytes) -> None:
            self.writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        manager = PortManager(port, Connection(writer))
        held = b""
        while data := await reader.read(4096):
            held += b"".join(manager.filter(data))
            if held.endswith(b"\n"):
                said = port.set[-1].encode() + b" " + held
                writer.write(b"".join(manager.escape(said)))
                held = b""
        writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(serve(reader, writer)))

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield port, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*tasks)
        await listener.wait_closed()


async def test_pyserial_s_server_is_set_to_what_a_pseudo_terminal_cannot_be() -> None:
    lines = Delimited(b"\n")
    async with pyserial_server() as (port, number):
        url = f"serial+rfc2217://127.0.0.1:{number}?baud=9600&parity=E"
        async with opened(url) as channel:
            usual = await channel.exchange(b"\xff\x11\x13\x00\r\n", lines)
            other = await channel.exchange(b"x\n", lines, settings=LineSettings(2400, 7, "O", 2.0))
            again = await channel.exchange(b"y\n", lines)
        assert usual == b"9600 8E1 \xff\x11\x13\x00\r"
        assert other == b"2400 7O2 x"
        assert again == b"9600 8E1 y"
        assert not (port.xonxoff or port.rtscts)
