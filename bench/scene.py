"""A road to measure: fast devices, mosquitto, the gateway with SM4 and disk on, a platform that counts.

Every part is its own process on loopback; the gateway's CPU and memory are read from /proc.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.crypto.certs import write_development_pki
from headgate.crypto.provider import default_provider
from headgate.env import system_env

HERE = Path(__file__).parent
GATEWAY = "bench-1"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What is polled: so many devices of so many registers, every so often."""

    devices: int = 100
    registers: int = 100
    interval_ms: int = 1000
    tick_ms: int = 50
    depth: int = 1
    uvloop: bool = True
    #: The gateway alone on the first core, everybody else on the others: "one core", literally.
    pinned: bool = True

    @property
    def wanted(self) -> float:
        """Points per second that are due."""
        return self.devices * self.registers * 1000 / self.interval_ms


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scene:
    """All processes of one measurement; an async context manager that leaves nothing behind."""

    def __init__(self, load: Load, outage: bool = False) -> None:
        self.load = load
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-bench-"))
        self.port = free_port()
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.started = 0.0

    async def __aenter__(self) -> Scene:
        try:
            await self._devices()
            await self.start_broker()
            write_development_pki(
                self.folder / "certs", [GATEWAY], now=datetime.now(UTC),
                provider=default_provider(), files=system_env().files,
            )  # fmt: skip
            self._site()
            await self._platform()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in ("gateway", "platform", "broker", "devices"):
            await self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _spawn(self, name: str, *command: str, **more: Any) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(*self._place(name), *command, **more)
        self.processes[name] = process
        return process

    def _place(self, name: str) -> Sequence[str]:
        """What a command begins with so that it runs on its own core."""
        cores = sorted(os.sched_getaffinity(0))
        if not self.load.pinned or len(cores) < 2 or shutil.which("taskset") is None:
            return ()
        own, *others = map(str, cores)
        return ("taskset", "-c", own if name == "gateway" else ",".join(others))

    async def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End one process."""
        process = self.processes.pop(name, None)
        if process is not None and process.returncode is None:
            process.send_signal(number)
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()

    # ------------------------------------------------------------ parts

    async def _devices(self) -> None:
        program = self.folder / "modbus_devices"
        source = HERE / "sim" / "modbus_devices.c"
        compiler = shutil.which("cc") or shutil.which("gcc")
        count = str(self.load.devices)
        if compiler:
            build = await asyncio.create_subprocess_exec(
                compiler, "-O2", "-o", str(program), str(source)
            )
            if await build.wait():
                raise SystemExit("the fast devices do not compile")
            command = [str(program), "0", count]
        else:
            command = [sys.executable, "-m", "headgate_simulators.fast_modbus", "0", count]
        process = await self._spawn(
            "devices", *command, stdout=asyncio.subprocess.PIPE, limit=1 << 20
        )
        assert process.stdout is not None
        self.devices = json.loads(await process.stdout.readline())

    async def served(self) -> dict[str, Any]:
        """What the devices answered: sequence numbers handed out, by device."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.devices["stat_port"], limit=1 << 22
        )
        try:
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()

    async def start_broker(self) -> None:
        """Mosquitto without persistence: what is safe is safe by receipts, not by the broker."""
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SystemExit("the bench needs mosquitto (apt-get install mosquitto)")
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "set_tcp_nodelay true\nmax_inflight_messages 1000\nmax_queued_messages 100000\nlog_type none\n"
        )
        await self._spawn("broker", program, "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise SystemExit("mosquitto did not start")

    def _site(self) -> None:
        load = self.load
        profile = self.folder / "profiles" / "bench" / "block"
        profile.mkdir(parents=True)
        points = "".join(
            f'[[point]]\nname = "r{i:03}"\ntype = "uint16"\narea = "holding"\nregister = {i}\n'
            for i in range(load.registers)
        )
        (profile / "profile.toml").write_text(
            'schema = 1\nvendor = "bench"\nmodel = "block"\ndriver = "modbus"\nsource = "bench/sim"\n'
            'firmware_scheme = "exact"\naddress_base = 0\n'
            + points
            + '[[variant]]\nname = "any"\nwhen_unknown = true\n'
        )
        site = self.folder / "site"
        (site / "site.d").mkdir(parents=True)
        certs = self.folder / "certs"
        (site / "site.toml").write_text(
            f'schema = 1\n[gateway]\nid = "{GATEWAY}"\n'
            f'[state]\nfolder = "{self.folder}/state"\nmax_loss = "{load.tick_ms}ms"\n'
            f'[identity]\ncertificate = "{certs}/gateways/{GATEWAY}.crt"\n'
            f'key = "file:{certs}/gateways/{GATEWAY}.key"\nca = "{certs}/ca.crt"\n'
            f'platform_encryption = "{certs}/platform-encryption.crt"\n'
            f'platform_receipt = "{certs}/platform-receipt.crt"\n'
            '[metrics]\nlisten = "off"\n[log]\nlevel = "warning"\n'
            f'[[uplink]]\nid = "city"\ntype = "mqtt"\nurl = "mqtt://127.0.0.1:{self.port}"\n'
            'reconnect_min = "100ms"\nreconnect_max = "1s"\n'
        )
        entries = "".join(
            f'[[channel]]\nid = "c{i}"\nurl = "modbus+tcp://127.0.0.1:{port}"\ndepth = {load.depth}\n'
            f'[[device]]\nid = "d{i}"\nchannel = "c{i}"\naddress = 1\nprofile = "bench/block"\n'
            f'interval = "{load.interval_ms}ms"\nretries = 0\n'
            for i, port in enumerate(self.devices["ports"][: load.devices])
        )
        (site / "site.d" / "devices.toml").write_text(entries)

    def pace(self, rate: str) -> None:
        """Bound history to so much a second; before the gateway starts."""
        path = self.folder / "site" / "site.toml"
        text = path.read_text().replace("[state]\n", f'[state]\nhistory_rate = "{rate}"\n')
        path.write_text(text)

    async def _platform(self) -> None:
        process = await self._spawn(
            "platform", sys.executable, "-m", "bench.counting", str(self.port), str(self.folder / "certs"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
            cwd=str(HERE.parent),
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()

    async def ask_platform(self, what: str) -> dict[str, Any]:
        """Ask it to `begin` a window, or to `report` it."""
        process = self.processes["platform"]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(what.encode() + b"\n")
        await process.stdin.drain()
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        if not line:
            raise SystemExit("the counting end is gone: see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def start_gateway(self) -> None:
        """Start the gateway, uvloop or not."""
        self.started = time.monotonic()
        more = {} if self.load.uvloop else {"HEADGATE_UVLOOP": "off"}
        await self._spawn(
            "gateway", str(Path(sys.executable).parent / "headgate"), "run", str(self.folder / "site"),
            "--profiles", str(self.folder / "profiles"), env={**os.environ, **more},
        )  # fmt: skip

    # ------------------------------------------------------------ what the gateway costs

    def usage(self) -> tuple[float, float]:
        """(CPU seconds so far, resident MB now) of the gateway's process."""
        process = self.processes["gateway"]
        if process.returncode is not None:
            raise SystemExit("the gateway ended by itself: see above")
        pid = process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        resident = next(
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        return (int(fields[11]) + int(fields[12])) / TICKS, int(resident.split()[1]) / 1024

    def written(self) -> int:
        """Bytes that the gateway has had written to storage, whole pages, by the kernel's count (proc(5))."""
        pid = self.processes["gateway"].pid
        counted = Path(f"/proc/{pid}/io").read_text().split()
        return int(counted[counted.index("write_bytes:") + 1])
