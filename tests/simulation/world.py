"""A whole gateway, its devices, its broker and its platform in virtual time, with faults drawn from a seed.

    outcome = simulate(seed=7, minutes=10, folder=tmp_path)
    assert outcome.good, outcome.words

Real: the gateway from its site file on, the Modbus driver, the spool and `state.db` on a real disk, the
native uplink's session, the receiver and its database. Of this world: time, wires, the broker, the
devices. A killed gateway leaves behind what lay on its disk at that instant, in a copy from which the
next one starts; power cuts and torn writes are the business of `tests/crash`.

The same seed gives the same faults at the same virtual times and the same readings: `Outcome.trace`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

from simulation.broker import Broker
from simulation.disk import Disk
from simulation.gauge import PROFILE, Gauge, truth
from simulation.network import Host, Network

from headgate.app import Gateway
from headgate.crypto.certs import write_development_pki
from headgate.crypto.provider import default_provider
from headgate.testing.env import WALL_US, LoopClock, fake_env, run
from headgate_plugins.mqtt.pauses import Pauses
from headgate_receiver.core import Core
from headgate_receiver.keys import load_keys
from headgate_receiver.service import Receiver
from headgate_receiver.sqlite import SqliteSink
from headgate_receiver.verify.judge import Verdict, judge
from headgate_receiver.verify.report import as_text
from headgate_receiver.verify.stored import open_stored
from headgate_receiver.verify.truth import read_truth

GATEWAY = "gate-7"
INTERVALS_S = (1.0, 1.0, 2.5, 0.5)
#: When everything works again, all of a backlog must be there within this.
DRAINED_S = 3600.0
#: Long enough for a platform to ask again for what it misses, when earlier asks were lost in the storm.
QUIET_S = 400
LATE_S = 5.0

_SITE = """\
schema = 1

[gateway]
id = "{gateway}"

[state]
folder = "state"
segment = "256KiB"
ballast = "0B"

[metrics]
listen = "off"

[identity]
certificate = "{pki}/gateways/{gateway}.crt"
key = "file:{pki}/gateways/{gateway}.key"
ca = "{pki}/ca.crt"
platform_encryption = "{pki}/platform-encryption.crt"
platform_receipt = "{pki}/platform-receipt.crt"

