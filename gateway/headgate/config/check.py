"""How the values of a site fit together: ids, references, times, and what is installed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from headgate.config.decode import fields_of, nearest
from headgate.config.field import Channel, Device, Stage
from headgate.config.files import Document
from headgate.config.lines import Key
from headgate.config.site import Site
from headgate.config.uplink import Uplink
from headgate.config.values import Duration
from headgate.errors import Problem

#: (list name, position in the site) of an entry, or (table name, 0): its file and place there.
Places = dict[tuple[str, int], tuple[Document, Key]]

_LISTED = 30
#: Where a password goes with a user name. Others have a password alone: PW of HJ 212.
LOGINS = ("mqtt", "mqtts", "ws", "wss", "http", "https")


class Known(msgspec.Struct, frozen=True):
    """What is installed, by name. None: not known here, so not checked.

    `uplinks` and `stages` give each type's option keys; None there: the type checks them itself.
    `device` says what is wrong between one device and its profile; it is given where the device stands.
    `channel` says what is wrong with one channel's URL, and is given the same. `controls` says what is wrong
    between all controls, heartbeats and devices; it is given where an entry of a list stands.
    """

    schemes: Collection[str] | None = None
    uplinks: Mapping[str, Collection[str] | None] | None = None
    stages: Mapping[str, Collection[str] | None] | None = None
    device: Callable[[Device, str], Sequence[Problem]] | None = None
    channel: Callable[[Channel, str], Sequence[Problem]] | None = None
    controls: Callable[[Site, Callable[[str, int], str]], Sequence[Problem]] | None = None


def check(site: Site, places: Places, known: Known, complete: bool) -> Sequence[Problem]:
    """Every misfit, in the order of the lists.

    `complete` says whether all entries could be read; when some could not, nothing is said of what
    seems to be missing.
    """
    return list(_Check(site, places, known, complete).all())


class _Check:
    def __init__(self, site: Site, places: Places, known: Known, complete: bool) -> None:
        self.site = site
        self.places = places
        self.known = known
        self.complete = complete

    def all(self) -> Iterator[Problem]:
        yield from self.gateway()
        for kind in ("channel", "device", "uplink"):
            yield from self.ids(kind)
        for index, channel in enumerate(self.site.channel):
            yield from self.channel(index, channel)
        yield from self.urls()
        for index, device in enumerate(self.site.device):
            yield from self.device(index, device)
        yield from self.addresses()
        for index in range(len(self.site.stage)):
            yield from self.stage(index)
        for index, uplink in enumerate(self.site.uplink):
            yield from self.uplink(index, uplink)
        if self.known.controls is not None and self.complete:
            yield from self.known.controls(self.site, self.where)
        if self.complete and not self.site.uplink:
            yield self.problem("gateway", 0, (), "HG-1214")

    def problem(
        self, kind: str, index: int, at: Key, code: str, /, **fields: str | int | float
    ) -> Problem:
        return Problem(self.where(kind, index, at), code, fields)

    def where(self, kind: str, index: int, at: Key = ()) -> str:
        document, base = self.places[kind, index]
        return document.where((*base, *at))

    def gateway(self) -> Iterator[Problem]:
        zone = self.site.gateway.timezone
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            near = nearest(zone, available_timezones()) or "Asia/Shanghai"
            yield self.problem("gateway", 0, ("timezone",), "HG-1212", value=zone, nearest=near)
        if ("state", 0) in self.places:
            state = self.site.state
            for small in ("segment", "ballast"):
                if getattr(state, small) > state.quota:
                    value, bound = str(getattr(state, small)), str(state.quota)
                    yield self.problem(
                        "state",
                        0,
                        (small,),
                        "HG-1217",
                        key=small,
                        value=value,
                        other="quota",
                        bound=bound,
                    )
        plugins = self.site.plugins
        if plugins.production and plugins.development:
            yield self.problem("plugins", 0, ("production",), "HG-2043")
        for key in ("production", "catalogue", "revocations"):
            if getattr(plugins, key) and plugins.publishers is None:
                yield self.problem("plugins", 0, (key,), "HG-2044", key=key)
        identity = self.site.identity
        yield from self.pair(
            "identity", 0, "certificate", identity.certificate, "key", identity.key
        )

    def pair(
        self, kind: str, index: int, one: str, first: object, other: str, second: object
    ) -> Iterator[Problem]:
        if first is not None and second is None:
            yield self.problem(kind, index, (one,), "HG-1213", key=one, other=other)
        if second is not None and first is None:
            yield self.problem(kind, index, (other,), "HG-1213", key=other, other=one)

    def ids(self, kind: str) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for index, entry in enumerate(getattr(self.site, kind)):
            seen = first.setdefault(entry.id, index)
            if seen != index:
                yield self.problem(
                    kind,
                    index,
                    ("id",),
                    "HG-1200",
                    kind=kind,
                    id=entry.id,
                    first=self.where(kind, seen),
                )

    def channel(self, index: int, channel: Channel) -> Iterator[Problem]:
        schemes = self.known.schemes
        if schemes is not None and channel.url.scheme not in schemes:
            fields = {
                "channel": channel.id,
                "scheme": channel.url.scheme,
                "allowed": _listed(schemes),
            }
            yield self.problem("channel", index, ("url",), "HG-1208", **fields)
        elif self.known.channel is not None:
            yield from self.known.channel(channel, self.where("channel", index, ("url",)))
        yield from self.pair(
            "channel",
            index,
            "client_certificate",
            channel.client_certificate,
            "client_key",
            channel.client_key,
        )
        if channel.reconnect_min > channel.reconnect_max:
            yield self.backwards("channel", index, channel.reconnect_min, channel.reconnect_max)
        if self.complete and channel.id not in self._used_channels():
            yield self.problem("channel", index, (), "HG-1210", channel=channel.id)

    def _used_channels(self) -> frozenset[str]:
        if not hasattr(self, "_used"):
            self._used = frozenset(device.channel for device in self.site.device)
        return self._used

    def backwards(self, kind: str, index: int, low: Duration, high: Duration) -> Problem:
        fields = {
            "key": "reconnect_min",
            "value": str(low),
            "other": "reconnect_max",
            "bound": str(high),
        }
        return self.problem(kind, index, ("reconnect_min",), "HG-1217", **fields)

    def urls(self) -> Iterator[Problem]:
        first: dict[str, Channel] = {}
        for index, channel in enumerate(self.site.channel):
            # Those who dial in share a port, and are told apart by what they say.
            said = {k: v for k, v in channel.url.query.items() if k == "registration"}
            url = msgspec.structs.replace(channel.url, query=said)
            other = first.setdefault(str(url), channel)
            if other is not channel:
                yield self.problem(
                    "channel", index, ("url",), "HG-1209", channel=channel.id, other=other.id
                )

    def device(self, index: int, device: Device) -> Iterator[Problem]:
        channel = self.site.channels.get(device.channel)
        if channel is None:
            if self.complete:
                allowed = _listed(self.site.channels)
                yield self.problem(
                    "device",
                    index,
                    ("channel",),
                    "HG-1201",
                    device=device.id,
                    channel=device.channel,
                    allowed=allowed,
                )
        else:
            if device.enabled and not channel.enabled:
                yield self.problem(
                    "device", index, ("channel",), "HG-1218", device=device.id, channel=channel.id
                )
            timeout, tries = self.site.timeout(device), self.site.retries(device) + 1
            if timeout.us * tries > device.interval.us:
                worst = str(Duration(timeout.us * tries))
                fields = {
                    "device": device.id,
                    "interval": str(device.interval),
                    "worst": worst,
                    "timeout": str(timeout),
                }
                yield self.problem("device", index, ("interval",), "HG-1203", tries=tries, **fields)
        if self.known.device is not None:
            yield from self.known.device(device, self.where("device", index))

    def addresses(self) -> Iterator[Problem]:
        first: dict[tuple[str, str], Device] = {}
        for index, device in enumerate(self.site.device):
            other = first.setdefault((device.channel, str(device.address)), device)
            if other is device:
                continue
            same = (device.profile, device.params) == (other.profile, other.params)
            code = "HG-1202" if same else "HG-1204"
            fields = {
                "device": device.id,
                "other": other.id,
                "address": device.address,
                "channel": device.channel,
            }
            yield self.problem("device", index, ("address",), code, **fields)

    def stage(self, index: int) -> Iterator[Problem]:
        stage = self.site.stage[index]
        yield from self.plugin("stage", index, stage.type, stage.options, self.known.stages)
        if not self.complete:
            return
        for pattern in stage.devices:
            if pattern != "*" and not any(
                fnmatchcase(device.id, pattern) for device in self.site.device
            ):
                yield self.problem("stage", index, ("devices",), "HG-1211", pattern=pattern)

    def uplink(self, index: int, uplink: Uplink) -> Iterator[Problem]:
        yield from self.plugin("uplink", index, uplink.type, uplink.options, self.known.uplinks)
        yield from self.pair(
            "uplink",
            index,
            "client_certificate",
            uplink.client_certificate,
            "client_key",
            uplink.client_key,
        )
        login = uplink.url.scheme in LOGINS
        if login and uplink.password is not None and uplink.username is None:
            yield self.problem(
                "uplink", index, ("password",), "HG-1213", key="password", other="username"
            )
        if uplink.ack == "broker" and uplink.protocol != "5":
            yield self.problem("uplink", index, ("ack",), "HG-1215", uplink=uplink.id)
        here = uplink.url.host in ("localhost", "::1") or uplink.url.host.startswith("127.")
        if uplink.password is not None and uplink.url.scheme in ("mqtt", "http", "ws") and not here:
            yield self.problem(
                "uplink", index, ("url",), "HG-1216", uplink=uplink.id, host=uplink.url.host
            )
        plain = uplink.enabled and uplink.url.scheme == "mqtt" and uplink.link != "sidecar"
        if self.site.control and plain:
            yield self.problem("uplink", index, ("url",), "HG-1226", uplink=uplink.id)
        if uplink.tls_minimum != "1.3":
            fields = {"uplink": uplink.id, "version": uplink.tls_minimum}
            yield self.problem("uplink", index, ("tls_minimum",), "HG-1224", **fields)
        if uplink.trust == "system":
            yield self.problem("uplink", index, ("trust",), "HG-1225", uplink=uplink.id)
        if uplink.reconnect_min > uplink.reconnect_max:
            yield self.backwards("uplink", index, uplink.reconnect_min, uplink.reconnect_max)

    def plugin(
        self,
        kind: str,
        index: int,
        name: str,
        options: Mapping[str, object],
        types: Mapping[str, Collection[str] | None] | None,
    ) -> Iterator[Problem]:
        """A plugin's type is installed, and its options are keys that it knows."""
        if types is not None and name not in types:
            near = nearest(name, types)
            fields = {"kind": kind, "value": name, "allowed": _listed(types)}
            if near:
                yield self.problem(kind, index, ("type",), "HG-1206", nearest=near, **fields)
            else:
                yield self.problem(kind, index, ("type",), "HG-1205", **fields)
        own = types.get(name) if types is not None else None
        struct = Stage if kind == "stage" else Uplink
        core = [field.name for field in fields_of(struct).values() if not field.rest]
        for key in options:
            if own is not None and key not in own:
                allowed = ", ".join((*core, *own))
                near = nearest(key, (*core, *own))
                if near:
                    yield self.problem(
                        kind, index, (key,), "HG-1101", key=key, nearest=near, allowed=allowed
                    )
                else:
                    yield self.problem(kind, index, (key,), "HG-1100", key=key, allowed=allowed)
            elif own is None and (near := nearest(key, core, 0.85)):
                yield self.problem(kind, index, (key,), "HG-1219", key=key, nearest=near, type=name)


def _listed(names: Collection[str]) -> str:
    if not names:
        return "-"
    shown = sorted(names)[:_LISTED]
    return ", ".join(shown) + (" …" if len(names) > _LISTED else "")
