"""From what the site file says to devices that can be polled: driver, profile, number, plan.

Used by `run` and by `check`, so that what passes the check also starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import msgspec

from headgate.channels import SCHEMES, ChannelSettings, TlsFiles, check_url
from headgate.config import Channel as ChannelEntry
from headgate.config import Device as DeviceEntry
from headgate.config import Site
from headgate.errors import ConfigError, HeadgateError, Problem, ProfileError
from headgate.profiles import Alike, Library, resolve
from headgate.runtime.plugins import Registry
from headgate.sdk import (
    Device,
    Driver,
    LineSettings,
    ListeningDriver,
    PollingDriver,
    StreamingDriver,
    day_starts,
)

#: Gives a device its number in this gateway: the same one for ever.
Number = Callable[[str], int]


class Posting(msgspec.Struct, frozen=True):
    """One device with everything needed to poll it.

    `tells` says that it may know its own firmware, and that its map may hang on it.
    """

    device: Device
    driver: Driver
    plan: Any
    tells: bool = False


class Roster(msgspec.Struct, frozen=True):
    """All postings of a site by channel, and the settings of those channels.

    `problems` are devices and channels that cannot be used; the rest can.
    """

    channels: dict[str, ChannelSettings]
    #: Who speaks over each channel.
    drivers: dict[str, Driver]
    postings: dict[str, list[Posting]]
    problems: tuple[Problem, ...]

    def devices(self) -> dict[str, Posting]:
        """Postings by device id."""
        return {p.device.id: p for postings in self.postings.values() for p in postings}


class Drivers:
    """One instance of each driver, made when first needed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, Driver] = {}

    def named(self, name: str) -> Driver:
        """The driver of this name. Raises KeyError."""
        if name not in self._made:
            self._made[name] = self._registry.drivers[name]()
        return self._made[name]

    def speaker(self, channel: ChannelEntry, site: Site, library: Library) -> str | None:
        """The name of the driver that speaks over a channel; None when none knows its scheme.

        Where several could (a serial port), it is the one of the first device that one of them is for.
        """
        scheme = channel.url.scheme
        able, drivers = self._registry.able(scheme), self._registry.drivers
        if len(able) > 1:
            for unit in site.device:
                if unit.enabled and unit.channel == channel.id:
                    profile = library.profiles.get(unit.profile)
                    if profile is not None and profile.driver in able and profile.driver in drivers:
                        return profile.driver
            # Nobody yet: a line that is asked over can be searched, and listened to as well.
            for name in able:
                if name in drivers and issubclass(drivers[name], PollingDriver):
                    return name
        return next((name for name in able if name in drivers), None)

    def shares(self, name: str, speaker: str, scheme: str) -> bool:
        """Whether this driver may ask its devices on a line over which another one asks."""
        drivers = self._registry.drivers
        if name == speaker:
            return True
        both = [drivers.get(each) for each in (name, speaker)]
        asking = all(each is not None and issubclass(each, PollingDriver) for each in both)
        return asking and scheme in drivers[name].schemes

    def able(self, scheme: str) -> Sequence[Driver]:
        """Every driver that speaks over such lines."""
        return [self.named(driver.name) for driver in self._registry.drivers_for(scheme)]

    def schemes(self) -> Sequence[str]:
        """Every scheme that some driver speaks."""
        return sorted(self._registry.schemes())


def misplaced(site: Site, library: Library, drivers: Drivers) -> Sequence[Problem]:
    """Devices whose profile wants another driver than the one that speaks over their channel."""
    problems = []
    speakers = {entry.id: drivers.speaker(entry, site, library) for entry in site.channel}
    for unit in site.device:
        profile, speaker = library.profiles.get(unit.profile), speakers.get(unit.channel)
        if not unit.enabled or profile is None or speaker is None:
            continue
        if drivers.shares(profile.driver, speaker, site.channels[unit.channel].url.scheme):
            continue
        fields: dict[str, str | int | float] = {
            "device": unit.id, "wanted": profile.driver, "channel": unit.channel, "driver": str(speaker),
        }  # fmt: skip
        problems.append(Problem(f"device {unit.id}", "HG-9122", fields))
    return problems


