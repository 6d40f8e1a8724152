"""What differs between two sites, so that a reload touches only what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headgate.config.site import Site

#: Tables that a running gateway takes over at once; the others need a restart.
_LIVE = ("log",)
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

    Where the signatures lie does not count; comments, order of keys and the split into files neither.
    """
    rules = msgspec.structs.replace(site.controls, signatures="controls.sig")
    said = (site.gateway.id, rules, site.control, site.heartbeat)
    return sm3(b"headgate-controls-v1\0" + msgspec.json.encode(said, order="deterministic"))


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
    )
