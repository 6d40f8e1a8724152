"""Devices of other people's making: what they hold is what we read, in every type and order."""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "unit" / "modbus")]

from modbus_device import make  # noqa: E402

from headgate.channels import ChannelSettings, open_channel  # noqa: E402
from headgate.columns import readings  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate_drivers.modbus import ModbusDriver  # noqa: E402

FORMS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q",
    "float32": ">f", "float64": ">d", "bcd16": "", "bcd32": "", "bcd64": "", "text": "",
}  # fmt: skip
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def all_values() -> tuple[list[dict[str, Any]], list[Any], bytes]:
    """Points of every type and order, what each holds, and the registers that hold it."""
    chance = random.Random(20)
    points: list[dict[str, Any]] = []
    values: list[Any] = []
    memory = b""
    for kind, form in FORMS.items():
        for order in ORDERS:
            more: dict[str, Any] = {}
            value: Any
            if kind == "text":
                value, more = f"FW{order}", {"length": 3}
                raw = value.encode()
                if order in ("BADC", "DCBA"):
                    raw = b"".join(raw[i : i + 2][::-1] for i in range(0, 6, 2))
            else:
                if form:
                    size = struct.calcsize(form)
                    value = struct.unpack(form, b"\x40" + chance.randbytes(size - 1))[0]
                    raw = struct.pack(form, value)
                else:
                    size = int(kind[3:]) // 8
                    value = chance.randrange(10 ** (size * 2))
                    raw = bytes.fromhex(f"{value:0{size * 2}d}")
                words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
                if order in ("CDAB", "DCBA"):
                    words.reverse()
                if order in ("BADC", "DCBA"):
                    words = [word[::-1] for word in words]
                raw = b"".join(words)
            points.append({"register": 20 + len(memory) // 2, "type": kind, "order": order, **more})
            values.append(value)
            memory += raw
    return points, values, memory


BITS = "1011001110001111000011111" * 4
POINTS, VALUES, MEMORY = all_values()


@asynccontextmanager
async def process(*command: str | Path) -> AsyncIterator[int]:
    """A device in a process of its own, that prints the port it listens on."""
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=HERE)
    assert child.stdout is not None
    try:
        yield int(await child.stdout.readline())
    finally:
        child.kill()
        await child.wait()
        # The pipe's transport closes itself one turn after its child.
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def libmodbus_slave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("libmodbus") / "slave"
    source = HERE / "modbus" / "slave.c"
    subprocess.run(["gcc", "-O1", "-o", program, source, "-lmodbus"], check=True)
    return program


async def check_device(where: int | str, areas: Sequence[str] = ("holding", "input")) -> None:
    """Poll a device that holds `MEMORY` from register 20 and `BITS` from bit 7, at a port or a URL."""
    url = f"modbus+tcp://127.0.0.1:{where}" if isinstance(where, int) else where
    channel = open_channel(system_env(), ChannelSettings("c1", url))
    channel.open()
    await channel.settled()
    try:
        driver = ModbusDriver()
        for area in areas:
            device = make(*({**point, "area": area} for point in POINTS), timeout_s=5)
            plan = driver.plan(device)
            assert len(plan.layout.requests) == 1
            block = await driver.read(channel, device, plan)
            assert block.quality is None
            assert [r.raw for r in readings(block, device.table)] == VALUES
        for area in ("coil", "discrete"):
            bits = ({"register": 7 + i, "area": area, "type": "bool"} for i in range(len(BITS)))
            device = make(*bits, timeout_s=5)
            block = await driver.read(channel, device, driver.plan(device))
            assert [r.raw for r in readings(block, device.table)] == [bit == "1" for bit in BITS]
        assert channel.counters.stale == channel.counters.timeouts == 0
    finally:
        await channel.close()


@pytest.mark.peer("gcc", "libmodbus")
async def test_a_device_on_libmodbus(libmodbus_slave: Path) -> None:
    async with process(libmodbus_slave, f"20:{MEMORY.hex()}", f"7:{BITS}") as port:
        await check_device(port)


@pytest.mark.peer("gcc", "libmodbus")
async def test_libmodbus_refuses_what_it_does_not_have(libmodbus_slave: Path) -> None:
    async with process(libmodbus_slave, "20:0001", "7:1") as port:
        url = f"modbus+tcp://127.0.0.1:{port}"
        channel = open_channel(system_env(), ChannelSettings("c1", url))
        channel.open()
        await channel.settled()
        driver = ModbusDriver()
        # 498 and 499 are there, 500 and on are not; the request crosses the hole at 501.
        device = make({"register": 20}, {"register": 499}, {"register": 502}, timeout_s=5)
        plan = driver.plan(device)
        block = await driver.read(channel, device, plan)
        assert plan.splits == 1
        assert [(r.value, r.status & 0xFF) for r in readings(block, device.table)] == [
            (1, 0), (0, 0), (None, 2)
        ]  # fmt: skip
        await channel.close()


@pytest.mark.peer("node", "modbus-serial")
async def test_a_device_on_npm_modbus_serial() -> None:
    node = shutil.which("node")
    assert node is not None
    script = HERE / "modbus" / "slave.js"
    async with process(node, script, f"20:{MEMORY.hex()}", f"7:{BITS}") as port:
        await check_device(port)


async def test_a_device_on_pymodbus() -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    words = list(struct.unpack(f">{len(MEMORY) // 2}H", MEMORY))
    bits = [bit == "1" for bit in BITS]
    registers = [SimData(20, values=words, datatype=DataType.REGISTERS)]
    coils = [SimData(7, values=bits, datatype=DataType.BITS)]
    device = SimDevice(1, simdata=(coils, coils, registers, registers))
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        await check_device(server.transport.sockets[0].getsockname()[1])
    finally:
        await server.shutdown()