def call_up(
    site: Site,
    library: Library,
    drivers: Drivers,
    number: Number,
    sm3: Callable[[bytes], bytes],
    alike: Alike,
    learned: Mapping[str, str] = MappingProxyType({}),
) -> Roster:
    """Every enabled device of the site, resolved. Never raises for one device's fault.

    `learned` is the firmware that devices told themselves, by device id.
    """
    problems: list[Problem] = []
    channels: dict[str, ChannelSettings] = {}
    speakers: dict[str, str] = {}
    for entry in site.channel:
        if not entry.enabled:
            continue
        driver = drivers.speaker(entry, site, library)
        if driver is None:
            fields = {
                "scheme": entry.url.scheme,
                "channel": entry.id,
                "known": ", ".join(drivers.schemes()),
            }
            problems.append(
                Problem(f"channel {entry.id}", "HG-9121", {k: str(v) for k, v in fields.items()})
            )
            continue
        wrong = check_url(entry.id, str(entry.url)) if entry.url.scheme in SCHEMES else ()
        if wrong:
            problems.extend(wrong)
            continue
        speakers[entry.id] = driver
        channels[entry.id] = settings_of(entry, site)
    postings: dict[str, list[Posting]] = {channel: [] for channel in channels}
    for unit in site.device:
        if not unit.enabled or unit.channel not in channels:
            continue
        try:
            postings[unit.channel].append(
                post(
                    site,
                    unit,
                    library,
                    drivers,
                    speakers[unit.channel],
                    number,
                    sm3,
                    alike,
                    learned.get(unit.id),
                )
            )
        except ConfigError as error:
            problems.extend(error.problems)
        except HeadgateError as error:
            fields = {key: str(value) for key, value in error.fields.items()}
            problems.append(Problem(f"device {unit.id}", error.code, dict(fields)))
    spoken = {channel: drivers.named(name) for channel, name in speakers.items()}
    return Roster(channels, spoken, postings, tuple(problems))


def post(
    site: Site,
    entry: DeviceEntry,
    library: Library,
    drivers: Drivers,
    speaker: str,
    number: Number,
    sm3: Callable[[bytes], bytes],
    alike: Alike,
    learned: str | None = None,
) -> Posting:
    """One device, resolved. What it said of its firmware itself (`learned`) stands above the site file.

    Raises:
        ConfigError, HeadgateError: what is wrong with it.
    """
    profile = library.find(entry.profile, f"device {entry.id}")
    if not drivers.shares(profile.driver, speaker, site.channels[entry.channel].url.scheme):
        fields: dict[str, str | int | float] = {
            "device": entry.id, "wanted": profile.driver, "channel": entry.channel, "driver": speaker,
        }  # fmt: skip
        raise ConfigError([Problem(f"device {entry.id}", "HG-9122", fields)])
    device = resolve(
        profile,
        device_id=entry.id,
        number=number(entry.id),
        channel=entry.channel,
        address=entry.address,
        sm3=sm3,
        name=entry.name,
        labels=entry.labels,
        firmware=learned or entry.firmware,
        params=entry.params,
        interval_us=entry.interval.us,
        timeout_s=site.timeout(entry).s,
        retries=site.retries(entry),
        alike=alike,
    )
    device = on_its_line(device, entry)
    driver = drivers.named(profile.driver)
    plan = driver.plan(device) if isinstance(driver, PollingDriver) else None
    if isinstance(driver, StreamingDriver | ListeningDriver):
        driver.check(device)
    day_starts(device)
    tells = isinstance(driver, PollingDriver) and bool(
        profile.identify or len(profile.variants) > 1
    )
    return Posting(device, driver, plan, tells)


def on_its_line(device: Device, entry: DeviceEntry) -> Device:
    """The device with the line settings that the site file gives it.

    Raises:
        ProfileError: they are none (HG-1116).
    """
    if not entry.line:
        return device
    try:
        LineSettings().with_text(entry.line)
    except ValueError:
        where = f'device "{entry.id}": line'
        raise ProfileError([Problem(where, "HG-1116", {"value": entry.line})]) from None
    return msgspec.structs.replace(device, quirks={**device.quirks, "line": entry.line})


def settings_of(entry: ChannelEntry, site: Site | None = None) -> ChannelSettings:
    """A channel entry as the channels room takes it; the site says where relative paths begin."""

    def file(written: str | None) -> str | None:
        if written is None or site is None:
            return written
        return str(site.path(written))

    key = entry.client_key.name if entry.client_key is not None else None
    return ChannelSettings(
        id=entry.id,
        url=str(entry.url),
        depth=entry.depth,
        timeout_s=entry.timeout.s,
        connect_timeout_s=entry.connect_timeout.s,
        retry_first_s=entry.reconnect_min.s,
        retry_cap_s=entry.reconnect_max.s,
        server_name=entry.server_name,
        tls_files=TlsFiles(file(entry.ca), file(entry.client_certificate), file(key)),
        gap_s=entry.gap.s,
    )


def nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """The known name that looks most like this one, for a message."""
    close = get_close_matches(name, list(known), 1, 0.4)
    return close[0] if close else "-"
