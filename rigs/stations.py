"""Stations dial a gateway whose power is cut: before its commit, and between commit and confirmation.

Stations, broker and platform run on this machine, the gateway in the guest, its state on a disk of its own.
After each cut it boots again, the stations say again what was not confirmed to them, and in the end the
platform must hold every report that was confirmed once: the stations' own log is the judge.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rigs.kernel import BUILD, ROOT, Kernel, need, prepared
from rigs.machine import Machine
from rigs.verdict import Seen, Verdict

sys.path.insert(0, str(ROOT / "tests"))

from kit.hydro import StationRoad, judge

from headgate.cli.demo import road as demo
from headgate.cli.demo.child import Child

# A guest that is translated, instruction by instruction, takes its time to come up.
demo.READY_S = 400.0

MODULES = ("virtio_blk", "virtio_net", "crc32c_generic", "ext4")
DISK_BYTES = 256 << 20
BOOT_S = 240.0
_AGAIN_S = 30.0
#: Stations have a real minute's time here: the guest is slow.
HABITS = (
    "--speed", "60", "--every", "60", "--hourly", "600", "--keep-alive", "5", "--answer", "4",
    "--redial", "0.5",
)  # fmt: skip


class PoweredRoad(StationRoad):
    """The road whose gateway is a machine with a power plug."""

    def __init__(self, folder: Path, kernel: Kernel, disk: Path, flush: str) -> None:
        super().__init__(folder, *HABITS, count=5)
        self._kernel, self._disk, self._flush = kernel, disk, flush
        self._machine: Machine | None = None
        self._listening: asyncio.Task[None] | None = None
        self._site_made = False
        #: What the next start is told: where its power will be cut, and after how many deliveries.
        self.cut_when, self.cut_after = "never", 0
        self.up, self.cut_now = asyncio.Event(), asyncio.Event()
        self.status: dict[str, Any] = {}

    @property
    def children(self) -> tuple[Child, ...]:
        return tuple(each for each in super().children if each is not self.gateway)

    async def start_gateway(self) -> None:
        """Power on; return when it listens."""
        if not self._site_made:
            self._make_site()
            self._site_made = True
        self.up, self.cut_now, self.status = asyncio.Event(), asyncio.Event(), {}
        told = {
            "RIG_SITE": str(self.folder / "site.toml"), "RIG_CUT": self.cut_when,
            "RIG_AFTER": str(self.cut_after), "RIG_FLUSH": self._flush,
        }  # fmt: skip
        self._machine = Machine(
            self._kernel, "stations", MODULES, disk=self._disk, told=told, memory_mb=1024,
            forward=self.dialled,
        )  # fmt: skip
        await self._machine.__aenter__()
        self._listening = asyncio.create_task(self._listen(self._machine), name="console")
        up = asyncio.create_task(self.up.wait(), name="up")
        async with asyncio.timeout(BOOT_S):
            await asyncio.wait({up, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not self.up.is_set():
            raise TimeoutError("the gateway does not start")

    def _make_site(self) -> None:
        """As the guest sees it: our loopback has another address there, and the state lies on its disk."""
        changes = {
            self.folder / "site.toml": [
                ('folder = "state"', 'folder = "/mnt/disk/state"'),
                ('socket = "gateway.sock"', 'socket = "/run/gateway.sock"'),
                ("mqtt://127.0.0.1", "mqtt://10.0.2.2"),
                ('timeout = "2s"', 'timeout = "10s"'),
            ],
            next((self.folder / "site.d").glob("*.toml")): [("//127.0.0.1", "//0.0.0.0")],
        }
        for path, pairs in changes.items():
            text = path.read_text("utf-8")
            for before, after in pairs:
                text = text.replace(before, after)
            path.write_text(text, "utf-8")

    async def _listen(self, machine: Machine) -> None:
        async for line in machine.lines():
            word, _, rest = line.partition(" ")
            if word == "STATUS":
                with suppress(ValueError):
                    self.status = json.loads(rest)
                    if self.status["state"] == "up":
                        self.up.set()
            elif word in ("RECEIVED", "COMMITTED"):
                self.cut_now.set()

    async def cut(self) -> None:
        """The power is gone."""
        if self._machine is not None:
            await self._machine.cut()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)
        self._machine = self._listening = None

    async def drained(self) -> bool:
        """Whether the platform has said of everything that it is stored."""
        return bool(self.status) and not self.status["records"] and not self.status["waiting"]

    async def finish(self, within_s: float) -> bool:
        """Everything has arrived; then the power goes for good."""
        async with asyncio.timeout(within_s):
            for _ in range(3):
                self.status = {}
                while not await self.drained():
                    await asyncio.sleep(0.2)
        await self._end()
        return True

    async def _end(self) -> None:
        await self.cut()
        await super()._end()


async def run(rounds: int, seed: int, flush: str = "on") -> bool:
    """`rounds` cuts of each kind, then everything is let through and judged.

    With `flush` off the guest's program does not flush what stations say: the counter-proof, which must end
    in WRONG.
    """
    need({"mkfs.ext4": "e2fsprogs", "mosquitto": "mosquitto"})
    kernel = prepared()
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "stations.log").unlink(missing_ok=True)
    disk = BUILD / "stations.img"
    with disk.open("wb") as image:
        image.truncate(DISK_BYTES)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", disk], check=True)
    cuts = [when for _ in range(rounds) for when in ("received", "committed")]
    print(f"kernel {kernel.version}, ext4, {len(cuts)} cuts, seed {seed}", flush=True)
    verdict = Verdict((*dict.fromkeys(cuts), "again", "missing", "doubled", "changed"))
    with tempfile.TemporaryDirectory(prefix="road-", dir=BUILD) as folder:
        road = PoweredRoad(Path(folder), kernel, disk, flush)
        try:
            await _all(road, verdict, cuts, random.Random(seed))
        except TimeoutError:
            return verdict.close(f"it did not come so far in time; see {BUILD / 'stations.log'}")
    disk.unlink()
    return verdict.close()


async def _all(
    road: PoweredRoad, verdict: Verdict, cuts: Sequence[str], rng: random.Random
) -> None:
    road.cut_when, road.cut_after = cuts[0], rng.randint(10, 40)
    resends = 0
    async with road:
        for turn, when in enumerate(cuts):
            async with asyncio.timeout(BOOT_S):
                await road.cut_now.wait()
            await road.cut()
            await asyncio.sleep(0.5)
            told = f"cut {turn + 1}, {road.confirmed} reports confirmed by then"
            verdict.add(Seen(when, True, told))
            road.cut_when = (*cuts, "never")[turn + 1]
            road.cut_after = rng.randint(10, 40)
            await road.start_gateway()
            before = road.confirmed
            async with asyncio.timeout(BOOT_S):
                # Each start must bring stations forward, or cuts would only ever hit the first report.
                while road.confirmed == before and not road.cut_now.is_set():
                    await asyncio.sleep(0.2)
                # What was committed and not confirmed is said again soon, or was lost: the end will tell.
                until = asyncio.get_running_loop().time() + (_AGAIN_S if when == "committed" else 0)
                while (
                    asyncio.get_running_loop().time() < until
                    and not road.status.get("tally", {}).get("resends")
                    and not road.cut_now.is_set()
                ):
                    await asyncio.sleep(0.2)
            resends += road.status.get("tally", {}).get("resends", 0)
        verdict.add(Seen("again", resends > 0, f"{resends} said again and known to be on disk"))
        await road.all_confirmed(BOOT_S)
        await road.finish(BOOT_S)
        found = judge(road.truth, road.store)
    for name in ("missing", "doubled", "changed"):
        wrong = getattr(found, name)
        verdict.add(
            Seen(name, not wrong, f"{len(wrong)} of {found.readings} readings {wrong[:3] or ''}")
        )
    print(f"  {found.reports} reports told, {found.unconfirmed} of them unconfirmed", flush=True)
