"""What the box is told: `site.toml` and `site.d/*.toml` as frozen types.

    site = load(env, Path("/etc/headgate"))        # or ConfigError with every mistake
    changes = diff(old, site)                      # what a reload has to touch
    password = resolve_secret(env, ref, Path(site.base))

Files are the only truth of what should be; nothing here writes.
"""

from headgate.config.audit import Audit
from headgate.config.box import Api, Gateway, Log, Metrics, Plugins
from headgate.config.changes import Changes, Difference, config_hash, controls_digest, diff
from headgate.config.check import Known
from headgate.config.controls import Control, Controls, Heartbeat
from headgate.config.field import Channel, Device, Stage
from headgate.config.identity import Identity
from headgate.config.load import Loaded, examine, load
from headgate.config.secrets import resolve_options, resolve_secret
from headgate.config.site import SCHEMA, Site
from headgate.config.state import State
from headgate.config.uplink import Uplink
from headgate.config.values import Duration, HostPort, SecretRef, Size, Url

__all__ = [
    "SCHEMA",
    "Api",
    "Audit",
    "Changes",
    "Channel",
    "Control",
    "Controls",
    "Device",
    "Difference",
    "Duration",
    "Gateway",
    "Heartbeat",
    "HostPort",
    "Identity",
    "Known",
    "Loaded",
    "Log",
    "Metrics",
    "Plugins",
    "SecretRef",
    "Site",
    "Size",
    "Stage",
    "State",
    "Uplink",
    "Url",
    "config_hash",
    "controls_digest",
    "diff",
    "examine",
    "load",
    "resolve_options",
    "resolve_secret",
]
