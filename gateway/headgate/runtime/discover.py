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

from headgate.errors import ChannelClosed, ChannelError, HeadgateError
from headgate.model import Identity, PointTable
from headgate.profiles import Library
from headgate.runtime.busload import settable
from headgate.runtime.discover_sensors import UNSETTABLE, SensorSearch, unset
from headgate.runtime.field import Field
from headgate.runtime.fitting import Candidate, fitting
from headgate.sdk import Channel, Device, Driver, LineSettings, PollingDriver, line_of

MOST_UNITS = 255
#: Seconds that a line of sensors is listened to at each setting, and the most that may be asked for.
LISTEN_S, LONGEST_LISTEN_S = 3.0, 86_400.0


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


def search_of(
    request: Mapping[str, Any],
    field: Field,
    library: Library,
    drivers: Sequence[Driver],
    channel_id: str,
) -> Search | SensorSearch:
    """A search as the local API is asked for it. `drivers` are all that speak over such lines.

    Raises:
        HeadgateError: HG-9148, HG-9149; ConfigError: a profile that is not there.
    """
    line = field.line(channel_id)
    driver = field.speaker(channel_id)
    if line is None or driver is None or driver.transport == "own":
        raise HeadgateError("no discovery", code="HG-9149", channel=channel_id)
    profiles = [library.find(str(name)).id for name in request.get("profiles") or ()]
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
    units = units_of(str(request.get("units") or "1-32"))
    timeout_s = float(request.get("timeout_s") or 0.3)
    if line.url.startswith("serial"):
        listen_s = min(max(float(request.get("listen_s", LISTEN_S)), 0.0), LONGEST_LISTEN_S)
        return SensorSearch(
            field, library, drivers, line, units, settings, timeout_s, listen_s, profiles
        )
    if not isinstance(driver, PollingDriver):
        raise HeadgateError("no discovery", code="HG-9149", channel=channel_id)
    return Search(field, library, driver, channel_id, units, settings, timeout_s, profiles)


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
            line = "" if settings is None else str(settings)
            for unit in self._units:
                asked += 1
                yield {"asked": asked, "total": total, "unit": unit, "line": line, "found": found}
                try:
                    finding = await self._at(unit, settings)
                except ChannelError as error:
                    if error.code != UNSETTABLE or len(self._settings) == 1:
                        raise
                    # An adapter that lacks one speed or parity still finds who speaks at the others.
                    asked, total = asked - 1, total - len(self._units)
                    yield unset(settings, error)
                    break
                if finding is not None:
                    found += 1
                    yield finding
        yield {"asked": asked, "total": total, "unit": 0, "line": "", "found": found}

    async def _at(self, unit: int, settings: LineSettings | None) -> dict[str, Any] | None:
        """Who answers at one address with these settings, as the local API says it."""
        bare = self._device(unit, settings)
        if not await self._turn_present(bare):
            return None
        identity = None if self._settled(bare) else await self._who(bare)
        return {
            "unit": unit,
            "line": "" if settings is None else str(settings),
            "device": self._known.get(str(unit), ""),
            "identity": msgspec.to_builtins(identity or Identity()),
            "profiles": msgspec.to_builtins(await self._profiles_of(bare, identity)),
        }

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

    async def _profiles_of(self, bare: Device, identity: Identity | None) -> list[Candidate]:
        if self._settled(bare):
            return []
        model = identity.model if identity else ""
        return await fitting(self._field, self._driver, self._profiles, bare, model)