[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
"""
_DEVICE = """
[[channel]]
id = "line-{number}"
url = "modbus+tcp://127.0.0.1:150{number}"
timeout = "800ms"
reconnect_max = "20s"

[[device]]
id = "gauge-{number}"
channel = "line-{number}"
address = 1
profile = "simulated/gauge"
interval = "{interval}s"
"""


@dataclass(frozen=True)
class Outcome:
    """What was judged, and a digest of all that happened and was stored."""

    verdict: Verdict
    words: str
    trace: str
    events: list[tuple[float, str, str]]

    @property
    def good(self) -> bool:
        """Every answer is stored once and unchanged; what was due and is not there lies in a gap."""
        counts = self.verdict.counts
        return self.verdict.good and counts["stored"] > 0


class BoxClock(LoopClock):
    """A box's clock: it may be wrong, and each boot counts from anew."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._began_s = 0.0
        self.error_s = 0.0

    def reboot(self) -> None:
        """Switched off and on: another boot, boottime from its beginning."""
        self.boot = self._chance.randbytes(16)
        self.now_us = 12_000_000  # what a box needs before its services start
        self._began_s = asyncio.get_running_loop().time()

    def boottime_us(self) -> int:
        passed_s = asyncio.get_running_loop().time() - self._began_s
        return self.now_us + round(passed_s * 1_000_000)

    def wall_us(self) -> int:
        return WALL_US + round((asyncio.get_running_loop().time() + self.error_s) * 1_000_000)


class World:
    """Everything there is, and the ways in which it can go wrong."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.folder = folder
        self.events: list[tuple[float, str, str]] = []
        self.loop = asyncio.get_running_loop()
        self.clock = BoxClock(random.Random(seed + 1))
        self.gauges = [
            Gauge(f"gauge-{number}", self.wall_s, random.Random(seed + 3 + number).random)
            for number in range(len(INTERVALS_S))
        ]
        self.hosts = {
            1500 + n: Host(gauge.line, partial(random.Random(seed + 50 + n).uniform, 0.0005, 0.01))
            for n, gauge in enumerate(self.gauges)
        }
        self.broker = Broker(random.Random(seed + 100), self.note)
        self.disk = Disk()
        self.network: Network | None = None
        self.gateway: Gateway | None = None
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._dying: list[asyncio.Task[None]] = []
        self._life = 0
        self._receiver: asyncio.Task[None] | None = None
        self._sink: SqliteSink | None = None
        (folder / "box-0").mkdir()
        (folder / "profiles" / "simulated" / "gauge").mkdir(parents=True)
        (folder / "profiles" / "simulated" / "gauge" / "profile.toml").write_text(PROFILE)
        self.store = folder / "platform.db"
        write_development_pki(
            folder / "pki",
            [GATEWAY],
            now=datetime.fromtimestamp(WALL_US / 1e6 - 86_400, UTC),
            provider=default_provider(),
            files=self.disk,
        )

    def note(self, what: str, whom: str = "") -> None:
        """A line of the trace."""
        self.events.append((round(self.loop.time(), 6), what, whom))

    def wall_s(self) -> float:
        """The right time."""
        return WALL_US / 1e6 + self.loop.time()

    # ------------------------------------------------------------ the box

    @property
    def box(self) -> Path:
        """The folder of the gateway that runs, or ran last."""
        return self.folder / f"box-{self._life}"

    async def start(self, *, devices: bool = True) -> None:
        """Start a gateway on what the last one left."""
        site = _SITE.format(gateway=GATEWAY, pki=self.folder / "pki")
        if devices:
            site += "".join(
                _DEVICE.format(number=number, interval=interval)
                for number, interval in enumerate(INTERVALS_S)
            )
        (self.box / "site.toml").write_text(site)
        self.network = Network(self.hosts)
        seed = self.chance.getrandbits(32)  # no two starts may draw the same epoch
        env = fake_env(self.clock, files=self.disk, net=self.network, seed=seed)
        self._stop = asyncio.Event()
        self.gateway = Gateway(env, self.box / "site.toml", [self.folder / "profiles"])
        self._running = asyncio.create_task(self._live(self.gateway, self._stop))
        await asyncio.sleep(0.3)  # an interpreter and its imports
        self.note("gateway starts", str(self._life))
        ready = asyncio.create_task(self.gateway.ready.wait())
        await asyncio.wait((ready, self._running), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._running.done():
            await self._running

    async def _live(self, gateway: Gateway, stop: asyncio.Event) -> None:
        await gateway.run(stop)

    def kill(self) -> None:
        """As kill -9: the disk is as it is, the wires are dead, the memory is gone."""
        assert self._running is not None and self.network is not None
        self.note("gateway killed", str(self._life))
        corpse, self._life = self.box, self._life + 1
        shutil.copytree(corpse, self.box)
        self.network.unplug()
        self.broker.drop(GATEWAY)
        self._stop.set()  # it cleans up in a folder that nobody will look at again
        self._dying.append(self._running)
        self._running = None

    async def stop(self) -> None:
        """As an administrator would."""
        assert self._running is not None
        self.note("gateway stops", str(self._life))
        self._stop.set()
        await self._running
        self._running = None

    @property
    def alive(self) -> bool:
        """Whether a gateway runs."""
        return self._running is not None

    # ------------------------------------------------------------ the platform

    def start_platform(self) -> None:
        """A receiver on the store as it is."""
        from headgate.mqtt import Settings

        env = fake_env(LoopClock(), files=self.disk, seed=self.seed + 7)
        keys, anchors = load_keys(self.folder / "pki", default_provider(), self.disk)
        self._sink = SqliteSink(self.store, self.disk)

        def now() -> datetime:
            return datetime.fromtimestamp(self.wall_s(), UTC)

        core = Core(default_provider(), self._sink, keys, anchors, now)
        settings = Settings(host="127.0.0.1", identifier="platform")
        receiver = Receiver(env, core, self._sink, keys, settings, resend_after_s=1.0)
        self._receiver = asyncio.create_task(receiver.run())
        self.note("platform starts")

    async def kill_platform(self) -> None:
        """It is gone between two of its commits."""
        assert self._receiver is not None and self._sink is not None
        self.broker.drop("platform")
        self._receiver.cancel()
        with suppress(asyncio.CancelledError):
            await self._receiver
        self._sink.close()
        self._receiver = None
        self.note("platform killed")

    # ------------------------------------------------------------ the end

    async def settle(self) -> None:
        """Everything works again: wait until the platform has all there is."""
        self.heal()
        if self._receiver is None:
            self.start_platform()
        if self.alive:
            await self.stop()
        await self.start(devices=False)
        assert self.gateway is not None
        self.note("draining")
        deadline = self.loop.time() + DRAINED_S
        quiet = 0
        while quiet < QUIET_S:
            assert self.loop.time() < deadline, f"not drained: {self.gateway.status()['uplinks']}"
            await asyncio.sleep(1.0)
            backlog = sum(each["outbox"]["records"] for each in self.gateway.status()["uplinks"])
            quiet = 0 if backlog else quiet + 1
        await self.stop()
        await self.kill_platform()
        await asyncio.gather(*self._dying, return_exceptions=True)

    def heal(self) -> None:
        """No fault is left."""
        self.broker.up, self.broker.mute, self.broker.wild = True, False, 0.0
        for host in self.hosts.values():
            host.dead = host.deaf = False
        for gauge in self.gauges:
            gauge.mood = "answer"
        self.disk.full = False
        self.clock.error_s = 0.0
        self.clock.state = ("synced", 1000)

    def judge(self) -> Outcome:
        """The truth of the gauges against the platform's table."""
        said = self.folder / "truth.jsonl"
        said.write_text(truth(self.gauges, self.seed, WALL_US / 1e6))
        zone = ZoneInfo("Asia/Shanghai")
        stored = open_stored(f"sqlite:{self.store}")
        with closing(stored):
            verdict = judge(read_truth(said), stored, late_s=LATE_S, zone=zone)
        digest = hashlib.sha256(repr(self.events).encode())
        digest.update(said.read_bytes())
        for row in _rows(self.store):
            digest.update(repr(row).encode())
        return Outcome(verdict, as_text(verdict, "en", zone), digest.hexdigest(), self.events)


def _rows(store: Path) -> Iterator[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as database:
        for table in ("readings", "gaps"):
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            kept = [n for n in names if n not in ("id", "record", "received_us", "boot", "point")]
            yield from database.execute(
                f"SELECT {', '.join(kept)} FROM {table} ORDER BY {', '.join(kept)}"
            )


def simulate(
    seed: int,
    minutes: float,
    folder: Path,
    trouble: Callable[[World, float], Any] | None = None,
) -> Outcome:
    """One afternoon of `minutes`, with faults of this seed (or those of `trouble`), and its judgement."""
    from simulation.faults import storm

    async def main() -> Outcome:
        world = World(seed, folder)
        with _in_this_world(world):
            world.start_platform()
            await world.start()
            await (trouble or storm)(world, minutes * 60)
            await world.settle()
        return world.judge()

    before = random.getstate()
    random.seed(seed)
    try:
        return run(main)
    finally:
        random.setstate(before)


@contextmanager
def _in_this_world(world: World) -> Iterator[None]:
    pauses = partial(Pauses, chance=random.Random(world.seed + 5))
    with (
        patch("headgate_plugins.mqtt.stay.connect", world.broker.connect),
        patch("headgate_plugins.mqtt.stay.Pauses", pauses),
        patch("headgate_receiver.service.connect", world.broker.connect),
    ):
        yield
