"""The street: its lines, its devices, one world, one truth, and faults by command."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate_simulators.faults import EVERY_DEVICE, Fault, FaultKind, Faults, check
from headgate_simulators.manhole_street import frames
from headgate_simulators.manhole_street.devices import (
    Cover,
    Device,
    GasHead,
    Probe,
    Street,
    WeatherStick,
)
from headgate_simulators.ports import Port, PtyPort, TcpPort
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock

_TEND_S, _FLUSH_S = 0.1, 0.5
_COMMANDS = (
    '{"fault":"noise","device":"cover-001","on":true}, {"lid":"cover-001","open":true}, '
    '{"plug":"covers","in":false} or {"storm":{"peak_mm_h":80}}'
)


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """What street is wanted.

    With `folder` the lines are pseudo-terminals in it, else TCP on `host`, free ports. `heartbeat_s` is
    how often a sleeping cover speaks.
    """

    covers: int = 8
    seed: int = 1
    heartbeat_s: float = 5.0
    host: str = "127.0.0.1"
    folder: Path | None = None
    speed: float = 1.0
    storms: Sequence[Storm] = ()
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.covers <= 500:
            raise ValueError(f"covers {self.covers}: 1 to 500 fit behind one concentrator")
        if not 0.05 <= self.heartbeat_s <= 86400:
            raise ValueError(f"heartbeat {self.heartbeat_s:g}: 0.05 s to a day")


class ManholeStreet:
    """A running street: `async with ManholeStreet(plan, truth) as street: ...`."""

    def __init__(
        self, plan: StreetPlan, truth: Truth, now: Callable[[], float] = time.time
    ) -> None:
        self.plan = plan
        self.truth = truth
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(
            plan.seed,
            self.started,
            [
                Storm(self.clock.world_time(self.started + s.starts_at), s.peak_mm_h, s.duration_s)
                for s in plan.storms
            ],
        )
        self.faults = Faults()
        self._now = now
        street = Street(self.world, self.clock, self.faults, truth, self.started, now)
        self.ports: dict[str, Port] = {name: self._port(name) for name in _LINES}
        places = self.world.places(plan.covers)
        self.covers = [
            Cover(
                street, self.ports["covers"], f"cover-{at + 1:03d}", place,
                0x0012_0000 + 0x11 * (at + 1), plan.heartbeat_s,
            )
            for at, place in enumerate(places)
        ]  # fmt: skip
        self.probe = Probe(street, self.ports["probe"], "probe-001", places[0], 1)
        self.gas = GasHead(street, self.ports["gas"], "gas-001", places[0], 1)
        self.stick = WeatherStick(street, self.ports["stick"], "stick-001", places[0], 1)
        self.devices: list[Device] = [*self.covers, self.probe, self.gas, self.stick]
        for fault in plan.faults:
            self._check(fault)
            self.faults.planned.append(fault)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._plugs = asyncio.Lock()
        #: Lines that are there, and lines whose plug was pulled by name.
        self._plugged: set[str] = set()
        self._pulled: set[str] = set()

    def _port(self, name: str) -> Port:
        folder = self.plan.folder
        return TcpPort(self.plan.host) if folder is None else PtyPort(folder / name)

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Plug every line; covers begin to speak."""
        self.ports["covers"].heard = self._covers_heard(bytearray())
        self.ports["probe"].heard = self._requests(bytearray(), self.probe, _line)
        self.ports["gas"].heard = self._requests(bytearray(), self.gas, _nine)
        await self.settle()
        counted = [device.description for device in self.devices if device.counted]
        self.truth.write(header(self.plan.seed, self.started, counted))
        self.truth.flush()
        for live in (*(cover.live() for cover in self.covers), self.stick.live(), self._tend()):
            self._begin(live)

    async def stop(self) -> None:
        """Pull every line, then close the truth."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for port in self.ports.values():
            await port.pull()
        self.truth.close()

    async def __aenter__(self) -> ManholeStreet:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Pull the plugs that are to be pulled now, and put the others back."""
        async with self._plugs:
            elapsed_s = self._now() - self.started
            for name, port in self.ports.items():
                pulled = name in self._pulled or any(
                    FaultKind.PLUG_PULLED in self.faults.at(device.id, elapsed_s)
                    for device in self.devices
                    if device.port is port
                )
                if pulled and name in self._plugged:
                    self._plugged.discard(name)
                    await port.pull()
                elif not pulled and name not in self._plugged:
                    self._plugged.add(name)
                    await port.plug()

    async def _tend(self) -> None:
        for tick in itertools.count(1):
            await asyncio.sleep(_TEND_S)
            await self.settle()
            if tick % round(_FLUSH_S / _TEND_S) == 0:
                self.truth.flush()

    # ------------------------------------------------------------ what is asked of it

    def _covers_heard(self, buffer: bytearray) -> Callable[[bytes], None]:
        by_address = {cover.address: cover for cover in self.covers}

        def heard(data: bytes) -> None:
            buffer.extend(data)
            for address, sequence in frames.acknowledged(buffer):
                if address in by_address:
                    by_address[address].acknowledge(sequence)

        return heard

    def _requests(
        self,
        buffer: bytearray,
        device: Probe | GasHead,
        cut: Callable[[bytearray], bytes | None],
    ) -> Callable[[bytes], None]:
        def heard(data: bytes) -> None:
            buffer.extend(data)
            while (request := cut(buffer)) is not None:
                self._begin(device.asked(request))

        return heard

    # ------------------------------------------------------------ what is told of it

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each device as the ready line tells it."""
        return [device.description for device in self.devices]

    async def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it."""
        if isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            value = said.get("value")
            number = float(value) if isinstance(value, (int, float)) else None
            self.fault(
                Fault.make(str(said.get("device", EVERY_DEVICE)), said["fault"], number),
                on=said["on"],
            )
            await self.settle()
        elif isinstance(said.get("lid"), str) and isinstance(said.get("open"), bool):
            self.lid(said["lid"], open_=said["open"])
        elif said.get("plug") in self.ports and isinstance(said.get("in"), bool):
            (self._pulled.discard if said["in"] else self._pulled.add)(str(said["plug"]))
            await self.settle()
        elif isinstance(said.get("storm"), Mapping):
            peak = float(said["storm"].get("peak_mm_h", 80.0))
            duration = float(said["storm"].get("duration_s", 1800.0))
            self.world.ask_storm(Storm(self.clock.world_time(self._now()), peak, duration))
        else:
            raise ValueError(f"a command is {_COMMANDS}")

    def lid(self, cover: str, *, open_: bool) -> None:
        """Open or close the lid of a cover."""
        found = [each for each in self.covers if each.id == cover]
        if not found:
            raise ValueError(f"cover {cover!r} is not in this street")
        found[0].turn(open_=open_)

    def fault(self, fault: Fault, *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        self._check(fault)
        if on:
            self.faults.switch_on(fault, self._now() - self.started)
        else:
            self.faults.switch_off(fault.device, fault.kind)

    def _check(self, fault: Fault) -> None:
        if fault.kind is FaultKind.EXCEPTION:
            raise ValueError("fault 'exception': only Modbus devices answer with one")
        check(fault, [(device.id, device.conditions) for device in self.devices])


_LINES = ("covers", "probe", "gas", "stick")


def _line(buffer: bytearray) -> bytes | None:
    at = buffer.find(b"\r")
    if at < 0:
        del buffer[:-64]
        return None
    line = bytes(buffer[:at])
    del buffer[: at + 1]
    return line


def _nine(buffer: bytearray) -> bytes | None:
    at = buffer.find(b"\xff")
    del buffer[: at if at >= 0 else len(buffer)]
    if len(buffer) < 9:
        return None
    frame = bytes(buffer[:9])
    del buffer[:9]
    return frame
