"""What this box can do: its plugins and profiles, as a site file is checked against them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from headgate import config, profiles
from headgate.channels import SCHEMES, check_port, check_url
from headgate.config import Known, Site
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
from headgate.env import Env
from headgate.errors import ConfigError, Problem, ProfileError, SecurityError
from headgate.packages import Judge, Standing
from headgate.packages.memory import Memory
from headgate.runtime import plugins
from headgate.runtime.busload import Share, check_buses
from headgate.runtime.commands.resolving import examine as examine_controls
from headgate.runtime.commands.signed import objections
from headgate.runtime.identity import CERTIFICATES, check_identity
from headgate.runtime.packaging import judge_of, shelf_of, standing_of
from headgate.runtime.plugins import Registry
from headgate.runtime.port_options import drivers_own, port_problems
from headgate.runtime.roster import Drivers, misplaced, on_its_line
from headgate.sdk import (
    Device,
    ListeningDriver,
    PollingDriver,
    Stage,
    StreamingDriver,
    Uplink,
)

#: A device's table is named by a digest that no check looks at.
_NO_DIGEST = bytes(32)


class Installed:
    """Plugins and profiles, loaded once. `resolved` has each device that the check could work out."""

    def __init__(self, registry: Registry, library: profiles.Library) -> None:
        self.registry = registry
        self.library = library
        self.resolved: dict[str, Device] = {}
        #: Which packages of others run here, to be kept once they do; None where nobody judges them.
        self.memory: Memory | None = None
        #: Shared by every device that this library describes.
        self.alike: profiles.Alike = {}

    def known(self) -> Known:
        """For `headgate.config.load`: what the site file may name."""
        return Known(
            schemes=_Schemes(self.registry),
            uplinks=_Options(self.registry.uplinks),
            stages=_Options(self.registry.stages),
            device=self.examine,
            channel=_examine_channel,
            controls=self.controls,
        )

    def controls(self, site: Site, where: Callable[[str, int], str]) -> Sequence[Problem]:
        """What is wrong between controls, heartbeats and the devices that they name."""
        if site.devices.keys() - self.resolved.keys():
            return ()  # told already; what they lack would be told twice
        controls = [(where("control", i), each) for i, each in enumerate(site.control)]
        beats = [(where("heartbeat", i), each) for i, each in enumerate(site.heartbeat)]
        return examine_controls(controls, beats, self.resolved)

    def examine(self, device: config.Device, where: str) -> Sequence[Problem]:
        """What is wrong between a device and its profile: unknown, parameters, firmware, its points."""
        try:
            profile = self.library.find(device.profile, f"{where}.profile")
        except ProfileError as error:
            return error.problems
        notice = profiles.match(profile, device.firmware, where).notice
        notices = [] if notice is None else [notice]
        problems = profiles.check_params(profile, device.params, where)
        if problems:
            return (*problems, *notices)
        try:
            resolved = profiles.resolve(
                profile,
                device_id=device.id,
                number=1,
                channel=device.channel,
                address=device.address,
                sm3=lambda _: _NO_DIGEST,
                labels=device.labels,
                firmware=device.firmware,
                params=device.params,
                interval_us=device.interval.us,
                alike=self.alike,
            )
        except ProfileError as error:
            return [msgspec.structs.replace(p, where=where) for p in error.problems]
        try:
            self.resolved[device.id] = on_its_line(resolved, device)
        except ProfileError as error:
            return [msgspec.structs.replace(p, where=f"{where}.line") for p in error.problems]
        return notices

    def plan(self, site: Site) -> tuple[Mapping[str, int], Sequence[Problem]]:
        """Requests of one look at each enabled device, where its driver counts them; what it refuses."""
        requests: dict[str, int] = {}
        problems = list(misplaced(site, self.library, Drivers(self.registry)))
        shares: dict[str, list[Share]] = {}
        for device in site.device:
            resolved = self.resolved.get(device.id)
            if device.channel not in site.channels:  # told already
                continue
            scheme = site.channels[device.channel].url.scheme
            profile = self.library.profiles.get(device.profile)
            able = profile is not None and profile.driver in self.registry.able(scheme)
            driver = self.registry.drivers.get(profile.driver) if profile and able else None
            if resolved is None or driver is None or not device.enabled:
                continue
            try:
                if issubclass(driver, StreamingDriver | ListeningDriver):
                    driver().check(resolved)
                if not issubclass(driver, PollingDriver):
                    continue
                asker = driver()
                plan: Any = asker.plan(resolved)
            except ProfileError as error:
                problems += error.problems
                continue
            layout = getattr(plan, "layout", plan)
            sizes = tuple(asker.line_bytes(resolved, plan))
            requests[device.id] = len(getattr(layout, "requests", ())) or len(sizes)
            share = _share(resolved, device, sizes)
            shares.setdefault(device.channel, []).append(share)
        urls = {channel.id: str(channel.url) for channel in site.channel if channel.enabled}
        problems += check_buses(urls, shares)
        return requests, problems

    def options(self, env: Env, site: Site) -> Sequence[Problem]:
        """What the site's channels, stages and uplinks say of their own options, off the network."""
        from headgate.runtime.outlets import context_of  # the spool's room, which few commands need

        problems: list[Problem] = []
        for channel in site.channel:
            for driver in self.registry.drivers_for(channel.url.scheme):
                options = channel.options
                if issubclass(driver, ListeningDriver):
                    problems += port_problems(channel.id, options)
                    options = drivers_own(options)
                problems += driver().check_channel(channel.id, options)
        for stage in site.stage:
            kind = self.registry.stages.get(stage.type)
            if kind is not None:
                problems += _built(partial(kind, stage.options))
        for uplink in site.uplink:
            platform = self.registry.uplinks.get(uplink.type)
            if platform is None:
                continue
            try:
                context = context_of(env, site, uplink, bytes(8))
            except (SecurityError, OSError, UnicodeDecodeError) as error:
                # Secrets and certificates may lie on the box alone, and the check run elsewhere.
                reason = str(error)
                problem = Problem(
                    f"uplink {uplink.id}", "HG-1220", {"uplink": uplink.id, "reason": reason}
                )
                problems.append(problem)
                continue
            problems += _built(partial(platform, context))
        return problems

    def identity(self, env: Env, site: Site) -> Sequence[Problem]:
        """What is wrong with keys and certificates, as far as they lie here; nothing is made."""
        missing = [
            Problem(f"identity.{key}", "HG-1222", {"key": key, "path": str(site.path(written))})
            for key in CERTIFICATES
            if (written := getattr(site.identity, key)) is not None
            and env.files.size(site.path(written)) is None
        ]
        if missing:
            return missing
        provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
        try:
            check_identity(env, site, provider)
        except SecurityError as error:
            if error.code == "HG-1300":  # a secret: it may lie on the box alone
                return [Problem("identity", "HG-1223", {"reason": str(error)})]
            fields = {key: str(value) for key, value in error.fields.items()}
            return [Problem("identity", error.code, {**fields})]
        return objections(env, provider, site)


