"""HJ 212 upward: the gateway as a logger of an environmental bureau.

options  what a site file says: who we are, which point is which factor
marks    quality and status of a reading as a mark of the standard (pure)
periods  readings into real time, minutes, hours and days (pure)
history  what was told, to be told again when a bureau asks (pure)
requests what a bureau asks: carried out or refused
bureau   one connection: uploads until answered (9014)
uplink   its own cursor in the spool: open, gather, report, settle
"""

from __future__ import annotations

from headgate.sdk import Uplink, hookimpl
from headgate_plugins.hj212.uplink import Hj212Uplink

__all__ = ["Hj212Uplink", "headgate_uplinks"]


@hookimpl
def headgate_uplinks() -> list[type[Uplink]]:
    """The uplink to a bureau."""
    return [Hj212Uplink]
