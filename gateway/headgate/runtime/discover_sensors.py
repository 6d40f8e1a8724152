"""Who is on a serial line that is not Modbus: first it is listened to, then asked, with each setting.

There is no question that every sensor answers, so what is looked for are the profiles that are there:
frames of talking devices in what is heard, meters that answer a question put to everybody, and answers
to the very request of each profile. On a line where somebody talks nothing is asked: it would be
a voice among theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from headgate.channels import Direction, ManagedChannel
from headgate.channels.bus import BusChannel
from headgate.errors import ChannelError, ChannelTimeout, HeadgateError
from headgate.model import Identity, PointTable
from headgate.profiles import Library, Profile
from headgate.runtime.field import Field
from headgate.runtime.fitting import (
    Candidate,
    best,
    candidate_of,
    fitting,
    readings_of,
    tried,
    under,
)
from headgate.sdk import Channel, Device, Driver, LineSettings, PollingDriver, StreamingDriver

#: Bytes of a talking line that are looked at; a flood tells no more than its end.
MOST_HEARD = 64 * 1024
#: More bytes than these are somebody who talks, be it at another speed: nothing is asked there.
MOST_NOISE = 16
#: The code of a port that does not know the settings it is to be set to.
UNSETTABLE = "HG-3012"
#: How often it is said that the line is still listened to.
STEP_S = 1.0
#: Talking devices told of one line.
MOST_TALKERS = 64


class SensorSearch:
    """One discovery. `run` tells each step; leaving it stops after the question in hand."""

    def __init__(
        self,
        field: Field,
        library: Library,
        drivers: Sequence[Driver],
        line: ManagedChannel,
        units: Sequence[int],
        settings: Sequence[LineSettings | None],
        timeout_s: float,
        listen_s: float,
        profiles: Sequence[str],
    ) -> None:
        self._field = field
        self._line = line
        self._units = units
        self._settings = settings
        self._timeout_s = timeout_s
        self._steps = max(1, round(listen_s / STEP_S)) if listen_s > 0 else 0
        self._step_s = listen_s / self._steps if self._steps else 0.0
        wanted = [p for p in library.profiles.values() if not profiles or p.id in profiles]
        self._drivers = [(d, [p for p in wanted if p.driver == d.name]) for d in drivers]
        here = [p.device for p in field.postings.values() if p.device.channel == line.id]
        # A meter's leading zeros may be written in the site file or not.
        self._known = {str(device.address).lstrip("0"): device.id for device in here}
        self._served = {device.id: f"{device.vendor}/{device.model}" for device in here}
        self._asked_for = bool(profiles)
        speaker = field.speaker(line.id)
        self._askers = [
            (driver, own)
            for driver, own in self._drivers
            if isinstance(driver, PollingDriver)
            and isinstance(speaker, PollingDriver)
            and (not here or driver.name == speaker.name)
        ]
        self._heard = bytearray()
        self._asked = self._found = 0
        self._each = self._steps + sum(1 + self._questions(own) for _, own in self._askers)
        self._total = self._each * len(settings)

    async def run(self) -> AsyncIterator[dict[str, Any]]:
        """Progress and findings, as the local API says them.

        Raises:
            ChannelClosed: the line is down.
        """
        try:
            for settings in self._settings:
                before = self._asked
                try:
                    async for told in self._at(settings):
                        yield told
                except ChannelError as error:
                    if error.code != UNSETTABLE or len(self._settings) == 1:
                        raise
                    # An adapter that lacks one speed still finds who speaks at the others.
                    self._total -= self._each
                    self._asked = before
                    yield unset(settings, error)
        finally:
            await self._tune(None)
        yield self._progress(None, "")

    async def _at(self, settings: LineSettings | None) -> AsyncIterator[dict[str, Any]]:
        """All that is found with one setting of the line."""
        self._heard.clear()
        async for told in self._listen(settings):
            yield told
        if len(self._heard) > MOST_NOISE:
            self._asked += sum(1 + self._questions(own) for _, own in self._askers)
            return
        for driver, profiles in self._askers:
            async for told in self._ask(driver, profiles, settings):
                yield told

    # ------------------------------------------------------------ listening

    async def _listen(self, settings: LineSettings | None) -> AsyncIterator[dict[str, Any]]:
        heard = self._heard

        def tap(direction: Direction, data: bytes, at_us: int) -> None:
            if direction == "received":
                heard.extend(data)
                del heard[:-MOST_HEARD]

        if not self._steps:
            return
        await self._tune(settings)
        self._line.add_tap(tap)
        try:
            for _ in range(self._steps):
                self._asked += 1
                yield self._progress(settings, "...")
                await asyncio.sleep(self._step_s)
        finally:
            self._line.remove_tap(tap)
        for address, candidates in self._talkers(bytes(heard)).items():
            yield self._finding(address, settings, best(candidates))

    def _talkers(self, heard: bytes) -> dict[str, list[Candidate]]:
        """The profiles whose frames were heard, by the address that they tell; "" where they tell none."""
        found: dict[str, list[Candidate]] = {}
        for driver, profiles in self._drivers:
            if not isinstance(driver, StreamingDriver) or driver.transport != "channel":
                continue
            for profile in profiles:
                bare = self._bare("1", None)
                try:
                    device = under(profile, bare, None)
                    told = driver.heard(device, heard)
                except (NotImplementedError, HeadgateError):
                    continue
                for address, block in told.items():
                    candidate = candidate_of(profile, readings_of(device, block))
                    if candidate is not None and len(found) < MOST_TALKERS:
                        found.setdefault(address, []).append(candidate)
        return found

    async def _tune(self, settings: LineSettings | None) -> None:
        line = self._line
        if isinstance(line, BusChannel) and len(self._settings) > 1:
            await line.tune(settings)

    # ------------------------------------------------------------ asking

    def _questions(self, profiles: Sequence[Profile]) -> int:
        return sum(len(self._units) if _addressed(profile) else 1 for profile in profiles)

    async def _ask(
        self, driver: PollingDriver, profiles: Sequence[Profile], settings: LineSettings | None
    ) -> AsyncIterator[dict[str, Any]]:
        self._asked += 1
        yield self._progress(settings, driver.name)
        try:
            addresses = await self._everybody(driver, settings)
        except NotImplementedError:
            async for told in self._by_request(driver, profiles, settings):
                yield told
            return
        self._asked += self._questions(profiles)
        for address in addresses:
            bare = self._bare(address, settings)
            fits = (
                [] if self._device(address) else await fitting(self._field, driver, profiles, bare)
            )
            yield self._finding(address, settings, fits)

    async def _everybody(
        self, driver: PollingDriver, settings: LineSettings | None
    ) -> Sequence[str]:
        async def ask(line: Channel) -> Sequence[str]:
            return await driver.addresses(line, self._bare("", settings))

        return await self._field.between(self._line.id, ask)

    async def _by_request(
        self, driver: PollingDriver, profiles: Sequence[Profile], settings: LineSettings | None
    ) -> AsyncIterator[dict[str, Any]]:
        """Every profile's own request, to every address where it names one."""
        fits: dict[str, list[Candidate]] = {}
        for profile in profiles:
            for unit in self._units if _addressed(profile) else self._units[:1]:
                self._asked += 1
                yield self._progress(settings, f"{profile.id} {unit}")
                address = str(unit)
                known = self._device(address)
                if known and profile.id != self._served.get(known) and not self._asked_for:
                    continue  # a live device is not shaken for nothing
                # What other sensors were asked before stands in the ear of this kind: its first
                # question may be lost with it, and is asked twice.
                bare = self._bare(address, settings)
                candidate = None
                for _ in range(2 if unit == self._units[0] else 1):
                    with contextlib.suppress(ChannelTimeout):
                        candidate = await tried(self._field, driver, profile, bare)
                        break
                if candidate is not None:
                    key = address if _addressed(profile) else ""
                    fits.setdefault(key, []).append(candidate)
        for address, candidates in fits.items():
            yield self._finding(address, settings, best(candidates))

    # ------------------------------------------------------------ what is told

    def _device(self, address: str) -> str:
        """The device of the site that has this address on this line, "" where none has."""
        return self._known.get(address.lstrip("0"), "")

    def _bare(self, address: str, settings: LineSettings | None) -> Device:
        return Device(
            id=f"unit-{address}",
            number=0,
            channel=self._line.id,
            address=address,
            points=(),
            table=PointTable(0, f"unit-{address}", ()),
            table_hash=bytes(32),
            quirks={} if settings is None else {"line": str(settings)},
            timeout_s=self._timeout_s,
            retries=0,
        )

    def _progress(self, settings: LineSettings | None, doing: str) -> dict[str, Any]:
        line = "" if settings is None else str(settings)
        return {
            "asked": self._asked, "total": self._total, "unit": doing, "line": line,
            "found": self._found,
        }  # fmt: skip

    def _finding(
        self, address: str, settings: LineSettings | None, candidates: Sequence[Candidate]
    ) -> dict[str, Any]:
        self._found += 1
        return {
            "unit": address,
            "line": "" if settings is None else str(settings),
            "device": self._device(address),
            "identity": msgspec.to_builtins(Identity()),
            "profiles": msgspec.to_builtins(list(candidates)),
        }


def unset(settings: LineSettings | None, error: ChannelError) -> dict[str, Any]:
    """What is told of settings that the port of this box cannot take: the search goes on without them."""
    return {"unset": str(settings), "code": error.code, "fields": dict(error.fields)}


def _addressed(profile: Profile) -> bool:
    """Whether a profile's requests tell which unit is meant."""
    return any(
        "{address" in str(request)
        for variant in profile.variants
        for request in (
            variant.quirks.get("frame.request"),
            *(point.source.get("request") for point in variant.points),
        )
    )
