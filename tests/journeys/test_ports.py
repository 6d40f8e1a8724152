"""What listens in a gateway is exactly what its site file names and the page of ports lists."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from peers.mosquitto import free_port

from headgate.cli.client import call
from headgate.errors import HeadgateError
from headgate.runtime import plugins

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "ports.md"
MAIN = "from headgate.cli import main; main()"
HEAD = 'schema = 1\n[gateway]\nid = "g"\n[state]\nfolder = "state"\nballast = "0B"\n'
#: /proc/net/tcp: the state of a socket that listens, and of a datagram socket that is bound to no peer.
LISTEN, UNCONNECTED = "0A", "07"

pytestmark = pytest.mark.timeout(120)


def listening(pid: int) -> set[str]:
    """`tcp 127.0.0.1:9469` and `unix PATH` of every socket of a process that others can come to."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
        except FileNotFoundError:
            continue
        if match:
            inodes.add(match[1])
    found = set()
    for kind, state in (
        ("tcp", LISTEN),
        ("tcp6", LISTEN),
        ("udp", UNCONNECTED),
        ("udp6", UNCONNECTED),
    ):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state and words[9] in inodes:
                address, _, port = words[1].partition(":")
                found.add(f"{kind} {'any' if not int(address, 16) else address}:{int(port, 16)}")
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        accepts = int(words[3], 16) & 0x10000  # __SO_ACCEPTCON
        if words[6] in inodes and accepts:
            found.add(f"unix {words[7] if len(words) > 7 else ''}")
    return found


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, "run", str(folder),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(_answers, folder / "state" / "headgate.sock"):
                assert process.returncode is None, "it did not start"
                await asyncio.sleep(0.1)
        yield process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _answers(path: Path) -> bool:
    try:
        return bool(next(call(path, "status")))
    except HeadgateError:
        return False


async def settled(pid: int, wanted: set[str]) -> set[str]:
    """What listens, once all of it does."""
    async with asyncio.timeout(30):
        while not wanted <= (found := await asyncio.to_thread(listening, pid)):
            await asyncio.sleep(0.1)
    return found


LOOPBACK = "0100007F"


async def test_a_bare_gateway_listens_on_its_socket_and_on_loopback_for_metrics(
    tmp_path: Path,
) -> None:
    port = free_port()
    (tmp_path / "site.toml").write_text(f'{HEAD}[metrics]\nlisten = "127.0.0.1:{port}"\n')
    wanted = {f"unix {tmp_path}/state/headgate.sock", f"tcp {LOOPBACK}:{port}"}
    async with running(tmp_path) as pid:
        assert await settled(pid, wanted) == wanted
    (tmp_path / "site.toml").write_text(f'{HEAD}[metrics]\nlisten = "off"\n')
    wanted = {f"unix {tmp_path}/state/headgate.sock"}
    async with running(tmp_path) as pid:
        assert await settled(pid, wanted) == wanted


async def test_every_listener_of_a_site_is_there_and_nothing_else_is(tmp_path: Path) -> None:
    metrics, dial_in, dead = free_port(), free_port(), free_port()
    (tmp_path / "site.toml").write_text(
        f"""{HEAD}[metrics]
listen = "127.0.0.1:{metrics}"
[[channel]]
id = "dtu-1"
url = "modbus+dtu+listen://127.0.0.1:{dial_in}?registration=HG0001"
[[channel]]
id = "dtu-2"
url = "modbus+dtu+listen://127.0.0.1:{dial_in}?registration=HG0002"
[[channel]]
id = "line"
url = "modbus+udp://127.0.0.1:{dead}"
[[device]]
id = "d1"
channel = "dtu-1"
address = 1
profile = "generic/temperature-humidity"
[[device]]
id = "d2"
channel = "dtu-2"
address = 1
profile = "generic/temperature-humidity"
[[device]]
id = "d3"
channel = "line"
address = 1
profile = "generic/temperature-humidity"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:{dead}"
"""
    )
    wanted = {
        f"unix {tmp_path}/state/headgate.sock", f"tcp {LOOPBACK}:{metrics}", f"tcp {LOOPBACK}:{dial_in}",
    }  # fmt: skip
    async with running(tmp_path) as pid:
        assert await settled(pid, wanted) == wanted


def test_every_kind_of_channel_that_listens_is_on_the_page() -> None:
    page = PAGE.read_text()
    schemes = {s for driver in plugins.load().drivers.values() for s in driver.schemes}
    listening_ones = {scheme for scheme in schemes if "listen" in scheme}
    assert "modbus+dtu+listen" in listening_ones
    for scheme in listening_ones:
        family = "...+listen+udp" if scheme.endswith("+udp") else "...+listen"
        assert scheme in page or family in page, scheme
