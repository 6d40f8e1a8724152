"""A whole gateway on lines that are not Ethernet: a shared serial bus, and a DTU that dials in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "unit" / "channels"), str(ROOT / "peers")]

from ptybus import pty_pair  # noqa: E402
from test_modbus_devices import libmodbus_slave, process  # noqa: E402

from headgate.app import Gateway  # noqa: E402
from headgate.cli.client import call  # noqa: E402
from headgate.env import system_env  # noqa: E402

__all__ = ["libmodbus_slave"]

PROFILE = """\
schema = 1
vendor = "test"
model = "probe"
driver = "modbus"
source = "made up"

[[point]]
name = "level"
unit = "mm"
type = "uint16"
register = 20
access = "rw"
range = [0, 60000]
"""
SITE = """\
schema = 1
[gateway]
id = "hg-test"
[state]
folder = "state"
max_loss = "50ms"
ballast = "0B"
[metrics]
listen = "off"
[[channel]]
id = "bus"
url = "{url}"
timeout = "200ms"
retries = 1
reconnect_min = "20ms"
reconnect_max = "50ms"
"""
DEVICE = """\
[[device]]
id = "probe-{unit}"
channel = "bus"
address = {unit}
profile = "test/probe"
interval = "{interval}"
{more}
"""


@asynccontextmanager
async def running(folder: Path, url: str, *devices: str) -> AsyncIterator[Gateway]:
    (folder / "profiles" / "test" / "probe").mkdir(parents=True)
    (folder / "profiles" / "test" / "probe" / "profile.toml").write_text(PROFILE)
    (folder / "site.toml").write_text(SITE.format(url=url) + "".join(devices))
    gateway = Gateway(system_env(), folder / "site.toml", [folder / "profiles"])
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    ready = asyncio.create_task(gateway.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        task.result()
    try:
        yield gateway
    finally:
        stop.set()
        await task


def device(unit: int, interval: str = "100ms", more: str = "") -> str:
    return DEVICE.format(unit=unit, interval=interval, more=more)


def health(gateway: Gateway, name: str) -> dict[str, Any]:
    return next(d for d in gateway.status()["devices"] if d["device"] == name)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def ask(folder: Path, name: str, **arguments: Any) -> list[Any]:
    return await asyncio.to_thread(
        lambda: list(call(folder / "state" / "headgate.sock", name, **arguments))
    )


@pytest.mark.peer("gcc", "libmodbus")
async def test_a_shared_bus_with_a_dead_unit_is_polled_written_and_survives_its_plug(
    libmodbus_slave: Path, tmp_path: Path
) -> None:
    with pty_pair(tmp_path) as (ours, theirs):
        # libmodbus takes what follows a neighbour's request for that neighbour's answer, and so goes
        # deaf beside a dead one. Most units do not.
        ours.heard = lambda data: theirs.say(data) if data[0] == 1 else None
        async with process(libmodbus_slave, "20:1388", "0:0", str(theirs.path)):
            url = f"modbus+rtu://{ours.path}?baud=115200"
            units = [device(1), device(2, more='line = "57600"')]
            async with running(tmp_path, url, *units) as gateway:
                await until(lambda: health(gateway, "probe-1")["good"] >= 5)
                # Nobody has address 2: it is left alone, and the other goes on.
                await until(lambda: health(gateway, "probe-2")["state"] == "quarantined")
                asked = {"device": "probe-1", "point": "level", "value": 4711}
                [done] = await ask(tmp_path, "write", **asked, confirmed=True)
                assert done["kept"]
                found = await ask(tmp_path, "discover", channel="bus", units="1-3", timeout_s=0.2)
                assert 1 in {one["unit"] for one in found if "profiles" in one}
                ours.pull()
                await until(lambda: health(gateway, "probe-1")["state"] == "line-down")
                ours.plug()
                good = health(gateway, "probe-1")["good"]
                await until(lambda: health(gateway, "probe-1")["good"] > good + 3)
                [looked] = await ask(tmp_path, "read", device="probe-1")
                assert [r["value"] for r in looked["readings"]] == [4711]


@pytest.mark.peer("gcc", "libmodbus")
async def test_a_site_with_a_dtu_is_polled_when_it_dials_in(
    libmodbus_slave: Path, tmp_path: Path
) -> None:
    url = "modbus+dtu+listen://127.0.0.1:0?registration=D1&framing=tcp"
    async with (
        process(libmodbus_slave, "20:1388", "0:0") as port,
        running(tmp_path, url, device(1)) as gateway,
    ):
        await until(lambda: health(gateway, "probe-1")["state"] == "line-down")
        line = gateway._field.line("bus")
        number: int = line.listening_on  # type: ignore[union-attr]
        near, far = await asyncio.gather(
            asyncio.open_connection("127.0.0.1", number),
            asyncio.open_connection("127.0.0.1", port),
        )

        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):
                writer.write(data)

        near[1].write(b"D1")
        copies = [
            asyncio.ensure_future(copy(near[0], far[1])),
            asyncio.ensure_future(copy(far[0], near[1])),
        ]
        await until(lambda: health(gateway, "probe-1")["good"] >= 5)
        for copying in copies:
            copying.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        for _, writer in (near, far):
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await until(lambda: health(gateway, "probe-1")["state"] == "line-down")


def test_check_says_what_a_bus_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "profiles" / "test" / "probe").mkdir(parents=True)
    (tmp_path / "profiles" / "test" / "probe" / "profile.toml").write_text(PROFILE)
    url = "modbus+rtu:///dev/serial/by-id/x?baud=1200"
    units = "".join(device(n, "1s") for n in range(1, 20)) + device(30, more='line = "2400 8E1"')
    (tmp_path / "site.toml").write_text(SITE.format(url=url) + units)
    done = subprocess.run(
        [sys.executable, "-c", "from headgate.cli import main; main()", "check", str(tmp_path),
         "--profiles", str(tmp_path / "profiles"), "--lang", "en"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[HG-3131]" in done.stdout
    assert "[HG-3132]" in done.stdout
    (tmp_path / "site.toml").write_text(SITE.format(url=url) + device(1, more='line = "8E"'))
    done = subprocess.run(
        [sys.executable, "-c", "from headgate.cli import main; main()", "check", str(tmp_path),
         "--profiles", str(tmp_path / "profiles"), "--lang", "en"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "device[1].line" in done.stdout
    assert "[HG-1116]" in done.stdout
