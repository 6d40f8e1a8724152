"""Who is on a line: every address asked, with every setting a serial line may have, between the looks.

Each question is one turn on the line, so the devices already there go on being polled meanwhile.
What answers is asked who it is, and every profile of the driver is tried on it: those are proposed that
bring good values. A profile that merely fits proves little (many maps are alike): the readings are
shown, and a person decides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from headgate import columns
from headgate.errors import ChannelClosed, ChannelError, ChannelTimeout, HeadgateError
from headgate.model import Identity, PointTable, Quality, Reading
from headgate.profiles import Library, Profile, judge, resolve
from headgate.profiles.schema import Scalar
from headgate.runtime.busload import settable
from headgate.runtime.field import Field
from headgate.sdk import Channel, Device, LineSettings, PollingDriver, line_of

#: Profiles tried in a row without an answer before a unit is left alone.
PATIENCE = 3
#: Profiles shown for one unit.
MOST_PROPOSALS = 3
#: A profile that brings less than this share of good values is not proposed.
FITS = 0.5
MOST_UNITS = 255


def units_of(text: str) -> list[int]:
    """Addresses as a person writes them: "1-32", "1,5,17", "1-4,100".

    Raises:
        HeadgateError: HG-9148.
    """
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part)
        first = int(match[1]) if match else 1
        last = int(match[2] or match[1]) if match else 0
        if not 0 <= first <= last <= MOST_UNITS:
            raise HeadgateError(f"units {text}", code="HG-9148", key="--units", value=text)
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


class Candidate(msgspec.Struct, frozen=True):
    """One profile on one unit: how many of its points were good, and a few of them."""

    profile: str
    good: int
    points: int
    sample: tuple[str, ...]


def search_of(
    request: Mapping[str, Any], field: Field, library: Library, channel_id: str
) -> Search:
    """A search as the local API is asked for it. Raises HeadgateError: HG-9148, HG-9149."""
    line = field.poller.channel(channel_id)
    driver = field.speaker(channel_id)
    if not isinstance(driver, PollingDriver):
        raise HeadgateError("no discovery", code="HG-9149", channel=channel_id)
    base = line_of(line.url)
    settings: list[LineSettings | None] = [None]
    if settable(line.url):
        bauds = _numbers(request.get("bauds"), base.baud, "--bauds")
        parities = [
            p.strip().upper()[:1] for p in str(request.get("parities") or base.parity).split(",")
        ]
        if not set(parities) <= {"N", "E", "O"}:
            value = str(request.get("parities"))
            raise HeadgateError("parities", code="HG-9148", key="--parities", value=value)
        settings = [
            msgspec.structs.replace(base, baud=baud, parity=parity)
            for baud, parity in itertools.product(bauds, parities)
        ]
    return Search(
        field,
        library,
        driver,
        channel_id,
        units_of(str(request.get("units") or "1-32")),
        settings,
        float(request.get("timeout_s") or 0.3),
        [str(p) for p in request.get("profiles") or ()],
    )


def _numbers(text: object, usual: int, key: str) -> list[int]:
    try:
        return [LineSettings().with_text(part).baud for part in str(text or usual).split(",")]
    except ValueError:
        raise HeadgateError(f"{key}", code="HG-9148", key=key, value=str(text)) from None


class Search:
    """One discovery. `run` tells each step; leaving it stops after the question in hand."""

    def __init__(
        self,
        field: Field,
        library: Library,
        driver: PollingDriver,
        channel_id: str,
        units: Sequence[int],
        settings: Sequence[LineSettings | None],
        timeout_s: float,
        profiles: Sequence[str],
    ) -> None:
        self._field = field
        self._driver = driver
        self._channel = channel_id
        self._units = units
        self._settings = settings
        self._timeout_s = timeout_s
        wanted = [p for p in library.profiles.values() if p.driver == driver.name]
        self._profiles = [p for p in wanted if not profiles or p.id in profiles]
        self._asked_for = bool(profiles)
        self._known = {
            str(p.device.address): p.device.id
            for p in field.postings.values()
            if p.device.channel == channel_id
        }

    async def run(self) -> AsyncIterator[dict[str, Any]]:
        """Progress and findings, as the local API says them.

        Raises:
            ChannelClosed: the line is down.
        """
        total = len(self._units) * len(self._settings)
        asked = found = 0
        for settings in self._settings:
            for unit in self._units:
                asked += 1
                line = "" if settings is None else str(settings)
                yield {"asked": asked, "total": total, "unit": unit, "line": line, "found": found}
                bare = self._device(unit, settings)
                if not await self._turn_present(bare):
                    continue
                found += 1
                identity = None if self._settled(bare) else await self._who(bare)
                yield {
                    "unit": unit,
                    "line": line,
                    "device": self._known.get(str(unit), ""),
                    "identity": msgspec.to_builtins(identity or Identity()),
                    "profiles": msgspec.to_builtins(await self._fitting(bare, identity)),
                }
        yield {"asked": asked, "total": total, "unit": 0, "line": "", "found": found}

    def _device(self, unit: int, settings: LineSettings | None) -> Device:
        quirks = {} if settings is None else {"line": str(settings)}
        return Device(
            id=f"unit-{unit}",
            number=0,
            channel=self._channel,
            address=unit,
            points=(),
            table=PointTable(0, f"unit-{unit}", ()),
            table_hash=bytes(32),
            quirks=dict(quirks),
            timeout_s=self._timeout_s,
            retries=0,
        )

    async def _turn_present(self, device: Device) -> bool:
        async def look(line: Channel) -> bool:
            return await self._driver.present(line, device)

        try:
            return await self._field.poller.between(self._channel, look)
        except NotImplementedError:
            raise HeadgateError("no discovery", code="HG-9149", channel=self._channel) from None
        except KeyError:
            raise ChannelClosed(
                "the line was taken away",
                channel=self._channel,
                url="",
                reason="removed from the site",
            ) from None

    def _settled(self, bare: Device) -> bool:
        """Whether it has its profile: a live device is not shaken for nothing."""
        return str(bare.address) in self._known and not self._asked_for

    async def _who(self, device: Device) -> Identity | None:
        async def ask(line: Channel) -> Identity | None:
            return await self._driver.identify(line, device)

        try:
            return await self._field.poller.between(self._channel, ask)
        except ChannelClosed:
            raise
        except HeadgateError:
            return None

    async def _fitting(self, bare: Device, identity: Identity | None) -> list[Candidate]:
        """The profiles that bring good values, the most fitting first."""
        if self._settled(bare):
            return []
        fitting = []
        unanswered = 0
        for profile in self._profiles:
            try:
                candidate = await self._try(profile, bare)
                unanswered = 0
            except ChannelTimeout:
                candidate = None
                unanswered += 1
                if unanswered == PATIENCE:
                    break  # it fell silent: questions that it does not know are not good for it
            if candidate is not None and candidate.good >= max(1, candidate.points * FITS):
                fitting.append(candidate)
        model = (identity.model if identity else "").lower()
        fitting.sort(
            key=lambda c: (
                bool(model) and c.profile.partition("/")[2].partition("@")[0] in model,
                c.good / c.points,
                c.good,
            ),
            reverse=True,
        )
        return fitting[:MOST_PROPOSALS]

    async def _try(self, profile: Profile, bare: Device) -> Candidate | None:
        async def look(line: Channel) -> list[Reading]:
            device = _as(profile, bare, None)
            identity = await self._driver.identify(line, device) if profile.identify else None
            if identity is not None and identity.firmware is not None:
                device = _as(profile, bare, identity.firmware)
            block = await self._driver.read(line, device, self._driver.plan(device))
            return list(columns.readings(judge(device)(block), device.table))

        try:
            got = await self._field.poller.between(self._channel, look)
        except ChannelError:
            raise
        except HeadgateError:
            return None
        good = [r for r in got if r.quality is Quality.GOOD]
        sample = tuple(_shown(r) for r in good[:3])
        return Candidate(profile.id, len(good), len(got), sample)


def placeholders(profile: Profile) -> dict[str, Scalar]:
    """Something allowed for each parameter that a site file would have to tell."""
    return {
        name: param.choices[0] if param.choices
        else "-" if param.type == "text"
        else int(param.range[0]) if param.range and param.type == "integer"
        else min(max(1.0, param.range[0]), param.range[1]) if param.range
        else 1
        for name, param in profile.params.items()
        if param.default is None
    }  # fmt: skip


def _as(profile: Profile, bare: Device, firmware: str | None) -> Device:
    """The unit under a profile, with parameters that nobody has told yet set to something allowed."""
    device = resolve(
        profile,
        device_id=bare.id,
        number=0,
        channel=bare.channel,
        address=bare.address,
        sm3=lambda _: bytes(32),
        firmware=firmware,
        params=placeholders(profile),
        timeout_s=bare.timeout_s,
        retries=0,
    )
    # Function 43/14 was asked once already, and means nothing for one profile or another.
    quirks = {**device.quirks, **bare.quirks, "no_device_id": True}
    return msgspec.structs.replace(device, quirks=quirks)


def _shown(reading: Reading) -> str:
    value = reading.value
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = "" if reading.unit == "1" else f" {reading.unit}"
    return f"{reading.point} {shown}{unit}"
