"""The street's devices: what they measure in the world, and when they speak."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from headgate_simulators.faults import ANY_SERIAL, DAMAGE, Fault, FaultKind, Faults
from headgate_simulators.manhole_street import frames
from headgate_simulators.ports import Port
from headgate_simulators.truth import Truth
from headgate_simulators.world import Place, World, WorldClock

#: What can go wrong with any device of the street, and with those that have an address.
_SPEECH = ANY_SERIAL | {FaultKind.SHORT}
_ADDRESSED = _SPEECH | {FaultKind.WRONG_UNIT}
#: A concentrator repeats an alarm this often until it is acknowledged, and gives up after so many.
REPEAT_S, MOST_REPEATS = 1.0, 10


class Street:
    """What all devices of a street share: the world, what is wrong, and the truth."""

    def __init__(
        self,
        world: World,
        clock: WorldClock,
        faults: Faults,
        truth: Truth,
        started: float,
        now: Callable[[], float],
    ) -> None:
        self.world = world
        self.clock = clock
        self.faults = faults
        self.truth = truth
        self.started = started
        self.now = now
        self.dice = random.Random(world.seed)

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self.now() - self.started


class Device:
    """One device on one line. `unit` is its address as a site file writes it."""

    profile: str
    #: What a site file has to say of it.
    params: ClassVar[Mapping[str, float]] = {}
    #: Whether it tells a sample counter, so that looks can be counted.
    counted = True
    #: What else than `ANY_DEVICE` can go wrong with it.
    conditions: ClassVar[frozenset[FaultKind]] = _ADDRESSED

    def __init__(
        self, street: Street, port: Port, name: str, place: Place, unit: str | int
    ) -> None:
        self.street = street
        self.port = port
        self.id = name
        self.place = place
        self.unit = unit
        self.sample = 0
        self._rebooted_for: Fault | None = None

    def wrong(self) -> dict[FaultKind, float]:
        """What is wrong with it now: kind and value. Away from a restart, it is silent."""
        street = self.street
        found = street.faults.at(self.id, street.elapsed_s)
        reboot = found.get(FaultKind.REBOOT)
        if reboot is not None and reboot is not self._rebooted_for:
            self.restart()
            line = {"t": street.now(), "device": self.id, "fault": "reboot", "look": False}
            street.truth.write(line)
        self._rebooted_for = reboot
        wrong = {kind: fault.value for kind, fault in found.items()}
        if reboot is not None and street.elapsed_s < reboot.begins_s + reboot.value:
            wrong[FaultKind.SILENT] = 0.0
        return wrong

    def restart(self) -> None:
        """The power was away: what it counted is forgotten."""
        self.sample = 0

    @property
    def description(self) -> dict[str, Any]:
        """As the ready line and the truth header tell it."""
        return {
            "id": self.id, "name": f"{self.id} {self.place.name}", "model": self.profile,
            "url": self.port.url, "unit": self.unit, "params": self.params,
        }  # fmt: skip

    async def speak(
        self, frame: bytes, values: Mapping[str, Any] | None, stranger: bytes | None = None
    ) -> bool:
        """Say a frame, with what is wrong laid over it. Whether it went out as it should.

        Args:
            frame: whole and right.
            values: the truth of it; None: it was told before.
            stranger: the same frame under an address that is not its own.
        """
        street = self.street
        # Asked again while a late answer waits, it has counted on by the time that leaves.
        sample = self.sample
        wrong = self.wrong()
        spoilt = next((kind for kind in (FaultKind.SILENT, *DAMAGE) if kind in wrong), None)
        line: dict[str, Any] = {"t": street.now(), "device": self.id}
        if spoilt is not None:
            street.truth.write({**line, "fault": spoilt.value, "look": True})
            if spoilt is FaultKind.WRONG_UNIT:
                self.port.say(stranger or b"")
            elif spoilt is not FaultKind.SILENT:
                self.port.say(_spoilt(frame, spoilt))
            return False
        late = max(wrong.get(FaultKind.SLOW, 0.0), wrong.get(FaultKind.LATE, 0.0))
        if late:
            await asyncio.sleep(late)
            line |= {"t": street.now(), "late_s": late}
        if FaultKind.NOISE in wrong:
            # No noise that could be told from a frame by nothing but luck: short, and often a false start.
            self.port.say(street.dice.randbytes(street.dice.randint(1, 12)) + frame[:1])
        self.port.say(frame)
        if values is not None and self.counted:
            street.truth.write({**line, "sample": sample, "values": dict(values)})
        return True


def _spoilt(frame: bytes, kind: FaultKind) -> bytes:
    if kind is FaultKind.SHORT:
        return frame[: max(1, len(frame) // 2)]
    at = len(frame) // 2
    return frame[:at] + bytes([frame[at] ^ 0x15]) + frame[at + 1 :]


class Cover(Device):
    """A cover behind the concentrator: asleep but for its heartbeats, and its lid."""

    profile = "generic/manhole-cover"

    def __init__(
        self, street: Street, port: Port, name: str, place: Place, address: int, heartbeat_s: float
    ) -> None:
        super().__init__(street, port, name, place, f"{address:08X}")
        self.address = address
        self.heartbeat_s = heartbeat_s
        self.open = False
        self.sequence = 0
        self._turned = asyncio.Event()
        self._acknowledged: set[int] = set()
        self._answer = asyncio.Event()

    def turn(self, *, open_: bool) -> None:
        """Open or close the lid; the cover wakes and says so."""
        if open_ is not self.open:
            self.open = open_
            self._turned.set()

    def acknowledge(self, sequence: int) -> None:
        """The gateway has an alarm."""
        self._acknowledged.add(sequence)
        self._answer.set()

    async def live(self) -> None:
        """Heartbeats and alarms until cancelled."""
        wait = self.heartbeat_s * self.street.dice.random()
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._turned.wait()
            except TimeoutError:
                kind = frames.HEARTBEAT
            else:
                kind = frames.ALARM
                self._turned.clear()
            wait = self.heartbeat_s
            if not self.port.taken:
                wait = min(wait, 0.1)  # nobody would hear it
                if kind == frames.ALARM:
                    self._turned.set()
                    await asyncio.sleep(wait)
                continue
            await self._say(kind)

    async def _say(self, kind: int) -> None:
        if FaultKind.SILENT in self.wrong():
            line = {"t": self.street.now(), "device": self.id, "fault": "silent", "look": True}
            self.street.truth.write(line)
            return
        self.sequence = (self.sequence + 1) & 0xFF
        self.sample += 1
        state = self._state()
        rssi = -70 - self.street.dice.randint(0, 40)
        word = frames.cover_word(self.address, self.sequence, kind, state, rssi)
        other = frames.cover_word(self.address ^ 0x0100_0000, self.sequence, kind, state, rssi)
        self._acknowledged.discard(self.sequence)
        if not await self.speak(word, _cover_values(state, rssi), other):
            self.sample -= 1
            if kind == frames.ALARM:
                self._turned.set()
                await asyncio.sleep(REPEAT_S)
            return
        if kind == frames.ALARM:
            await self._repeat(word)

    async def _repeat(self, word: bytes) -> None:
        for _ in range(MOST_REPEATS):
            self._answer.clear()
            try:
                async with asyncio.timeout(REPEAT_S):
                    while self.sequence not in self._acknowledged:
                        await self._answer.wait()
                        self._answer.clear()
                return
            except TimeoutError:
                await self.speak(word, None)

    def _state(self) -> frames.CoverState:
        street = self.street
        at = street.clock.world_time(street.now())
        level = min(
            3.0, 0.12 + 0.02 * len(self.place.name) + 0.3 * street.world.runoff_mm_h(at) ** 0.6
        )
        battery = 3600 - self.sample // 50
        flags = (
            (frames.COVER_OPEN if self.open else 0)
            | (frames.WATER_HIGH if level > 2.0 else 0)
            | (frames.BATTERY_LOW if battery < 3100 else 0)
        )
        return frames.CoverState(
            flags=flags,
            tilt_tenths=384 if self.open else 7,
            level_mm=round(level * 1000),
            battery_mv=battery,
            temperature_tenths=round(street.world.water_temperature_c(at) * 10),
            sample=self.sample,
        )


def _cover_values(state: frames.CoverState, rssi: int) -> dict[str, Any]:
    return {
        "cover_open": float(bool(state.flags & frames.COVER_OPEN)),
        "water_high": float(bool(state.flags & frames.WATER_HIGH)),
        "battery_low": float(bool(state.flags & frames.BATTERY_LOW)),
        "tilt": state.tilt_tenths / 10,
        "level": state.level_mm / 1000,
        "battery": state.battery_mv / 1000,
        "temperature": state.temperature_tenths / 10,
        "signal": rssi,
        "sample": state.sample,
    }


class Probe(Device):
    """An ultrasonic level probe that answers `#01R`."""

    profile = "generic/level-probe-text"
    params: ClassVar[Mapping[str, float]] = {"zero_distance_m": 6.0}

    async def asked(self, line: bytes) -> None:
        """Answer a request, if it is ours."""
        if frames.probe_question(line) != self.unit:
            return
        self.wrong()  # a restart is over before it counts
        street = self.street
        at = street.clock.world_time(street.now())
        distance = round(
            1000 * max(0.3, 6.0 - street.world.water_level_m(self.place, at) + self.place.bed_m)
        )
        temperature = round(street.world.air_temperature_c(at) * 10)
        self.sample += 1
        frame = frames.probe_answer(int(self.unit), distance, temperature, self.sample)
        values = {
            "distance": distance / 1000,
            "level": 6.0 - distance / 1000,
            "temperature": temperature / 10,
            "sample": self.sample,
        }
        other = frames.probe_answer(int(self.unit) + 1, distance, temperature, self.sample)
        if not await self.speak(frame, values, other):
            self.sample -= 1


class GasHead(Device):
    """A methane head that answers FF 01 86."""

    profile = "generic/gas-head-serial"
    counted = False
    conditions = _SPEECH

    async def asked(self, request: bytes) -> None:
        """Answer a request with the right sum."""
        if len(request) < 9 or request[:3] != bytes([0xFF, int(self.unit), 0x86]):
            return
        if sum(request[1:9]) & 0xFF:
            return
        at = self.street.clock.world_time(self.street.now())
        await self.speak(
            frames.gas_answer(12, round(self.street.world.air_temperature_c(at)), 0), None
        )


class WeatherStick(Device):
    """Wind and rain as NMEA sentences, every second."""

    profile = "generic/weather-stick"
    counted = False
    conditions = _SPEECH

    async def live(self) -> None:
        """A sentence of wind and one of weather each second until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            if not self.port.taken:
                continue
            street = self.street
            at = street.clock.world_time(street.now())
            speed = 2 + street.world.rain_mm_h(self.place, at) / 10
            wind = f"WIMWV,{214 + 10 * street.dice.random():.1f},R,{speed:.1f},M,A"
            temperature = street.world.air_temperature_c(at)
            weather = f"WIXDR,C,{temperature:.1f},C,TEMP,H,81.2,P,HUMI,P,1.0132,B,PRES"
            for text in (wind, weather):
                await self.speak(frames.sentence(text), None)
