"""A pump station that a platform commands, all of it real: PLC, gateway, broker, receiver, and an operator.

The judge is the station's own log of writes. Everything is a child process, so that anything can be killed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.cli.demo.child import Child
from headgate.cli.demo.road import GATEWAY, Road
from headgate.cli.demo.simulator import Simulator
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.x509 import Certificate, load_certificates
from headgate.env import SystemFiles, system_env
from headgate.mqtt import Link, Message, Settings, connect
from headgate_receiver.commands import (
    CommandError,
    Commands,
    Journal,
    Standing,
    Wish,
    load_operator,
)
from headgate_receiver.commands.results import SqliteResults
from headgate_receiver.commands.road import BrokerRoad
from headgate_simulators.writes import read_writes

#: A loaded machine is not a fault of the code.
PATIENCE_S = 40.0
DOWN = f"headgate/v1/{GATEWAY}/down/command"

MODBUS = """
[controls]
token = "60s"

[[control]]
device = "ps-001"
point = "pump2_run"
on_lease_end = "auto"
auto_point = "pump2_auto"
feedback = "pump2_running"
feedback_within = "2s"
remote_when = "{ps-001/remote} == 1"

[[control]]
device = "ps-001"
point = "gate_setpoint"
on_lease_end = "auto"
auto_point = "gate_auto"
min = 10.0
max = 90.0
people = 2
remote_when = "{ps-001/remote} == 1"

[[control]]
device = "ps-001"
point = "alarm_level"
on_lease_end = "hold"
min = 1.0
max = 4.0
max_step = 1.0

[[heartbeat]]
device = "ps-001"
point = "heartbeat"
every = "200ms"
"""
OPCUA = """
[controls]
token = "60s"

