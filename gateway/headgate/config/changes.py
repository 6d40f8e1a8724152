"""What differs between two sites, so that a reload touches only what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headgate.config.site import Site

#: Tables that a running gateway takes over at once; the others need a restart.
_LIVE = ("log", "identity")
#: What two technicians sign, where a site wants that.
CONTROLS = ("controls", "control", "heartbeat")
_TABLES = ("gateway", "state", "identity", "audit", "metrics", "log", "api", "plugins")


class Difference(msgspec.Struct, frozen=True):
    """Ids that came, went, or say something else now."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Changes(msgspec.Struct, frozen=True):
    """What a reload has to do.

    `stages` concerns every device; `restart` names the tables that need one; `controls` is whether what
    may be commanded says something else.
    """

    channels: Difference
    devices: Difference
    uplinks: Difference
    stages: bool
    live: tuple[str, ...]
    restart: tuple[str, ...]
    controls: bool = False

    def __bool__(self) -> bool:
        parts = (self.channels, self.devices, self.uplinks, self.stages, self.live, self.restart)
        return any(parts) or self.controls


def diff(old: Site, new: Site) -> Changes:
    """What changed from `old` to `new`. Order in the file matters for stages alone."""
    tables = [name for name in _TABLES if getattr(old, name) != getattr(new, name)]
    return Changes(
        channels=_difference(old.channels, new.channels),
        devices=_difference(old.devices, new.devices),
        uplinks=_difference(old.uplinks, new.uplinks),
        stages=old.stage != new.stage,
        live=tuple(name for name in tables if name in _LIVE),
        restart=tuple(name for name in tables if name not in _LIVE),
        controls=any(getattr(old, name) != getattr(new, name) for name in CONTROLS),
    )


def config_hash(site: Site, sm3: Callable[[bytes], bytes]) -> bytes:
    """The digest of what the site says: same for the same content, wherever it lies on disk.

    Comments, order of keys and the split into files do not count; secrets are only references.
    """
    plain = msgspec.structs.replace(site, base="")
    return sm3(msgspec.json.encode(plain, order="deterministic"))


def controls_digest(site: Site, sm3: Callable[[bytes], bytes]) -> bytes:
    """The digest of what may be commanded on this gateway: what technicians sign.

    The controls with the devices and lines that they are about, so that no signed pump becomes another one.
    Where the signatures lie does not count; comments, order of keys, the split into files, and keys with
    their default value neither.
    """
    rules = msgspec.structs.replace(site.controls, signatures="controls.sig")
    devices = [device for device in site.device if _concerned(site, device.id)]
    lines = [
        (channel.id, str(channel.url))
        for channel in site.channel
        if any(device.channel == channel.id for device in devices)
    ]
    said = (
        site.gateway.id, _given(rules), [_given(each) for each in site.control],
        [_given(each) for each in site.heartbeat], [_given(each) for each in devices], lines,
    )  # fmt: skip
    return sm3(b"headgate-controls-v1\0" + msgspec.json.encode(said, order="deterministic"))


def _concerned(site: Site, device: str) -> bool:
    """Whether a control or a heartbeat moves a device, or looks at it before it moves another."""
    moved = {control.device for control in site.control} | {beat.device for beat in site.heartbeat}
    if device in moved:
        return True
    texts = (
        text
        for control in site.control
        for text in (*control.interlock, control.remote_when or "", "{" + (control.feedback or ""))
    )
    return any(f"{{{device}/" in text for text in texts)


def _given(entry: msgspec.Struct) -> dict[str, Any]:
    """What an entry says beyond its defaults, so that a key of a later version changes no digest."""
    defaults = {f.name: f.default for f in msgspec.structs.fields(entry)}
    said = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return {name: value for name, value in said.items() if value != defaults[name]}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
    )
