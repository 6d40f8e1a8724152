"""A desk for commands over a plant of paper, in virtual time: every effect is seen, any may be the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.commands import GATEWAY, NOW_US, Operator, content
from kit.pki import Pki
from msgspec.structs import replace

from headgate import columns
from headgate.audit import Entry
from headgate.config import Control, Duration
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.envelope.answer import Answer, verify_answer
from headgate.envelope.command import Content, Operation
from headgate.envelope.signers import Trust
from headgate.errors import ChannelTimeout, DeviceRefused, SpoolError
from headgate.model import Access, Alarm, CommandResult, Item, Point, Quality, Reading, Value
from headgate.runtime.commands.desk import Desk, InForce
from headgate.runtime.commands.journal import Changes, Journal
from headgate.runtime.commands.local import Local
from headgate.runtime.commands.proving import Proof
from headgate.runtime.commands.resolving import resolve
from headgate.runtime.commands.telling import Signer, Teller
from headgate.sdk import Device
from headgate.testing.devices import make_device
from headgate.testing.env import LoopClock, fake_env

PROVIDER = default_provider()
PKI = Pki(PROVIDER, "scene root")
BOX = PKI.issue(GATEWAY, Role.GATEWAY)
RW = Access.READ_WRITE


def pump(name: str = "pump-1", number: int = 1) -> Device:
    """A pump with a speed, an automatic, a switch at the panel and a level to look at."""
    return make_device(
        (
            Point("run", "bool", access=RW), Point("auto", "bool", access=RW),
            Point("speed", "u16", "Hz", access=RW), Point("running", "bool"), Point("remote", "bool"),
            Point("level", "f64", "m"),
        ),
        name=name, number=number,
    )  # fmt: skip


def control(**other: Any) -> Control:
    """pump-1/run, given back to the automatic at the end of a lease."""
    said = {
        "device": "pump-1",
        "point": "run",
        "on_lease_end": "auto",
        "auto_point": "auto",
        **other,
    }
    return Control(**said)


class Died(Exception):
    """The process ended here."""


class Plant:
    """Devices on paper. `wire` is what arrived there, and the judge of everything."""

    def __init__(self, *devices: Device) -> None:
        self.devices = {device.id: device for device in devices}
        self.values: dict[tuple[str, str], Value] = {}
        for device in devices:
            for point in device.points:
                blank: Value = False if point.point.type == "bool" else 0
                self.values[device.id, point.point.name] = blank
            self.values[device.id, "auto"] = self.values[device.id, "remote"] = True
            self.values[device.id, "level"] = 2.0
        self.wire: list[tuple[str, str, Value]] = []
        self.bad: set[tuple[str, str]] = set()
        self.silent = self.deaf = self.refuses = False
        self.follows = True
        self.latency_s = 0.0
        self.looks = 0

    def device(self, name: str) -> Device | None:
        return self.devices.get(name)

    async def look(self, device: str) -> Mapping[str, Reading]:
        self.looks += 1
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.silent:
            raise ChannelTimeout(f"{device} is silent")
        known = self.devices[device]
        raw = {p.point.name: self.values[device, p.point.name] for p in known.points}
        for name in [n for n in raw if (device, n) in self.bad]:
            raw[name] = None
        block = known.block(1, raw)
        return {
            r.point: r
            for r in columns.readings(block, known.table)
            if r.quality is Quality.GOOD
        }  # fmt: skip

    async def write(self, device: str, point: str, raw: Value) -> Value:
        if self.silent:
            raise ChannelTimeout(f"{device} is silent")
        self.wire.append((device, point, raw))
        if self.refuses:
            raise DeviceRefused(f"{device} says no", detail=2)
        if self.follows:
            self.values[device, point] = raw
            if point == "run":
                self.values[device, "auto"] = False
                self.values[device, "running"] = raw
            elif point == "auto" and raw:
                self.values[device, "run"] = self.values[device, "running"] = False
        if self.deaf:
            raise ChannelTimeout("no answer")
        return self.values[device, point]


class Scene:
    """One box: started, killed at any effect, started again on what it had on disk."""

    def __init__(self, folder: Path, *controls: Control, plant: Plant | None = None) -> None:
        self.folder = folder
        self.clock = LoopClock()
        self.clock.shift_us = NOW_US - self.clock.now_us
        self.env = fake_env(self.clock)
        self.plant = plant or Plant(pump(), pump("pump-2", 2))
        self.controls = controls or (control(),)
        self.audit: list[Entry] = []
        self.items: list[Item] = []
        self.told: list[str] = []
        self.synced = True
        self.disk_refuses = self.audit_refuses = False
        #: Effects so far, and which of them is the last of this life; None lives on.
        self.effects = 0
        self.dies_at: int | None = None
        self.dead = asyncio.Event()
        self.reason = ""
        self.devices_watched: set[str] = set()

    # ------------------------------------------------------------ life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Desk]:
        """The desk, until the block is left; what a killed one had in memory is gone."""
        self.journal = _Journal(self)
        self.journal.open()
        teller = Teller(
            self.env, GATEWAY, self, self._item, self._durable,
            lambda: Signer(BOX.key, (BOX.certificate,)),
        )  # fmt: skip
        proof = Proof(PROVIDER, self._trust)
        self.desk = Desk(
            self.env, GATEWAY, self.journal, _Watched(self), teller, proof, self._trusted_us,
            lambda name: self.plant.devices[name].number if name in self.plant.devices else 0,
        )  # fmt: skip
        found = [resolve(each, self.plant.devices, "here") for each in self.controls]
        self.desk.in_force = InForce({each.name: each for each in found}, self.reason)
        self.local = Local(self.env, GATEWAY, self.desk)
        await self.desk.start()
        try:
            yield self.desk
        finally:
            await self.desk.stop()
            self.journal.close()

    def _trust(self) -> Trust:
        us = self._trusted_us()
        at = None if us is None else datetime.fromtimestamp(us / 1e6, UTC)
        return Trust((PKI.root.certificate,), at)

    def _trusted_us(self) -> int | None:
        return self.clock.wall_us() if self.synced else None

    async def effect(self, what: str) -> None:
        """Something is about to reach the world, or just has: this may be the end."""
        self.effects += 1
        self.told.append(what)
        if self.dies_at is not None and self.effects >= self.dies_at:
            self.dead.set()
            await asyncio.Event().wait()

    # ------------------------------------------------------------ what it is given

    async def note(self, entry: Entry) -> None:
        """The audit log."""
        await self.effect(f"audit {entry.kind}")
        if self.audit_refuses:
            raise SpoolError("the disk refuses")
        self.audit.append(entry)
        await self.effect(f"audited {entry.kind}")

    def _item(self, item: Item) -> None:
        self.items.append(item)

    async def _durable(self) -> None:
        await self.effect("records")

    # ------------------------------------------------------------ asking

    def give(self, message: bytes, how: Any = "live", uplink: str = "city") -> None:
        self.desk.door.receive(uplink, message, how=how)

    async def answer(self, message: bytes | None = None, uplink: str = "city") -> Answer:
        """The next answer, proved; `message` is given first."""
        if message is not None:
            self.give(message, uplink=uplink)
        async with asyncio.timeout(600):
            answer = await self.desk.teller.post.take(uplink)
        return verify_answer(PROVIDER, answer, Trust((PKI.root.certificate,), None))

    async def done(self, *states: str) -> Answer:
        """The next answer in one of these states."""
        while (answer := await self.answer()).state not in states:
            pass
        return answer

    async def obey(
        self, who: Operator, what: Content, approvals: Callable[[bytes], list[bytes]] = lambda t: []
    ) -> Answer:
        """SELECT and OPERATE; the last answer, or the refusal."""
        selected = await self.answer(who.select(what))
        if selected.state != "selected":
            return selected
        assert selected.token is not None
        self.give(who.operate(what, selected.token, approvals(selected.token)))
        return await self.done("confirmed", "failed", "unknown", "refused")

    def results(self, state: str = "") -> list[CommandResult]:
        """Command results that went upstream."""
        found = [item for item in self.items if isinstance(item, CommandResult)]
        return [item for item in found if not state or item.state == state]

    def alarms(self) -> list[tuple[str, bool]]:
        return [(item.code, item.active) for item in self.items if isinstance(item, Alarm)]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.audit]


class _Journal(Journal):
    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.env, scene.folder / "commands.db")
        self._scene = scene

    async def write(self, changes: Changes) -> None:
        what = " ".join(kept.state for kept in changes.commands)
        await self._scene.effect(f"journal {what}")
        if self._scene.disk_refuses:
            raise SpoolError("the disk refuses")
        await super().write(changes)
        await self._scene.effect(f"journaled {what}")


class _Watched:
    """The plant, each write an effect of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def device(self, name: str) -> Device | None:
        return self._scene.plant.device(name)

    async def look(self, device: str) -> Mapping[str, Reading]:
        return await self._scene.plant.look(device)

    async def write(self, device: str, point: str, raw: Value) -> Value:
        await self._scene.effect(f"write {point}")
        try:
            return await self._scene.plant.write(device, point, raw)
        finally:
            await self._scene.effect(f"wrote {point}")


def release(number: int = 90) -> Content:
    """Let go of pump-1/run."""
    return replace(
        content(number), operation=Operation.RELEASE, value=None, lease_s=0
    )  # fmt: skip


def seconds(text: str) -> Duration:
    return Duration.parse(text)