[[control]]
device = "ps-001"
point = "pump2_run"
on_lease_end = "auto"
auto_point = "pump2_auto"
feedback = "pump2_running"
feedback_within = "10s"
remote_when = "{ps-001/remote} == 1"
"""


class CommandRoad(Road):
    """The road with one pump station where the gauges were, and controls on its site."""

    def __init__(
        self, folder: Path, controls: str = MODBUS, *options: str, modbus: bool = True
    ) -> None:
        self.writes_file = folder / "writes.jsonl"
        command = ["pump-station", "--bind", "127.0.0.1:0", "--speed", "20"]
        command += ["--modbus"] if modbus else ["--cycle", "0.1"]
        command += ["--writes", str(self.writes_file), *options]
        super().__init__(folder, field=[Simulator("pumps", command, folder)])
        self.provider = default_provider()
        self._controls = controls

    async def start_gateway(self) -> None:
        """With its controls."""
        (self.folder / "site.d" / "controls.toml").write_text(self._controls, encoding="utf-8")
        await super().start_gateway()
        async with asyncio.timeout(PATIENCE_S):
            while True:  # the receiver makes its store as it begins
                try:
                    SqliteResults(self.store, SystemFiles()).close()
                    break
                except CommandError:
                    await asyncio.sleep(0.02)

    async def _end(self) -> None:
        # What they would put in order nobody looks at; the judge's log is on disk already.
        await asyncio.gather(*(child.kill() for child in self.children))

    async def tell(self, **command: Any) -> None:
        """Something goes wrong at the station, or somebody stands there."""
        await self.field[0].tell(command)

    # ------------------------------------------------------------ the judge

    def writes(self, *names: str) -> list[tuple[str, Any]]:
        """What reached the station: point and value; without names, all but heartbeats."""
        return [
            (line["name"], line["value"])
            for line in read_writes(self.writes_file)
            if (line["name"] in names if names else not line["name"].lower().endswith("heartbeat"))
        ]

    async def written(self, wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The first write that is `wanted`, as soon as it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for line in read_writes(self.writes_file):
                    if wanted(line):
                        return line
                await asyncio.sleep(0.02)

    async def stored(self, point: str, *, value: Any) -> None:
        """Return when the newest value of a point of the station in the platform's store is this one."""
        results = SqliteResults(self.store, SystemFiles())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (
                    told := results.point(GATEWAY, "ps-001", point)
                ) is None or told.value != value:
                    await asyncio.sleep(0.05)
        finally:
            results.close()

    # ------------------------------------------------------------ people

    @property
    def broker_settings(self) -> Settings:
        """How anybody reaches the broker."""
        return Settings(host="127.0.0.1", port=self.broker.port, version=self.broker.version)

    @asynccontextmanager
    async def operator(
        self,
        name: str = "operator",
        journal: str = "",
        road: BrokerRoad | None = None,
        **options: Any,
    ) -> AsyncIterator[Commands]:
        """One program of one operator, on that operator's journal."""
        env = system_env()
        kept = Journal(self.folder / f"{journal or name}.db", SystemFiles())
        results = SqliteResults(self.store, SystemFiles())
        keys = load_operator(self.folder / "pki" / f"{name}.key", None, self.provider, env.files)
        anchors = load_certificates((self.folder / "pki" / "ca.crt").read_bytes())
        way = road or BrokerRoad(env, self.broker_settings, patience_s=PATIENCE_S)
        try:
            async with Commands(
                env, self.provider, keys, anchors, kept, way,
                results=results, look_s=0.05, **{"answer_s": PATIENCE_S, **options},
            ) as commands:  # fmt: skip
                yield commands
        finally:
            results.close()
            kept.close()

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Link]:
        """Somebody at the broker who may write and hear everything."""
        async with connect(self.broker_settings) as link:
            yield link

    @asynccontextmanager
    async def overheard(self) -> AsyncIterator[list[Message]]:
        """What a hostile subscriber has heard of all commands."""
        heard: list[Message] = []
        async with connect(self.broker_settings) as link:
            await link.subscribe(DOWN)

            async def listen() -> None:
                async for message in link.messages():
                    heard.append(message)  # noqa: PERF401 - as they come, for whoever looks meanwhile

            listening = asyncio.create_task(listen())
            try:
                yield heard
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def refused(self) -> dict[str, int]:
        """How many commands the gateway has refused since its start, by code."""
        status = await self.ask("status")
        return dict(status["commands"]["refused"]) if status is not None else {}

    async def judged(self, count: int) -> dict[str, int]:
        """As `refused`, once there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while sum((found := await self.refused()).values()) < count:
                await asyncio.sleep(0.05)
        return found

    def party(self, name: str) -> tuple[Sm2PrivateKey, Certificate]:
        """A key and its certificate, from the folder of this road's PKI."""
        stem = self.folder / "pki" / name
        key = self.provider.sm2_load_private(stem.with_suffix(".key").read_bytes())
        return key, Certificate.load(stem.with_suffix(".crt").read_bytes())


class Terminal:
    """`headgate command` at an operator's desk, as processes."""

    def __init__(self, road: CommandRoad, name: str = "operator") -> None:
        self.road, self.name = road, name
        self.file = road.folder / f"{name}.toml"
        self.file.write_text(
            f'key = "pki/{name}.key"\nca = "pki/ca.crt"\nbroker = "{road.broker.url}"\n'
            f'journal = "{name}-desk.db"\nstore = "sqlite:{road.store.name}"\nanswer_s = {PATIENCE_S}\n'
        )
        self._count = 0

    def child(self, *words: str) -> Child:
        """One call, not started yet."""
        self._count += 1
        log = self.road.folder / f"{self.name}-{self._count}.log"
        return Child.headgate("desk", ["command", *words, "--operator", str(self.file)], log)

    async def run(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Exit status, and the lines of `--format json`."""
        child = self.child(*words, "--format", "json")
        await child.start()
        status = await child.wait()
        lines = child.log.read_text().splitlines()
        return status, [json.loads(line) for line in lines if line.startswith("{")]


def wish(point: str = "pump2_run", value: Any = True, lease_s: int = 600, unit: str = "1") -> Wish:
    """Something that the station's controls allow."""
    return Wish(GATEWAY, "ps-001", point, value, unit, lease_s)


async def carried_out(commands: Commands, wanted: Wish, *approvals: bytes) -> Standing:
    """Select, operate, and how it ended."""
    command = commands.draft(wanted).command
    await commands.select(command)
    await commands.operate(command, approvals)
    return await commands.settled(command, PATIENCE_S)