def _share(device: Device, entry: config.Device, sizes: tuple[tuple[int, int], ...]) -> Share:
    line, gap = device.quirks.get("line", ""), device.quirks.get("gap_ms", 0)
    gap_s = gap / 1000 if isinstance(gap, (int, float)) else 0.0
    return Share(device.id, entry.interval.s, str(line), gap_s, sizes)


def _examine_channel(channel: config.Channel, where: str) -> Sequence[Problem]:
    if "+listen" in channel.url.scheme and channel.url.scheme not in SCHEMES:
        return check_port(channel.id, str(channel.url), where)
    if channel.url.scheme not in SCHEMES:  # its driver owns its connection
        return ()
    found = check_url(channel.id, str(channel.url))
    return [msgspec.structs.replace(problem, where=where) for problem in found]


def _built(build: Callable[[], object]) -> Sequence[Problem]:
    try:
        build()
    except ConfigError as error:
        return error.problems
    return ()


def look(env: Env, folders: Sequence[Path] = ()) -> Callable[[Site], Installed]:
    """A way to load what is installed, once it is known what the site allows.

    `folders` hold further profiles (`--profiles DIR`).
    """

    def load(site: Site) -> Installed:
        registry, judge = plugins_of(env, site)
        path = profiles.search_path(folders, registry.profile_folders)
        packaged, *others = path
        shelf, signed, problems = shelf_of(env.files, judge, registry.packages, others)
        library = profiles.load(
            shelf, (packaged, *others), plugins.PointKeys(registry), refused=problems
        )
        installed = Installed(registry, library)
        if judge is not None:
            installed.memory = judge.remembered((*registry.packages, *signed))
        return installed

    return load


def plugins_of(env: Env, site: Site) -> tuple[Registry, Judge | None]:
    """The plugins that a site allows, and who judged those of other makers."""
    judge, problems = judge_of(env, site)
    registry = plugins.load(
        development=standing_of(site.plugins) is Standing.DEVELOPMENT,
        blocked=site.plugins.blocked,
        judge=judge,
    )
    registry.distrust = tuple(problems)
    return registry, judge


class _Schemes(Collection[str]):
    """Schemes that some driver speaks. Asked for one, it tries the driver whose name it bears first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __contains__(self, scheme: object) -> bool:
        return self._registry.driver_for(str(scheme)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.schemes())

    def __len__(self) -> int:
        return len(self._registry.schemes())


class _Options(Mapping[str, tuple[str, ...] | None]):
    """The option keys of stages or uplinks by type; imports the type that is asked for."""

    def __init__(self, types: Mapping[str, type[Stage] | type[Uplink]]) -> None:
        self._types = types

    def __getitem__(self, name: str) -> tuple[str, ...] | None:
        return self._types[name].option_keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
