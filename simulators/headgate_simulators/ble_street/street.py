"""The street: tags and sensors on a BlueZ of our own, one world, one truth, faults by command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate_simulators.ble_street.bluez import FakeBluez, Said
from headgate_simulators.ble_street.bus import PrivateBus
from headgate_simulators.ble_street.units import KINDS, Unit
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock

#: Faults of one unit, and of all that stand behind the adapter.
UNIT_FAULTS = ("silent", "open")
STREET_FAULTS = ("power-off", "bluetoothd-gone", "stuck")
_STUCK_FOR_EVER = 1_000_000


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """What street is wanted: `count` units, `kinds` taken in turn, `strangers` nobody knows."""

    count: int = 8
    seed: int = 1
    kinds: Sequence[str] = tuple(KINDS)
    strangers: int = 20
    every_s: float = 1.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 5000:
            raise ValueError(f"count {self.count}: a street has 1 to 5000 units")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"kinds {unknown}: there are {', '.join(KINDS)}")


class BleStreet:
    """A running street: `async with BleStreet(plan, truth) as street`.

    `street.address` is what DBUS_SYSTEM_BUS_ADDRESS must be for whoever shall hear it.
    """

    def __init__(
        self, plan: StreetPlan, truth: Truth, now: Callable[[], float] = time.time
    ) -> None:
        self.plan = plan
        self.truth = truth
        self.started = now()
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(plan.seed, self.started)
        places = self.world.places(plan.count)
        self.units: list[Unit] = [
            KINDS[plan.kinds[at % len(plan.kinds)]](at + 1, self.world, place)
            for at, place in enumerate(places)
        ]
        self.bus = PrivateBus()
        self.bluez: FakeBluez | None = None
        self._now = now
        self._wrong: dict[str, set[str]] = {}
        self._talk: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Of the private bus."""
        return self.bus.address

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each unit as the ready line, the truth header and the site fragment tell it."""
        return [
            {
                "id": u.id, "model": u.profile, "address": u.address, "params": u.params,
                "counter": False, "repeats": True,
            }
            for u in self.units
        ]  # fmt: skip

    async def __aenter__(self) -> BleStreet:
        await self.bus.__aenter__()
        try:
            self.bluez = FakeBluez(self.bus.address)
            await self.bluez.start()
        except BaseException:
            await self.bus.__aexit__()
            raise
        self.truth.write(header(self.plan.seed, self.started, self.description))
        self._talk = asyncio.create_task(self._keep_talking(), name="ble street")
        return self

    async def __aexit__(self, *_: object) -> None:
        work = [*self._work, *([self._talk] if self._talk else [])]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        if self.bluez is not None:
            await self.bluez.die()
        await self.bus.__aexit__()
        self.truth.close()

    # ------------------------------------------------------------ commands

    def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": "silent", "device": ID, "on": true}`, `{"fault": "power-off", "on": true}` or
        `{"storm": {"peak_mm_h": 80, "duration_s": 1800}}`.
        """
        storm = said.get("storm")
        if isinstance(storm, Mapping):
            begins = self.clock.world_time(self._now())
            peak, lasts = float(storm.get("peak_mm_h", 80)), float(storm.get("duration_s", 1800))
            self.world.ask_storm(Storm(begins, peak, lasts))
            return
        kind, on = said.get("fault"), said.get("on")
        if not isinstance(kind, str) or not isinstance(on, bool):
            raise ValueError('a command is {"fault":"silent","device":"cover-001","on":true}')
        self.fault(kind, str(said.get("device", "*")), on=on)

    def fault(self, kind: str, device: str = "*", *, on: bool) -> None:
        """Switch a fault on or off, from now on."""
        if kind in UNIT_FAULTS:
            named = [u.id for u in self.units if device in ("*", u.id)]
            if not named:
                raise ValueError(f"device {device!r}: there is none")
            for name in named:
                wrong = self._wrong.setdefault(name, set())
                wrong.add(kind) if on else wrong.discard(kind)
        elif kind in STREET_FAULTS:
            self._street_fault(kind, on=on)
        else:
            raise ValueError(f"fault {kind!r}: there are {', '.join(UNIT_FAULTS + STREET_FAULTS)}")
        self.truth.write({"t": self._now(), "device": device, "fault": kind, "on": on})

    def _street_fault(self, kind: str, *, on: bool) -> None:
        assert self.bluez is not None
        if kind == "power-off":
            self.bluez.power(on=not on)
        elif kind == "stuck":
            self.bluez.stuck = _STUCK_FOR_EVER if on else 0
        else:
            task = asyncio.create_task(self.bluez.die() if on else self.bluez.start())
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    # ------------------------------------------------------------ adverts

    async def _keep_talking(self) -> None:
        while True:
            self.tick()
            self.truth.flush()
            await asyncio.sleep(self.plan.every_s)

    def tick(self) -> None:
        """Every unit says what it has to say; the truth keeps what somebody was told."""
        assert self.bluez is not None
        now = self._now()
        t = self.clock.world_time(now)
        for unit in self.units:
            wrong = self._wrong.get(unit.id, ())
            if "silent" in wrong:
                continue
            said, values = unit.says(t, open_="open" in wrong)
            if self.bluez.advertise(said):
                line = {"t": now, "device": unit.id, "sample": unit.count, "values": values}
                self.truth.write({**line, "rssi": said.rssi})
        for at in range(self.plan.strangers):
            noise = bytes([at, int(now * 10) & 0xFF])
            self.bluez.advertise(Said(f"EE:EE:00:00:00:{at:02X}", -80, company={0x0006: noise}))
